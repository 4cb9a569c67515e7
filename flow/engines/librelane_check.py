"""Load a LibreLane configuration with LibreLane's own loader, running no step.

Runs in the environment ``librelane``, in the folder of ``config.json``; arguments: PDK, standard
cells and, if the PDK is there, its root. Without a root the variables that come from the
PDK are left out. Writes ``loaded.json``: the variables it took from the file, and what the loader
said.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from librelane.config import Config, InvalidConfig, universal_flow_config_variables
from librelane.flows import Flow


def variables(kind: str) -> list[Any]:
    """Variables of all steps of a flow."""
    flow = Flow.factory.get(kind)
    if flow is None:
        raise SystemExit(f"LibreLane has no flow {kind!r}")
    found = {}
    for source in (universal_flow_config_variables, flow.config_vars,
                   *(step.config_vars for step in flow.Steps)):  # fmt: skip
        for variable in source:
            found[variable.name] = variable
    return list(found.values())


def main() -> None:
    """Load and write what happened."""
    pdk, library, *rest = sys.argv[1:]
    root = rest[0] if rest else None
    given = json.loads(Path("config.json").read_text())
    known = variables(given["meta"]["flow"])
    chosen = known if root else [item for item in known if not item.pdk]
    result: dict[str, Any] = {"pdk_loaded": bool(root), "variables": len(chosen), "errors": [],
                              "values": {}}  # fmt: skip
    names = {item.name for item in known}
    unknown = sorted(given.keys() - names - {"meta"})
    result["errors"] = [f"no variable of the flow: {name}" for name in unknown]
    try:
        if root:
            if importlib.util.find_spec("tkinter") is None:
                raise SystemExit(
                    "LibreLane reads a PDK's settings with Tcl, and this Python has none: the "
                    "module tkinter is missing; apt-get install python3-tk, and begin again"
                )
            config, _ = Config.load("config.json", known, pdk=pdk, pdk_root=root, scl=library)
        else:
            text = {key: value for key, value in given.items() if key in {v.name for v in chosen}}
            text |= {"meta": given["meta"], "PDK": pdk, "STD_CELL_LIBRARY": library}
            chosen += [item for item in known if item.name in {"PDK", "STD_CELL_LIBRARY"}]
            here = str(Path.cwd())
            config, _ = Config.load(
                text, chosen, pdk=pdk, pdk_root=here, design_dir=here, _load_pdk_configs=False
            )
        result["values"] = {name: str(config[name]) for name in given if name in config}
    except InvalidConfig as error:
        result["errors"] += [str(item) for item in error.errors]
    Path("loaded.json").write_text(f"{json.dumps(result, indent=1)}\n")


if __name__ == "__main__":
    main()
