"""The stages from Verilog to a checked layout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flow import files
from flow.silicon import cell, floorplan, liberty, netlist
from flow.silicon.target import AsicTarget
from flow.tools import base, coriolis, klayout, yosys, yosys_cells
from rtl_gen.errors import TargetError, ToolError

CLOCK = "clk"
TOP = "chip"
MOST_CELLS = 20_000
"""Largest netlist that is given to Coriolis: it left nets open above 17,000 cells."""

_KEPT = ("chip.gds", "chip.png", "layout.json", "routed.json", "netlist.v", "drc.json",
         "antenna.json", "finish.json")  # fmt: skip
PIXELS = 1400
# Okabe and Ito's colours, then lighter ones.
COLOURS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#b8b8ff",
    "#8ecae6", "#ffb4a2", "#90be6d", "#9d8189",
)  # fmt: skip


def synthesize(chip: Path, views: Path, folder: Path, log: Path) -> None:
    """Map the chip to standard cells.

    Parameters
    ----------
    chip : Path
        ``chip.v``, with the images it reads in ``rom/`` beside it.
    views : Path
        Folder of the cells' views.
    folder : Path
        Receives ``netlist.json`` (as Yosys writes it), ``mapped.json`` (the same with units) and
        ``cells.json`` (cells and area by unit).

    Raises
    ------
    ToolError, ToolNotFoundError
        If Yosys fails or is absent.
    FlowError
        If something is left that no cell is.
    """
    library = cell.read(views / "library.json")
    used = [item for item in library.cells.values() if item.usable]
    text = liberty.untimed(used, "cells", 1.8, 25)
    job = yosys_cells.synthesize_cells(chip, chip.parent / "rom", text)
    base.run(job, folder / "synthesis", log, progress=yosys.progress)
    files.copy(folder / "synthesis/netlist.json", folder / "netlist.json")
    content = files.read_json(folder / "netlist.json")
    mapped = netlist.from_yosys(content, TOP, library)
    floating = netlist.undriven(mapped, library)
    if floating:
        raise ToolError(f"synthesis left {len(floating)} nets without a driver: {floating[0]}")
    units = netlist.area_by_unit(mapped, library)
    area = sum(item["area_um2"] for item in units.values())
    files.write_json(folder / "mapped.json", netlist.to_json(mapped))
    files.write_json(
        folder / "cells.json",
        {"yosys": yosys.version(), "cells": len(mapped.gates), "area_um2": area, "units": units},
    )
    print(f"  {len(mapped.gates)} cells, {area:,.0f} um2", file=sys.stderr)


Plan = Callable[[netlist.Netlist, cell.Library, float], floorplan.Floorplan]
"""Gives the block of a netlist whose cells fill a part of it, or less to have room for wires."""


def square(design: netlist.Netlist, library: cell.Library, part: float) -> floorplan.Floorplan:
    """Block of a whole chip."""
    return floorplan.plan(design, library, floorplan.part(design, library, part), CLOCK)


def place(mapped: Path, target: AsicTarget, where: str, views: Path, folder: Path,
          log: Path, block: Plan = square, name: str = "") -> None:  # fmt: skip
    """Place, route, finish and check rules, in a larger core until all is well.

    Parameters
    ----------
    mapped : Path
        ``mapped.json``.
    where : str
        File of the target, for messages.
    folder : Path
        Receives ``chip.gds``, ``chip.png``, ``layout.json`` (what is where), ``routed.json`` and
        ``netlist.v`` (the netlist in the layout), ``drc.json``, ``antenna.json`` and
        ``place.json`` (how it went). If rules are broken at every utilization, these are of the
        try with the fewest violations: the checks judge it.
    name : str
        What is laid out, before each line that is shown.

    Raises
    ------
    TargetError
        If there are more cells than the engine takes, or nets stay open at every utilization.
    ToolError, ToolNotFoundError
        If a tool fails otherwise or is absent, or a port has no label in the layout.
    """
    library = cell.read(views / "library.json")
    design = netlist.from_json(files.read_json(mapped))
    if len(design.gates) > MOST_CELLS:
        raise TargetError(
            f"{where}: the chip has {len(design.gates)} cells, at most {MOST_CELLS} are placed and "
            "routed flat; use fewer `plan.lanes`, narrower `quantize.weights` or a smaller model"
        )
    files.write(folder / "design.blif", netlist.blif(design))
    area = sum(library.cells[gate.cell].area for gate in design.gates)
    tries: list[dict[str, Any]] = []
    best: Path | None = None
    shown = f"  {name} " if name else "  "
    for number, asked in enumerate(target.utilization, 1):
        plan = block(design, library, asked)
        utilization = round(area / (plan.width * plan.height), 4)
        trial = folder / f"try{number}"
        found = _route(design, plan, library, views, trial, log)
        if isinstance(found, str):
            tries.append({"utilization": utilization, "fault": found})
            print(f"{shown}{utilization:.0%}: {coriolis.NAME} gave up: {found}", file=sys.stderr)
            continue
        tries.append({"utilization": utilization, "open_segments": found.open_segments})
        print(f"{shown}{utilization:.0%}: {plan.width:.0f} x {plan.height:.0f} um, "
              f"{found.open_segments} segments open", file=sys.stderr, flush=True)  # fmt: skip
        if found.open_segments:
            continue
        placed = files.read_json(trial / "coriolis/layout.json")
        if opened := netlist.open_pins(placed, library):
            tries[-1]["fault"] = f"{len(opened)} pins without a net, among them {opened[0]}"
            print(f"{shown}{utilization:.0%}: {tries[-1]['fault']}", file=sys.stderr, flush=True)
            continue
        placed["pins"] = {net: at for net, _, at in plan.pins}
        routed = netlist.routed(placed, design, library)
        finish(placed, routed, trial / "coriolis/routed.gds", library, trial, log)
        broken = broken_rules(trial)
        tries[-1] |= {"rows": plan.rows, **broken, **asdict(found)}
        print(f"{shown}{utilization:.0%}: {broken['violations']} violations of design rules, "
              f"{broken['antennas']} of antenna rules", file=sys.stderr, flush=True)  # fmt: skip
        if best is None or sum(broken.values()) < sum(broken_rules(best).values()):
            best = trial
            chosen = tries[-1]
        if not any(broken.values()):
            break
    if best is None:
        listed = ", ".join(map(str, target.utilization))
        raise TargetError(
            f"{where}: nothing is routed at any utilization ({listed}): {tries}; add a lower one"
        )
    keep(best, folder)
    files.write_json(
        folder / "place.json", {"coriolis": coriolis.version(), "tries": tries, "chosen": chosen}
    )


def broken_rules(trial: Path) -> dict[str, int]:
    """Violations of design rules and of antenna rules in a finished layout."""
    return {
        name: files.read_json(trial / f"{file}.json")["violations"]
        for name, file in (("violations", "drc"), ("antennas", "antenna"))
    }


def _route(
    design: netlist.Netlist,
    plan: floorplan.Floorplan,
    library: cell.Library,
    views: Path,
    trial: Path,
    log: Path,
) -> coriolis.Routing | str:
    """Place and route once; open nets are a result, and so is a fault of the router's own."""
    text = json.dumps(floorplan.describe(plan, design, library, CLOCK), indent=1)
    job = coriolis.place(trial.parent / "design.blif", text, views)
    # A try that failed leaves no record; its statistics tell why.
    said = trial.parent / f"{trial.name}.coriolis.log"
    try:
        if base.run(job, trial / "coriolis", log, progress=coriolis.progress):
            files.copy(log, said)
        return coriolis.metrics(said.read_text())
    except ToolError:
        if fault := coriolis.fault(log.read_text()):
            return fault
        try:
            found = coriolis.metrics(log.read_text())
        except ValueError:
            found = None
        if found is None or not found.open_segments:
            raise  # another failure than the one a larger core helps against
        return found


