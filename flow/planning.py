"""What the planner found for a model and its targets, as data for reports and the command line."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flow import checkpoint, config, graph
from flow.config import ModelConfig
from rtl_gen.errors import TargetError
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.plan import chooser, device, explain, style, style_choice
from rtl_gen.plan.chooser import Candidate, Pins, Search
from rtl_gen.plan.device import Device
from rtl_gen.plan.feature import FEATURES
from rtl_gen.plan.fit import fit
from rtl_gen.plan.folding import Plan
from rtl_gen.plan.resource import Resources

CALIBRATION = 8
"""Sequences that calibrate a graph of which only the sizes are wanted."""


def targets(names: Sequence[str]) -> list[tuple[Device, float]]:
    """Device and clock (MHz) of every target; a name may also be that of a device.

    Raises
    ------
    ConfigError
        If a name is neither.
    """
    known = {path.stem for path in (config.FOLDER / "targets").glob("*.yaml")}
    found = []
    for name in names:
        if name in known:
            target = config.load_target(config.target_file(name))
            found.append((device.device(target.device), target.clock_mhz))
        else:
            found.append((device.device(name), 0.0))
    return found


def quick_graph(model: ModelConfig) -> IntegerGraph:
    """Integer graph with the sizes of `model`: rounded to nearest, calibrated on little."""
    from flow import quantize  # noqa: PLC0415  # planning of a graph that exists needs none of it

    fast = dataclasses.replace(
        model,
        quantize=dataclasses.replace(model.quantize, solver="nearest"),
        data=dataclasses.replace(
            model.data, calibration=min(CALIBRATION, model.data.calibration), evaluation=1
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        quantize.run(fast, checkpoint.locate(fast.checkpoint), Path(folder))
        return graph.read(Path(folder) / "graph.safetensors")


def choose(
    design: IntegerGraph,
    wanted: config.Plan,
    aims: Sequence[tuple[Device, float]],
    slots: int = 1,
) -> tuple[Plan, dict[str, Any]]:
    """The plan for `design`, and the report.

    What a person pinned entirely is taken as it is, fitting or not: synthesis will measure it.

    Raises
    ------
    TargetError
        If no plan fits: by how much, where, and what would make it fit.
    UnsupportedError
        If the network cannot be built.
    """
    styles = style.pinned(design, wanted.styles)
    if wanted.binding == "space":
        own = {key: getattr(wanted, key) for key in ("positions", "sharing", "tables")}
        plan = Plan(1, styles=styles, top_k=wanted.top_k, binding="space", **own)
        return plan, {}
    open_ = [n for n, how in style.wanted(design, wanted.styles).items() if how == "auto"]
    pins = Pins(
        wanted.lanes, wanted.elements, wanted.heads, slots, styles, wanted.top_k, wanted.block_rams
    )
    devices = tuple(item for item, _ in aims)
    free = Pins(slots=slots, styles=styles, top_k=wanted.top_k, block_rams=wanted.block_rams)
    found = chooser.search(design, devices, free)
    if not any(pins.allow(plan) for plan in [*(c.plan for c in found.candidates), *found.refused]):
        # What a person pins need not be among the powers of two that are searched.
        more = chooser.search(design, devices, pins)
        candidates = (*found.candidates, *more.candidates)
        found = dataclasses.replace(found, candidates=candidates)
    item = chooser.best(found, wanted.objective, wanted.utilization, pins)
    chosen = item or explain.nearest(found, pins)
    if item is None and not pins.complete:
        raise TargetError("\n".join(explain.misfit(design, found, pins, wanted.utilization)))
    if open_:
        chosen = _with_styles(design, found, chosen, wanted, open_)
    content = report(design, found, chosen, wanted, [clock for _, clock in aims])
    if item is None:
        content["misfit"] = explain.misfit(design, found, pins, wanted.utilization)
    return chosen.plan, content


def _with_styles(
    design: IntegerGraph,
    found: Search,
    item: Candidate,
    wanted: config.Plan,
    names: Sequence[str],
) -> Candidate:
    """`item` with those of `names` in space that pay, or itself if the built chip says they do not.

    Estimates propose; the parts of the whole chip, its adder graphs included, decide.
    """
    moved = style_choice.choose(design, found, item, wanted.objective, wanted.utilization, names)
    if not moved:
        return item
    plan = item.plan
    styles = (*plan.styles, *moved.items())
    pins = Pins(
        plan.lanes, plan.elements, plan.heads, plan.slots, styles, plan.top_k, plan.block_rams
    )
    (other,) = chooser.search(design, found.devices, pins).candidates
    key = chooser.OBJECTIVES[wanted.objective]
    fits = found.share(other, wanted.utilization) <= 1
    return other if fits and key(found, other) < key(found, item) else item


def report(
    design: IntegerGraph,
    found: Search,
    chosen: Candidate,
    wanted: config.Plan,
    clocks: Sequence[float],
) -> dict[str, Any]:
    """Everything about a choice; JSON-serializable."""
    front = chooser.pareto(found)
    return {
        "objective": wanted.objective,
        "misfit": [],
        "utilization": wanted.utilization,
        "devices": [
            {"name": d.name, "family": d.family, "clock_mhz": clock, "source": d.source,
             "room": {name: getattr(d.room, name) for name in d.resources}}
            for d, clock in zip(found.devices, clocks, strict=True)
        ],
        "chosen": _candidate(found, chosen, wanted.utilization),
        "units": {
            unit: {name: round(getattr(used, name)) for name in found.devices[0].counted}
            for unit, used in chosen.costs[0].units.items()
        },
        "extrapolated": {
            d.family: fit(d.family).extrapolated(FEATURES) for d in found.devices
            if fit(d.family).extrapolated(FEATURES)
        },
        "uncounted": [
            unit for unit, used in chosen.costs[0].units.items() if used == Resources()
        ],
        "candidates": [
            _candidate(found, item, wanted.utilization) | {"front": item in front}
            for item in found.candidates
        ],
        "refused": {plan.text(): reason for plan, reason in found.refused.items()},
        "tensors": _tensors(design, chosen.plan),
        "model": {d.family: dict(fit(d.family).conditions) for d in found.devices},
    }  # fmt: skip


def _tensors(design: IntegerGraph, plan: Plan) -> list[dict[str, Any]]:
    """Every tensor with its style and why."""
    styles = style.table(design, plan, dict(plan.styles))
    unmoved = ("rom", "a table, or a kernel that slides: read word by word")
    return [
        {**asdict(item), "size": item.size,
         **dict(zip(("style", "why"), styles.get(item.name, unmoved), strict=True))}
        for item in explain.tensors(design)
    ]  # fmt: skip


def _candidate(found: Search, item: Candidate, utilization: float) -> dict[str, Any]:
    share = found.share(item, utilization)
    return {
        "plan": asdict(item.plan),
        "text": item.plan.text(),
        "cycles": asdict(item.cycles),
        "cost": found.cost(item),
        "share": share,
        "fits": share <= 1,
        "energy": found.energy(item),
        "from_luts": [asdict(cost.share) for cost in item.costs],
        "total": [
            {name: round(getattr(cost.total, name)) for name in d.counted}
            for d, cost in zip(found.devices, item.costs, strict=True)
        ],
    }


def rate(cycles: Mapping[str, float], clock_mhz: float) -> float:
    """Average steps per second at a clock."""
    return 1e6 * clock_mhz / cycles["average"]
