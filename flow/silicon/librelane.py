"""Texts of a LibreLane design: configuration, constraints, order of pins."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flow.config import check
from flow.silicon import macro
from flow.silicon.macro import Macro
from rtl_gen.errors import ConfigError, FlowError

LIBRARIES = {
    "sky130A": "sky130_fd_sc_hd", "gf180mcuD": "gf180mcu_fd_sc_mcu7t5v0",
    "ihp-sg13g2": "sg13g2_stdcell",
}  # fmt: skip
"""Standard cells of each PDK."""

TOP, CLOCK = "chip", "clk"
UNCERTAINTY_NS = 0.25
OUTSIDE = 0.25
"""Part of the period that passes outside before an input comes and after an output goes."""

_PORT = re.compile(r"^  (input|output) (?:wire )?(?:\[(\d+):0\] )?(\w+);$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LibrelaneTarget:
    """One file of ``configs/targets`` of kind librelane; see ``librelane.schema.yaml``."""

    name: str
    title: str
    kind: str
    pdk: str
    clock_mhz: float
    utilization: float
    memories: str
    macros: tuple[Macro, ...]


def load(path: Path) -> LibrelaneTarget:
    """Read the configuration of a target.

    Raises
    ------
    ConfigError
        If the file is absent, is not YAML or breaks the schema.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    filled = check(values if isinstance(values, dict) else {}, "librelane", str(path))
    return LibrelaneTarget(
        path.stem, filled["title"], filled["kind"], filled["pdk"], filled["clock_mhz"],
        filled["utilization"], filled["memories"],
        tuple(macro.from_config(item) for item in filled["macros"]),
    )  # fmt: skip


def ports(verilog: str) -> dict[str, str]:
    """Ports of module ``chip`` and their directions, in order of names.

    Raises
    ------
    FlowError
        If there is no such module, or it has no clock.
    """
    found = re.search(rf"^module {TOP}\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    names = {item[3]: item[1] for item in _PORT.finditer(found[0])} if found else {}
    if CLOCK not in names:
        raise FlowError(f"the Verilog has no module {TOP!r} with a port {CLOCK!r}")
    return dict(sorted(names.items()))


def config(target: LibrelaneTarget, memories: Mapping[str, Any]) -> dict[str, Any]:
    """Content of ``config.json``; the files it names lie beside it, or in the PDK.

    Parameters
    ----------
    memories : mapping
        Variables of the SRAM macros, see `flow.silicon.sram.config`.
    """
    macros = {item.name: _macro(item) for item in target.macros} | memories.get("MACROS", {})
    return {
        "meta": {"version": 3, "flow": "Classic"},
        "DESIGN_NAME": TOP,
        "VERILOG_FILES": ["dir::chip.v"],
        "CLOCK_PORT": CLOCK,
        "CLOCK_PERIOD": round(1e3 / target.clock_mhz, 4),
        "PNR_SDC_FILE": "dir::chip.sdc",
        "SIGNOFF_SDC_FILE": "dir::chip.sdc",
        "FP_CORE_UTIL": round(100 * target.utilization, 2),
        "IO_PIN_ORDER_CFG": "dir::pins.cfg",
        # Generated Verilog is full of what lint dislikes; the chip is compared with golden instead.
        "RUN_LINTER": False,
        **memories,
        **({"MACROS": macros} if macros else {}),
    }


def _macro(item: Macro) -> dict[str, Any]:
    return {
        "gds": [f"dir::macros/{item.gds.name}"],
        "lef": [f"dir::macros/{item.lef.name}"],
        "lib": {"*": [f"dir::macros/{item.lib.name}"]},
        "instances": {
            name: {"location": list(place), "orientation": "N"}
            for name, place in item.instances.items()
        },
    }


def constraints(target: LibrelaneTarget, names: Mapping[str, str]) -> str:
    """SDC text: the clock, and a part of its period outside of the chip."""
    period = 1e3 / target.clock_mhz
    inputs = [name for name, way in names.items() if way == "input" and name != CLOCK]
    outputs = [name for name, way in names.items() if way == "output"]
    lines = [
        f"create_clock [get_ports {CLOCK}] -name {CLOCK} -period {period:.4f}",
        f"set_clock_uncertainty {UNCERTAINTY_NS} [get_clocks {CLOCK}]",
        "set_propagated_clock [get_clocks clk]",
        f"set_input_delay {OUTSIDE * period:.4f} -clock [get_clocks {CLOCK}] {_collection(inputs)}",
        f"set_output_delay {OUTSIDE * period:.4f} -clock [get_clocks {CLOCK}] "
        f"{_collection(outputs)}",
    ]
    return "\n".join([*lines, ""])


def _collection(names: Sequence[str]) -> str:
    return "[get_ports {" + " ".join(f"{name} {name}[*]" for name in names) + "}]"


def pin_order(names: Mapping[str, str]) -> str:
    """Text of ``pins.cfg``: inputs west, outputs east, clock and reset north, as in `floorplan`."""
    north = [name for name in names if name in {CLOCK, "rst"}]
    sides = {
        "N": north,
        "W": [name for name, way in names.items() if way == "input" and name not in north],
        "E": [name for name, way in names.items() if way == "output"],
    }
    blocks = (
        "\n".join([f"#{side}", *(f"{re.escape(name)}(\\[\\d+\\])?" for name in found)])
        for side, found in sides.items()
    )
    return "\n\n".join(blocks) + "\n"


def texts(target: LibrelaneTarget, verilog: str, memories: Mapping[str, Any]) -> dict[str, str]:
    """All files of a design by name, but the images of its ROMs."""
    names = ports(verilog)
    return {
        "chip.v": verilog,
        "config.json": json.dumps(config(target, memories), indent=2) + "\n",
        "chip.sdc": constraints(target, names),
        "pins.cfg": pin_order(names),
    }
