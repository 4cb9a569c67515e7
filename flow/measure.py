"""Collect what the stages measured into the ``metrics.json`` of one chip."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from flow import __version__, activity, checks, ecp5
from flow.config import ModelConfig, TargetConfig
from flow.metrics import record


def collect(
    model: ModelConfig,
    target: TargetConfig,
    *,
    quality: Mapping[str, Any],
    manifest: Mapping[str, Any],
    rtl: Mapping[str, Any],
    netlist: Mapping[str, Any],
    cells: Mapping[str, Any],
    timings: Sequence[Mapping[str, Any]],
    bitstream: Mapping[str, Any],
) -> dict[str, Any]:
    """Give the content of ``metrics.json``: deterministic, with no date and no path of a machine.

    Parameters
    ----------
    quality, manifest, rtl, netlist, cells, bitstream : mapping
        Contents of the JSON files of the stages.
    timings : sequence of mapping
        ``timing.json`` of every seed.
    """
    chosen = next(item for item in timings if item["seed"] == bitstream["seed"])
    total = ecp5.Resources(**cells["total"])
    room = ecp5.CAPACITY[target.device]
    values: dict[str, float | int | None] = {
        "design__instance__count": cells["cells"],
        **{f"fpga__{name}__count": getattr(total, name) for name in ecp5.NAMES},
        **{
            f"fpga__{name}__utilization": 100 * getattr(total, name) / getattr(room, name)
            for name in ecp5.NAMES
        },
        "timing__fmax": chosen["fmax_mhz"],
        "timing__setup__ws": chosen["slack_ns"],
        "clock__frequency": chosen["clock_mhz"],
        **_shares(rtl.get("activity")),
        **of_steps(rtl, chosen["clock_mhz"], chosen["fmax_mhz"]),
        **of_chip(quality, manifest, rtl, netlist),
        "bitstream__size": bitstream["bytes"],
    }
    result: dict[str, Any] = {
        **about(model, target.name, manifest),
        "metrics": record(values),
        "conditions": {
            "device": target.device,
            "package": target.package,
            "speed": target.speed,
            "board": target.board,
            "clock_mhz": target.clock_mhz,
            "seed": chosen["seed"],
            **conditions(model, manifest),
        },
        "units": cells["units"],
        "capacity": asdict(room),
        "seeds": [{key: item[key] for key in ("seed", "fmax_mhz", "slack_ns")} for item in timings],
        "critical_path": chosen["path"],
        "activity": rtl.get("activity") or {},
        "planning": manifest.get("planning"),
        **evidence(quality, manifest, rtl, netlist),
        **({"routing": quality["routing"]} if "routing" in quality else {}),
        "tools": _tools(cells, chosen, bitstream, rtl),
    }
    return {**result, "checks": [asdict(check) for check in checks.judge(result)]}


def _shares(found: Mapping[str, Any] | None) -> dict[str, float]:
    """Per cent of the average step's cycles."""
    if not found:
        return {}
    average = found["average"]
    total = sum(average.values())
    names = {"lanes": "products", "control": activity.CONTROL}
    return {
        f"step__cycles__{name}": round(100 * average[part] / total, 2)
        for name, part in names.items()
        if part in average and total
    }


def about(model: ModelConfig, target: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Which chip it is."""
    return {
        "model": model.name,
        "target": target,
        "title": model.title,
        "architecture": manifest["architecture"],
        "kind": manifest["kind"],
    }


def of_steps(rtl: Mapping[str, Any], clock_mhz: float, fmax_mhz: float) -> dict[str, float]:
    """Metrics of cycles, and of steps at the clock asked for and at the highest one."""
    cycles = rtl["cycles"]
    return {
        **{f"step__cycles__{name}": cycles[name] for name in ("first", "average", "longest")},
        "step__rate__fmax": 1e6 * fmax_mhz / cycles["average"],
        "step__rate__clock": 1e6 * clock_mhz / cycles["average"],
    }


def of_chip(
    quality: Mapping[str, Any],
    manifest: Mapping[str, Any],
    rtl: Mapping[str, Any],
    netlist: Mapping[str, Any],
) -> dict[str, Any]:
    """Metrics that every target has: weights, memories, quality, comparisons with golden."""
    memories = manifest["memories"]
    return {
        "weights__stored": manifest["weights"]["stored"],
        "weights__used": manifest["weights"]["used"],
        "memory__constant__bits": bits(memories, "constant"),
        "memory__state__bits": bits(memories, "state"),
        **_present("memory__adapter__bits", bits(memories, "adapter")),
        **quality["quality"],
        "verify__rtl__steps": rtl["compared"],
        "verify__rtl__mismatches": rtl["mismatches"],
        "verify__netlist__steps": netlist["compared"],
        "verify__netlist__mismatches": netlist["mismatches"],
    }


def evidence(
    quality: Mapping[str, Any],
    manifest: Mapping[str, Any],
    rtl: Mapping[str, Any],
    netlist: Mapping[str, Any],
) -> dict[str, Any]:
    """What lies behind the metrics that every target has."""
    return {
        "cycles_by_position": rtl["cycles"]["by_position"],
        "memories": manifest["memories"],
        "verification": {"rtl": comparison(rtl), "netlist": comparison(netlist)},
        "samples": quality["samples"],
    }


def conditions(model: ModelConfig, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions of the metrics that every target has."""
    return {
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


def _tools(
    cells: Mapping[str, Any],
    timing: Mapping[str, Any],
    bitstream: Mapping[str, Any],
    rtl: Mapping[str, Any],
) -> dict[str, str]:
    return {
        "Intaglio": __version__,
        "Amaranth": importlib.metadata.version("amaranth"),
        "Yosys": cells["yosys"],
        "nextpnr-ecp5": timing["nextpnr"],
        "ecppack": bitstream["ecppack"],
        "simulator": rtl["simulator"],
    }


def comparison(result: Mapping[str, Any]) -> dict[str, Any]:
    """What ``metrics.json`` keeps of the result of a comparison with golden."""
    keys = ("compared", "sequences", "least", "distinct", "share", "differences")
    return {key: result[key] for key in keys}


def _present(name: str, value: int) -> dict[str, int]:
    return {name: value} if value else {}


def bits(memories: Sequence[Mapping[str, Any]], kind: str) -> int:
    """Bits of all memories of class `kind`."""
    return sum(
        item["width"] * item["depth"] * item["copies"] for item in memories if item["class"] == kind
    )