def keep(trial: Path, folder: Path) -> None:
    """Take what was made in `trial` for what `folder` is about."""
    for name in _KEPT:
        files.copy(trial / name, folder / name)


def finish(placed: Mapping[str, Any], routed: netlist.Netlist, gds: Path, library: cell.Library,
           trial: Path, log: Path) -> None:  # fmt: skip
    """Name, draw and check a routed layout; everything that is kept is then in `trial`."""
    plan = _drawing(placed, routed, library)
    job = klayout.finish(gds, json.dumps(plan))
    base.run(job, trial / "klayout", log.with_suffix(".finish"))
    shapes = files.read_json(trial / "klayout/shapes.json")
    wanted = {netlist.alias(port) for port in routed.ports}
    labels = {label.replace("(", "[").replace(")", "]") for label in shapes["labels"]}
    if missing := sorted(wanted - labels):
        raise ToolError(f"{len(missing)} ports have no pin in the layout, among them {missing[0]}")
    rules_job = klayout.rules(trial / "klayout/chip.gds", routed.top)
    base.run(rules_job, trial / "drc", log.with_suffix(".drc"),
             environment=klayout.environment_variables())  # fmt: skip
    rules = klayout.violations((trial / "drc/rules.xml").read_text())
    antenna_job = klayout.antennas(trial / "klayout/chip.gds")
    base.run(antenna_job, trial / "antenna", log.with_suffix(".antenna"))
    found = files.read_json(trial / "antenna/antenna.json")
    files.write_json(trial / "antenna.json", {**found, "klayout": antenna_job.version})
    for name in ("chip.gds", "chip.png"):
        files.copy(trial / "klayout" / name, trial / name)
    files.write_json(trial / "layout.json", placed)
    files.write_json(trial / "routed.json", netlist.to_json(routed))
    files.write(trial / "netlist.v", netlist.verilog(routed))
    files.write_json(trial / "drc.json", {**asdict(rules), "klayout": rules_job.version})
    areas = netlist.area_by_unit(routed, library)
    files.write_json(
        trial / "finish.json",
        {
            "core_um": placed["size"],
            "die_um": shapes["extent"],
            "units": {
                unit: {**item, "colour": plan["colours"][unit]} for unit, item in areas.items()
            },
            "cells": len(routed.gates),
            "fill_cells": len(placed["instances"]) - len(routed.gates),
        },
    )


