"""Folding: how many rows of a matrix the chip multiplies at once."""

from __future__ import annotations

from dataclasses import dataclass

from rtl_gen.errors import ConfigError
from rtl_gen.ir.integer import ConstMatVec, Conv2d, IntegerGraph

MAX_LANES = 128
MAX_SLOTS = 64
OVERHEAD_CYCLES = 20
"""Start, pipeline and drain of one matrix-vector product beside its own beats."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Choices about a chip that do not change what it computes.

    Parameters
    ----------
    lanes : int
        Rows of a constant matrix multiplied at once.
    elements : int
        Elements of a vector moved at once, a power of two that divides `lanes` and the length of
        every vector.
    heads : int
        Attention heads computed at once; divides the heads, and is a divisor or a multiple of the
        query heads that share a key head.
    slots : int
        Adapters resident at once, if the graph has adapter regions.

    Raises
    ------
    ConfigError
        If one of them is out of range.
    """

    lanes: int
    elements: int = 1
    heads: int = 1
    slots: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.lanes <= MAX_LANES:
            raise ConfigError(f"plan: lanes must be 1 to {MAX_LANES}, not {self.lanes}")
        if self.elements < 1 or self.elements & (self.elements - 1) or self.lanes % self.elements:
            raise ConfigError(
                f"plan: elements must be a power of two that divides the {self.lanes} lanes, "
                f"not {self.elements}"
            )
        if self.heads < 1:
            raise ConfigError(f"plan: heads must be positive, not {self.heads}")
        if not 1 <= self.slots <= MAX_SLOTS:
            raise ConfigError(f"plan: slots must be from 1 to {MAX_SLOTS}, not {self.slots}")


def matvec_cycles(graph: IntegerGraph, plan: Plan) -> int:
    """Cycles that one step spends in constant matrix-vector products.

    A group of rows takes as long as its columns, or as its results need to leave beat by beat.
    """
    total = 0
    for node in graph.nodes:
        if isinstance(node.op, ConstMatVec | Conv2d):
            weight = graph.constants[node.op.weight].data
            rows, columns = weight.shape[0], weight[0].size
            pixels = node.value.shape[1] * node.value.shape[2] if weight.ndim > 2 else 1
            groups = -(-rows // plan.lanes)
            first = min(plan.lanes, rows)
            beats = (groups - 1) * max(columns, first) + columns + first
            total += pixels * (beats // plan.elements + OVERHEAD_CYCLES)
    return total


def choose(
    graph: IntegerGraph, lanes: int | None = None, elements: int | None = None,
    heads: int | None = None, slots: int = 1,
) -> Plan:  # fmt: skip
    """Plan with `lanes`, or with as many as still pay: a doubling must save 15 % of the cycles."""
    best = Plan(lanes or max(4, elements or 1), elements or 1, heads or 1, slots)
    while lanes is None and best.lanes < MAX_LANES:
        double = Plan(2 * best.lanes, best.elements, best.heads, slots)
        if matvec_cycles(graph, double) >= 0.85 * matvec_cycles(graph, best):
            break
        best = double
    return best
