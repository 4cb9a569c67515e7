"""Collect what the stages measured into the ``metrics.json`` of one layout."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flow import __version__, checks
from flow.config import ModelConfig
from flow.measure import bits, comparison
from flow.metrics import record
from flow.silicon.power import summary
from flow.silicon.target import AsicTarget


def collect(
    model: ModelConfig,
    target: AsicTarget,
    *,
    quality: Mapping[str, Any],
    manifest: Mapping[str, Any],
    rtl: Mapping[str, Any],
    netlist: Mapping[str, Any],
    cells: Mapping[str, Any],
    place: Mapping[str, Any],
    finish: Mapping[str, Any],
    lvs: Mapping[str, Any],
    drc: Mapping[str, Any],
    timing: Mapping[str, Any],
    power: Mapping[str, Any],
) -> dict[str, Any]:
    """Give the content of ``metrics.json``: deterministic, with no date and no path of a machine.

    Parameters
    ----------
    quality, manifest, rtl, netlist, cells, place, finish, lvs, drc, timing, power : mapping
        Contents of the JSON files of the stages.
    """
    memories = manifest["memories"]
    cycles = rtl["cycles"]
    width, height = finish["core_um"]
    units = finish["units"]
    placed = sum(item["area_um2"] for item in units.values())
    setup, hold = (
        min(item[key] for name, item in timing["corners"].items() if name.endswith("wires"))
        for key in ("setup_ns", "hold_ns")
    )
    fmax = 1e3 / (timing["period_ns"] - setup)
    values: dict[str, float | int | None] = {
        "design__instance__count": finish["cells"],
        "design__die__area": round(finish["die_um"][0] * finish["die_um"][1], 1),
        "design__core__area": round(width * height, 1),
        "design__instance__area": round(placed, 1),
        "design__instance__area__mapped": round(cells["area_um2"], 1),
        "design__instance__count__sequential": sum(item["ff"] for item in units.values()),
        "design__instance__utilization": placed / (width * height),
        "route__wirelength": place["chosen"]["wires_um"],
        "route__open_segments": place["chosen"]["open_segments"],
        "klayout__drc_error__count": drc["violations"],
        "design__lvs_error__count": lvs["mismatches"],
        "timing__fmax": fmax,
        "timing__setup__ws": setup,
        "timing__hold__ws": hold,
        **summary(power, target.corners[0]),
        "clock__frequency": target.clock_mhz,
        "step__cycles__first": cycles["first"],
        "step__cycles__average": cycles["average"],
        "step__cycles__longest": cycles["longest"],
        "step__rate__fmax": 1e6 * fmax / cycles["average"],
        "step__rate__clock": 1e6 * target.clock_mhz / cycles["average"],
        "weights__stored": manifest["weights"]["stored"],
        "weights__used": manifest["weights"]["used"],
        "memory__constant__bits": bits(memories, "constant"),
        "memory__state__bits": bits(memories, "state"),
        **quality["quality"],
        "verify__rtl__steps": rtl["compared"],
        "verify__rtl__mismatches": rtl["mismatches"],
        "verify__netlist__steps": netlist["compared"],
        "verify__netlist__mismatches": netlist["mismatches"],
    }
    result: dict[str, Any] = {
        "model": model.name,
        "target": target.name,
        "title": model.title,
        "architecture": manifest["architecture"],
        "kind": manifest["kind"],
        "metrics": record(values),
        "conditions": _conditions(model, target, manifest, place),
        "layout": {
            "core_um": finish["core_um"],
            "die_um": finish["die_um"],
            "units": units,
            "fill_cells": finish["fill_cells"],
            "cell_types": lvs["cells"],
            "lvs": lvs,
            "drc": drc,
            "tries": place["tries"],
            "timing": timing["corners"],
            "power": power,
        },
        "cycles_by_position": cycles["by_position"],
        "memories": memories,
        "verification": {"rtl": comparison(rtl), "netlist": comparison(netlist)},
        "samples": quality["samples"],
        "tools": {
            "Intaglio": __version__,
            "Amaranth": importlib.metadata.version("amaranth"),
            "Yosys": cells["yosys"],
            "Coriolis": place["coriolis"],
            "KLayout (LVS)": lvs["klayout"],
            "KLayout (DRC)": drc["klayout"],
            "OpenSTA": timing["opensta"],
            "simulator": rtl["simulator"],
        },
    }
    return {**result, "checks": [asdict(check) for check in checks.judge(result)]}


def _conditions(
    model: ModelConfig,
    target: AsicTarget,
    manifest: Mapping[str, Any],
    place: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "process": target.process,
        "clock_mhz": target.clock_mhz,
        "utilization_asked": place["chosen"]["utilization"],
        "rows": place["chosen"]["rows"],
        "identity": manifest["identity"],
        "origin": manifest["origin"],
        "plan": manifest["plan"],
        "weights": model.quantize.weights,
        "activation_bits": model.quantize.activation_bits,
        "solver": model.quantize.solver,
        "loss_increase_bound": model.quantize.loss_increase,
        "context": manifest.get("context"),
        "vocabulary": manifest.get("vocabulary"),
    }
