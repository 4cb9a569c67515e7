"""Why a plan was chosen, where its resources go, and what would make a network fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from rtl_gen.errors import ConfigError, FlowError, UnsupportedError
from rtl_gen.ir.integer import ConstMatVec, Conv2d, Embedding, ExpertMatVec, IntegerGraph
from rtl_gen.plan.chooser import Candidate, Pins, Search, search
from rtl_gen.plan.device import Device, family
from rtl_gen.plan.resource import Resources
from rtl_gen.plan.whatif import with_context, with_weight_bits

LABELS = {
    "lut": "LUTs", "ff": "flip-flops", "ebr": "block RAMs", "dsp": "multipliers",
    "area": "µm² of cells", "cells": "standard cells",
}  # fmt: skip
LARGEST = 3
"""Units and tensors that a message names."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant tensor of the network.

    Parameters
    ----------
    name, node : str
        Of the tensor and of the node that reads it.
    shape : tuple of int
    bits : int
        Per weight.
    products : int
        Multiplications per step.
    """

    name: str
    node: str
    shape: tuple[int, ...]
    bits: int
    products: int

    @property
    def size(self) -> int:
        """Number of weights."""
        return prod(self.shape)


def tensors(graph: IntegerGraph) -> list[Tensor]:
    """Matrices, kernels and tables, in the order of their first use."""
    found: dict[str, Tensor] = {}
    for node in graph.nodes:
        if isinstance(node.op, ConstMatVec | Conv2d):
            name = node.op.weight
            constant = graph.constants[name]
            places = prod(node.value.shape[1:]) if isinstance(node.op, Conv2d) else 1
            products = constant.data.size * places
        elif isinstance(node.op, ExpertMatVec):
            # All experts are stored, one is multiplied.
            name = node.op.weight
            constant = graph.constants[name]
            products = constant.data[0].size
        elif isinstance(node.op, Embedding):
            name, products = node.op.table, 0
            constant = graph.constants[name]
        else:
            continue
        old = found.get(name)
        products += old.products if old else 0
        found[name] = Tensor(name, node.name, constant.data.shape, constant.type.width, products)
    return list(found.values())


def nearest(found: Search, pins: Pins) -> Candidate:
    """The candidate within `pins` that comes closest to fitting.

    Raises
    ------
    UnsupportedError, ConfigError
        If the network allows none of them.
    """
    allowed = [item for item in found.candidates if pins.allow(item.plan)]
    if not allowed:
        reasons = [why for plan, why in found.refused.items() if pins.allow(plan)]
        if reasons:
            raise UnsupportedError(reasons[-1])
        heads = sorted({item.plan.heads for item in found.candidates})
        raise ConfigError(f"plan: {pins} is no plan for this network: elements divide lanes, and "
                          f"heads must be one of {', '.join(map(str, heads))}")  # fmt: skip
    return min(allowed, key=lambda item: (found.share(item), found.cost(item)))


def misfit(graph: IntegerGraph, found: Search, pins: Pins, utilization: float) -> list[str]:
    """Say by how much the smallest plan does not fit, where, and what would make it fit.

    One line per resource that is short, then one per remedy that helps.
    """
    item = nearest(found, pins)
    lines = [
        f"no plan fits within {100 * utilization:.0f} % of "
        f"{' and '.join(d.name for d in found.devices)}; the nearest is {item.plan.text()}:"
    ]
    for device, cost in zip(found.devices, item.costs, strict=True):
        room = device.usable(utilization)
        for name in replace(device, room=room).short(cost.total):
            need, have = getattr(cost.total, name), getattr(room, name)
            lines.append(
                f"  {device.name}, {LABELS[name]}: {need:,.0f} needed, {have:,.0f} usable, "
                f"{need - have:,.0f} too many{_over(need, have)}; {_where(graph, cost.units, name)}"
            )
    remedies = list(_remedies(graph, found, pins, utilization))
    lines += [f"  would fit: {text}" for text in remedies]
    if not remedies:
        lines.append("  neither narrower weights, a shorter context nor another device of the "
                     "family is enough: the network needs fewer parameters")  # fmt: skip
    return lines


def _over(need: float, have: float) -> str:
    return f" ({100 * need / have - 100:.0f} % over)" if have else ""


def _where(graph: IntegerGraph, units: Mapping[str, Resources], name: str) -> str:
    largest = sorted(units, key=lambda unit: -getattr(units[unit], name))[:LARGEST]
    amounts = {unit: getattr(units[unit], name) for unit in largest}
    text = "most in " + ", ".join(f"{unit} {n:,.0f}" for unit, n in amounts.items() if n)
    if name == "ebr":
        heavy = sorted(tensors(graph), key=lambda t: -t.size * t.bits)[:LARGEST]
        text += "; largest tensors " + ", ".join(
            f"{t.name} ({t.size * t.bits:,} bits)" for t in heavy
        )
    return text


def _remedies(graph: IntegerGraph, found: Search, pins: Pins, utilization: float) -> Iterator[str]:
    """Changes that make it fit, the mildest of every kind."""
    widest = max((t.bits for t in tensors(graph)), default=0)
    # The plan that comes nearest stays: it is the smallest of what is scarce.
    least = nearest(found, pins).plan
    free = pins
    pins = Pins(
        least.lanes, least.elements, least.heads, least.slots, least.styles, least.top_k
    )  # fmt: skip
    for bits in (6, 5, 4, 3, 2):
        item = _fits(with_weight_bits(graph, bits), found.devices, pins, utilization)
        if bits < widest and item:
            yield f"weights of {bits} bits (`quantize.weights`), with {item.plan.text()}"
            break
    context = graph.context // 2
    while graph.vocabulary and context >= 8:
        item = _fits(with_context(graph, context), found.devices, pins, utilization)
        if item:
            yield (f"a context of {context} positions instead of {graph.context}, "
                   f"with {item.plan.text()}")  # fmt: skip
            break
        context //= 2
    loose = Pins(slots=free.slots, styles=free.styles, top_k=free.top_k)
    if free != loose:
        item = _fits(graph, found.devices, loose, utilization)
        if item:
            yield f"{item.plan.text()} instead of what is pinned"
    if len({d.family for d in found.devices}) == 1 and found.devices[0].family != "sky130":
        item_device = _larger(graph, found.devices, pins, utilization)
        if item_device:
            yield f"{item_device.name}"
    elif found.devices[0].family == "sky130":
        area = nearest(found, pins).costs[0].total.area / utilization / 1e6
        yield f"{area:.2f} mm²"


def _fits(
    graph: IntegerGraph, devices: Sequence[Device], pins: Pins, utilization: float
) -> Candidate | None:
    """A fitting candidate of a changed network, the cheapest."""
    try:
        found = search(graph, tuple(devices), pins)
    except (FlowError, ValueError):  # the change breaks a rule of the graph: no remedy
        return None
    return min(found.fitting(utilization), key=found.cost, default=None)


def _larger(
    graph: IntegerGraph, devices: Sequence[Device], pins: Pins, utilization: float
) -> Device | None:
    """Smallest device of the family that would do."""
    for device in family(devices[0].family):
        if device not in devices and _fits(graph, (device,), pins, utilization):
            return device
    return None
