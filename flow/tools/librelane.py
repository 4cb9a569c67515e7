"""LibreLane: a chip to a layout with OpenROAD, Magic and Netgen, as far as they are installed.

LibreLane itself and its Yosys come from pip into an environment of their own. OpenROAD does not
exist there: without it a run ends after ``Yosys.Synthesis``.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from flow.tools import environment, verilator
from flow.tools.base import Job
from rtl_gen.errors import ToolError

NAME = "LibreLane"
ENVIRONMENT = "librelane"
TAG = "intaglio"
LAST_WITHOUT_OPENROAD = "Yosys.Synthesis"
PROGRAMS = ("openroad", "magic", "netgen", "klayout")
"""Programs of the flow's later steps that pip does not have."""

REMEDY = (
    "with nix: `nix run github:librelane/librelane/3.0.17 -- CONFIG`, or with a container runtime: "
    "`python -m librelane --dockerized CONFIG`; https://librelane.readthedocs.io has the steps"
)

# Single braces are the shell's: the script is made by replacement.
_RUN = """\
mkdir -p bin
printf '#!/bin/sh\\nexec %s %s "$@"\\n' {python} "$PWD/yosys_wheel.py" > bin/yosys
chmod +x bin/yosys
PATH="$PWD/bin:$VERILATOR_BIN:$PATH" {python} -m librelane {arguments} config.json
status=$?
keep() { find runs -name "$1" | sort | tail -n 1 | while read -r found; do cp "$found" "$2"; done; }
keep metrics.json metrics.json
keep state_out.json state.json
exit $status
"""


def version() -> str:
    """Pinned version of LibreLane, e.g. ``3.0.17``."""
    return environment.version(ENVIRONMENT)


def missing() -> tuple[str, ...]:
    """Programs that the flow needs after synthesis and that are not on ``PATH``."""
    return tuple(name for name in PROGRAMS if shutil.which(name) is None)


def check(design: Path, pdk: str, library: str, root: Path | None) -> Job:
    """Load the configuration in the folder `design` with LibreLane's loader; ``loaded.json``.

    Parameters
    ----------
    library : str
        Standard cells of the PDK.
    root : Path or None
        ``PDK_ROOT``; without it, what the PDK defines is left out.
    """
    program = environment.engine("librelane_check.py")
    argv = [str(environment.python(ENVIRONMENT)), "-I", program.name, pdk, library]
    argv += [str(root)] if root else []
    inputs = _design(design) | {program.name: program}
    return Job(NAME, argv, version(), {}, inputs, ("loaded.json",))


def run(design: Path, pdk: str, library: str, root: Path, last: str | None) -> Job:
    """Run the flow to its end, or to the step `last`; ``metrics.json`` and ``state.json``.

    Parameters
    ----------
    library : str
        Standard cells of the PDK.
    """
    arguments = ["--manual-pdk", "--pdk-root", str(root), "--pdk", pdk, "--scl", library,
                 "--run-tag", TAG, "--overwrite", *(["--to", last] if last else [])]  # fmt: skip
    python = shlex.quote(str(environment.python(ENVIRONMENT)))
    script = _RUN.replace("{python}", python).replace("{arguments}", shlex.join(arguments))
    program = environment.engine("yosys_wheel.py")
    inputs = _design(design) | {program.name: program}
    outputs = ("state.json", *(() if last else ("metrics.json",)))
    return Job(NAME, ["sh", "flow.sh"], version(), {"flow.sh": script}, inputs, outputs)


def variables() -> Mapping[str, str]:
    """Environment variables of a run: where Verilator is, and no path of the caller's Python."""
    return {"VERILATOR_BIN": str(verilator.folder()), "PYTHONPATH": "",
            "PATH": os.environ.get("PATH", os.defpath)}  # fmt: skip


def metrics(text: str) -> Mapping[str, float]:
    """Read the numbers in ``metrics.json`` or in the metrics of a ``state_out.json``.

    Raises
    ------
    ToolError
        If there are none.
    """
    content = json.loads(text)
    found = content.get("metrics", content)
    numbers = {
        key: value
        for key, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if not numbers:
        raise ToolError("LibreLane's metrics hold no number; did a step run?")
    return dict(sorted(numbers.items()))


def _design(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
