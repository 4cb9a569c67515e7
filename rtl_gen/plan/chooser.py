"""Every legal plan of a network on a device, its cost and cycles, and the best of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from amaranth.hdl import UnusedElaboratable

from rtl_gen import emit
from rtl_gen.errors import UnsupportedError
from rtl_gen.ir.integer import Attention, IntegerGraph
from rtl_gen.ir.verify import verify
from rtl_gen.plan import cycle
from rtl_gen.plan.cost import Cost, predict
from rtl_gen.plan.cycle import Cycles
from rtl_gen.plan.device import Device
from rtl_gen.plan.folding import BLOCK_RAM_SHARE, MAX_LANES, Plan
from rtl_gen.plan.part import of_chip
from rtl_gen.plan.sketch import Sketch

MAX_ELEMENTS = 8
UTILIZATION = 0.9
"""Largest share of the logic that a chosen plan may take: place and route needs some room."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan with its prediction on one or more devices.

    Parameters
    ----------
    plan : Plan
    costs : tuple of Cost
        One per device, in their order.
    cycles : Cycles
    """

    plan: Plan
    costs: tuple[Cost, ...]
    cycles: Cycles


@dataclass(frozen=True, slots=True)
class Pins:
    """Choices that a person made; None leaves them open. The fields from `slots` on are given."""

    lanes: int | None = None
    elements: int | None = None
    heads: int | None = None
    slots: int = 1
    styles: tuple[tuple[str, str], ...] = ()
    top_k: int = 0
    block_rams: float = BLOCK_RAM_SHARE

    def allow(self, plan: Plan) -> bool:
        """Whether `plan` agrees."""
        return (
            self.lanes in {None, plan.lanes}
            and self.elements in {None, plan.elements}
            and self.heads in {None, plan.heads}
        )

    @property
    def complete(self) -> bool:
        """Whether nothing is left to choose."""
        return None not in {self.lanes, self.elements, self.heads}


@dataclass(frozen=True, slots=True)
class Search:
    """What there is to choose from.

    Parameters
    ----------
    devices : tuple of Device
        The chip has to fit each of them.
    candidates : tuple of Candidate
    refused : mapping of Plan to str
        Why a plan is not possible for this network.
    """

    devices: tuple[Device, ...]
    candidates: tuple[Candidate, ...]
    refused: Mapping[Plan, str]

    def fitting(self, utilization: float = UTILIZATION) -> list[Candidate]:
        """Candidates that fit every device, using at most that share of its logic."""
        return [item for item in self.candidates if self.share(item, utilization) <= 1]

    def share(self, item: Candidate, utilization: float = 1.0) -> float:
        """Largest share of a usable resource that a candidate takes of any device."""
        pairs = zip(self.devices, item.costs, strict=True)
        return max(device.share(cost.total, utilization) for device, cost in pairs)

    def cost(self, item: Candidate) -> float:
        """Area on the device where it is scarcest."""
        return max(d.cost(c.total) for d, c in zip(self.devices, item.costs, strict=True))

    def energy(self, item: Candidate) -> float:
        """Flip-flop clockings per step, a stand-in for energy where no power was measured."""
        total = item.costs[0].total
        return (total.ff or total.area) * item.cycles.average


Key = Callable[[Search, Candidate], tuple[float, ...]]
OBJECTIVES: Mapping[str, Key] = {
    "balance": lambda s, c: (s.cost(c) * c.cycles.average, s.cost(c)),
    "rate": lambda s, c: (c.cycles.average, s.cost(c)),
    "latency": lambda s, c: (c.cycles.last, s.cost(c)),
    "area": lambda s, c: (s.cost(c), c.cycles.average),
    "energy": lambda s, c: (s.energy(c), s.cost(c)),
}
"""What each objective makes small: first number first."""


def plans(graph: IntegerGraph, pins: Pins) -> Iterable[Plan]:
    """Every plan for `graph` that agrees with `pins`."""
    together = heads_at_once(graph)
    for lanes in _powers(MAX_LANES) if pins.lanes is None else [pins.lanes]:
        for elements in _powers(MAX_ELEMENTS) if pins.elements is None else [pins.elements]:
            for at_once in together if pins.heads is None else [pins.heads]:
                if elements <= lanes:
                    yield Plan(
                        lanes, elements, at_once, pins.slots, pins.styles, pins.top_k,
                        block_rams=pins.block_rams,
                    )  # fmt: skip


def heads_at_once(graph: IntegerGraph) -> list[int]:
    """Numbers of attention heads that may be computed at once: whole groups, or parts of one."""
    allowed = {1}
    for node in graph.nodes:
        if isinstance(node.op, Attention):
            heads, group = node.op.heads, node.op.heads // node.op.kv_heads
            allowed |= {
                n for n in range(1, heads + 1)
                if heads % n == 0 and (n % group == 0 or group % n == 0)
            }  # fmt: skip
    return sorted(allowed)


def search(graph: IntegerGraph, devices: tuple[Device, ...], pins: Pins | None = None) -> Search:
    """Predict every plan.

    Raises
    ------
    UnsupportedError
        If no plan is possible: what the smallest one was refused for.
    """
    verify(graph)
    found, refused = [], {}
    for plan in plans(graph, pins or Pins()):
        try:
            found.append(_candidate(graph, plan, devices))
        except UnsupportedError as error:
            refused[plan] = str(error)
    if not found:
        raise UnsupportedError(next(iter(refused.values())))
    return Search(devices, tuple(found), refused)


def _candidate(graph: IntegerGraph, plan: Plan, devices: tuple[Device, ...]) -> Candidate:
    with warnings.catch_warnings():
        # The chip is measured, not made.
        warnings.simplefilter("ignore", UnusedElaboratable)
        chip = emit.design(graph, plan, Sketch).chip
        parts, cycles = of_chip(chip), cycle.of_chip(chip)
        del chip
    costs = (predict(parts, d.family, d.room, block_rams=plan.block_rams) for d in devices)
    return Candidate(plan, tuple(costs), cycles)


def pareto(found: Search) -> list[Candidate]:
    """Candidates that no other one beats in both area and average cycles, smallest first."""
    front: list[Candidate] = []
    for item in sorted(found.candidates, key=lambda c: (found.cost(c), c.cycles.average)):
        if not front or item.cycles.average < front[-1].cycles.average:
            front.append(item)
    return front


def best(
    found: Search, objective: str, utilization: float = UTILIZATION, pins: Pins | None = None
) -> Candidate | None:
    """The fitting candidate within `pins` that `objective` prefers; None if none fits.

    Raises
    ------
    KeyError
        If the objective is none of `OBJECTIVES`.
    """
    key = OBJECTIVES[objective]
    allowed = [c for c in found.fitting(utilization) if pins is None or pins.allow(c.plan)]
    return min(allowed, key=lambda item: key(found, item), default=None)


def _powers(largest: int) -> list[int]:
    return [1 << n for n in range(largest.bit_length())]