def _drawing(
    placed: Mapping[str, Any], routed: netlist.Netlist, library: cell.Library
) -> dict[str, Any]:
    """Content of ``finish.json`` of `flow.engines.klayout_finish`."""
    signal = [
        item for item in placed["instances"]
        if item["cell"] in library.cells and library.cells[item["cell"]].pins
    ]  # fmt: skip
    boxes: dict[str, list[list[float]]] = {unit: [] for unit in
                                           netlist.area_by_unit(routed, library)}  # fmt: skip
    for item, gate in zip(signal, routed.gates, strict=True):
        shape = library.cells[item["cell"]]
        x, y = item["at"]
        boxes[gate.unit].append([x, y, round(x + shape.width, 4), round(y + shape.height, 4)])
    colours = {unit: COLOURS[index % len(COLOURS)] for index, unit in enumerate(boxes)}
    return {"top": routed.top, "pixels": PIXELS, "boxes": boxes, "colours": colours}


def compare(gds: Path, placed: Path, views: Path, result: Path, log: Path) -> None:
    """Compare the layout with its netlist and write ``lvs.json`` and ``wires.json``.

    A mismatch is judged later.
    """
    folder = result.parent / "lvs"
    job = klayout.compare(gds, placed, views)
    base.run(job, folder, log)
    found = klayout.matches((folder / "lvs.json").read_text())
    files.copy(folder / "wires.json", result.parent / "wires.json")
    files.write_json(result, {**found, "klayout": job.version})
    print(f"  layout and netlist {'match' if found['match'] else 'DIFFER'}", file=sys.stderr)
