"""Collect what the stages measured into the ``metrics.json`` of one layout."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flow import __version__, checks
from flow.config import ModelConfig
from flow.measure import about, conditions, evidence, of_chip, of_steps
from flow.metrics import record
from flow.silicon.power import summary
from flow.silicon.target import AsicTarget
from flow.silicon.timing import worst_corner


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
    antenna: Mapping[str, Any],
    timing: Mapping[str, Any],
    power: Mapping[str, Any],
) -> dict[str, Any]:
    """Give the content of ``metrics.json``: deterministic, with no date and no path of a machine.

    Parameters
    ----------
    quality, manifest, rtl, netlist, cells, place, finish : mapping
    lvs, drc, antenna, timing, power : mapping
        Contents of the JSON files of the stages.
    """
    width, height = finish["core_um"]
    units = finish["units"]
    placed = sum(item["area_um2"] for item in units.values())
    setup, hold = (
        timing["corners"][worst_corner(timing["corners"], key)][key]
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
        "antenna__violating__nets": antenna["violations"],
        "design__lvs_error__count": lvs["mismatches"],
        "timing__fmax": fmax,
        "timing__setup__ws": setup,
        "timing__hold__ws": hold,
        **summary(power, target.corners[0]),
        "clock__frequency": target.clock_mhz,
        **of_steps(rtl, target.clock_mhz, fmax),
        **of_chip(quality, manifest, rtl, netlist),
    }
    result: dict[str, Any] = {
        **about(model, target.name, manifest),
        "metrics": record(values),
        "conditions": {
            "process": target.process,
            "clock_mhz": target.clock_mhz,
            "utilization_asked": place["chosen"]["utilization"],
            "rows": place["chosen"]["rows"],
            **conditions(model, manifest),
        },
        "layout": {
            "core_um": finish["core_um"],
            "die_um": finish["die_um"],
            "units": units,
            "fill_cells": finish["fill_cells"],
            "cell_types": lvs["cells"],
            "lvs": lvs,
            "drc": drc,
            "antenna": antenna,
            "tries": place["tries"],
            "tiles": place["chosen"].get("tiles", {}),
            "timing": timing["corners"],
            "power": power,
        },
        **evidence(quality, manifest, rtl, netlist),
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
