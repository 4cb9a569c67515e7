"""Overflow bounds, recomputed for the constants of a graph, against the registers of the RTL."""

from __future__ import annotations

import re
from collections.abc import Collection
from math import prod

from flow.evidence.design import Design, EvidenceError
from rtl_gen.ir.integer import ConstMatVec, Conv2d, ExpertMatVec, IntegerGraph, LowRank, Node
from rtl_gen.ir.types import IntType
from rtl_gen.ir.verify import verify

_ACCUMULATOR = re.compile(r"acc\d+")


def check(
    graph: IntegerGraph, rtl: Design, wired: Collection[str] = ()
) -> tuple[list[str], dict[str, int]]:
    """Whether every sum of products fits, whatever the inputs, and every other rule is kept.

    Parameters
    ----------
    graph : IntegerGraph
    rtl : Design
        Elaborated, with hierarchy.
    wired : collection of str
        Weights in adder graphs, whose sums `flow.evidence.adders` holds against their own words.

    Returns
    -------
    findings : list of str
    numbers : dict of str to int
        ``rows``, ``register bits`` of an accumulator, and ``bits needed`` by the largest row; with
        adapter regions ``bits any adapter image needs``.

    Raises
    ------
    EvidenceError
        If the RTL has no accumulators though the graph has products.
    """
    findings: list[str] = []
    try:
        verify(graph)
    except ValueError as error:
        findings.append(f"the graph breaks a rule: {error}")
    largest, rows = 0, 0
    for node in graph.nodes:
        if not isinstance(node.op, ConstMatVec | Conv2d | ExpertMatVec):
            continue
        if node.op.weight in wired:
            continue
        x = graph.value(node.inputs[0]).type
        weight = graph.constants[node.op.weight].data
        columns = weight[0, 0].size if isinstance(node.op, ExpertMatVec) else weight[0].size
        for row in weight.reshape(-1, columns).tolist():
            # Python's integers do not overflow; partial sums in any order stay below this one.
            bound = sum(abs(w) * max(-x.min, x.max) for w in row)
            largest, rows = max(largest, bound), rows + 1
    images = {
        node.name: _any_image(graph, node, node.op)
        for node in graph.nodes
        if isinstance(node.op, LowRank)
    }
    if not rows and not images:
        return findings, {"rows": 0}
    width = accumulator_bits(rtl)
    needed = _bits(largest)
    if needed > width:
        findings.append(f"a row can reach {largest}, {needed} bits; accumulators have {width}")
    findings += [
        f"{name}: an adapter image can reach {bound}, {_bits(bound)} bits; accumulators have "
        f"{width}"
        for name, bound in images.items()
        if _bits(bound) > width
    ]
    numbers = {"rows": rows, "register bits": width, "bits needed": needed}
    if images:
        numbers["bits any adapter image needs"] = _bits(max(images.values()))
    return findings, numbers


def _bits(bound: int) -> int:
    return IntType.holding(-max(bound, 1), max(bound, 1)).width


def _any_image(graph: IntegerGraph, node: Node, op: LowRank) -> int:
    """Largest sum of a region's products, whatever a host writes into its memory."""
    x = graph.value(node.inputs[0])
    columns = x.shape[0] * prod(op.kernel) if op.kernel else prod(x.shape)
    element, value, hidden = (
        max(-type_.min, type_.max) for type_ in (op.element, x.type, op.hidden)
    )
    return max(columns * element * value, op.rank * element * hidden)


def accumulator_bits(rtl: Design) -> int:
    """Width of the narrowest accumulator register of the RTL.

    Raises
    ------
    EvidenceError
        If there is none.
    """
    widths = [
        len(bits)
        for module in rtl.values()
        for name, bits in module.nets.items()
        if _ACCUMULATOR.fullmatch(name)
    ]
    if not widths:
        raise EvidenceError("the RTL has no register named acc0: where are its accumulators?")
    return min(widths)
