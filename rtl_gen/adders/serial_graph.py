"""Adder graph to nodes of up to three inputs, the cells of the bit-serial style."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtl_gen.adders.graph import AdderGraph
from rtl_gen.adders.matching import largest_matching
from rtl_gen.adders.refine import refine
from rtl_gen.adders.subexpression import share


@dataclass(frozen=True, slots=True)
class Operand:
    """One input of a node: ``±(value << shift)``."""

    value: int
    shift: int
    negative: bool


@dataclass(frozen=True, slots=True)
class SerialNode:
    """Sum of one to three operands, of which at most two (of three), or one, are negative.

    Parameters
    ----------
    operands : tuple of Operand
        The first has shift 0 and may be negative like the others.

    Raises
    ------
    ValueError
        If the number of operands or of negative ones is out of range.
    """

    operands: tuple[Operand, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.operands) <= 3:
            raise ValueError(f"a serial node has 1 to 3 operands, not {len(self.operands)}")
        if self.negatives > most_negatives(len(self.operands)):
            raise ValueError(f"a node cannot begin with a carry of {self.negatives}: {self}")

    @property
    def negatives(self) -> int:
        """Number of negative operands, which is the carry the sum begins with."""
        return sum(operand.negative for operand in self.operands)


@dataclass(frozen=True, slots=True)
class SerialOutput:
    """One row: ``value << shift``."""

    value: int
    shift: int


@dataclass(frozen=True, slots=True)
class SerialGraph:
    """Nodes in order of evaluation; node j is the value ``inputs + j``.

    Parameters
    ----------
    inputs : int
    nodes : tuple of SerialNode
    outputs : tuple of SerialOutput or None
        One per row; None for a row of zeros.
    twins : tuple of (int, int)
        Values that are sum and difference of the same two operands, which takes three LUTs instead
        of four.
    """

    inputs: int
    nodes: tuple[SerialNode, ...]
    outputs: tuple[SerialOutput | None, ...]
    twins: tuple[tuple[int, int], ...] = ()


def most_negatives(operands: int) -> int:
    """Largest carry a node of 1, 2 or 3 operands can begin with."""
    return max(1, operands - 1)


def fuse(graph: AdderGraph, *, joined: bool = True) -> SerialGraph:
    """Join adders that no other one shares into nodes of three operands, and find twins.

    An adder read by one other adder alone may become part of it, and a + b may be the twin of
    a - b; either saves a LUT. An adder does one of these once, so it is a matching, and the
    largest possible one is taken.

    Parameters
    ----------
    graph : AdderGraph
    joined : bool
        Whether there are nodes of three operands, and twins.

    Returns
    -------
    SerialGraph
        Same rows; the signs of its outputs are all positive.
    """
    live, uses = _uses(graph)
    partner = [-1] * len(uses)
    if joined:
        partner = largest_matching(_company(graph, live, uses))
    sums: dict[int, tuple[Operand, ...]] = {}
    for value, adder in enumerate(graph.adders, graph.inputs):
        if value not in live:
            continue
        sides = [
            Operand(adder.left, 0, False),
            Operand(adder.right, adder.shift, adder.sign < 0),
        ]
        inner = next((side for side in sides if side.value == partner[value]), None)
        if inner is not None:
            sides.remove(inner)
            sides += [
                Operand(part.value, part.shift + inner.shift, part.negative != inner.negative)
                for part in sums.pop(inner.value)
            ]
            sides.sort(key=lambda side: (side.shift, side.negative, side.value))
        sums[value] = tuple(sides)
    twins = [(v, w) for v, w in enumerate(partner) if v < w and v in sums and w in sums]
    return _number(graph, sums, uses, twins)


def _company(graph: AdderGraph, live: set[int], uses: list[int]) -> list[list[int]]:
    """For every value the adders that it can be made with."""
    found: list[list[int]] = [[] for _ in uses]
    same: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for value, adder in enumerate(graph.adders, graph.inputs):
        if value not in live:
            continue
        for side in {adder.left, adder.right}:
            if side >= graph.inputs and uses[side] == 1:
                found[value].append(side)
                found[side].append(value)
        left, right = adder.left, adder.right
        if not adder.shift:
            left, right = sorted((left, right))
        for other in same[left, right, adder.shift]:
            if graph.adders[other - graph.inputs].sign != adder.sign:
                found[value].append(other)
                found[other].append(value)
        same[left, right, adder.shift].append(value)
    return found


def search(
    weight: NDArray[np.int64], tries: int = 8, *, joined: bool = True, rounds: int = 0
) -> SerialGraph:
    """Smallest of several serial graphs of ``weight @ x``, refined.

    Sharing is greedy, and which of equally frequent pairs comes first depends on the order of the
    columns; so it is tried with several orders. Eight save 0.4 % of the LUTs of an int4
    64x64 matrix and 1 % of a ternary one.

    Parameters
    ----------
    weight : int64, shape (n_out, n_in)
    tries : int
        At least 1. The first is the order as it stands.
    joined : bool
        Whether nodes may have three operands.
    rounds : int
        Of `rtl_gen.adders.refine`, which takes its time.

    Returns
    -------
    SerialGraph
    """
    fan_in = 3 if joined else 2
    rng = np.random.default_rng(0)
    order = np.arange(weight.shape[1])
    found = []
    for _ in range(max(1, tries)):
        graph = share(weight[:, order], fan_in=fan_in)
        adders = (
            replace(a, left=_column(a.left, order), right=_column(a.right, order))
            for a in graph.adders
        )
        outputs = (
            None if o is None else replace(o, value=_column(o.value, order)) for o in graph.outputs
        )
        found.append(AdderGraph(graph.inputs, tuple(adders), tuple(outputs)))
        order = rng.permutation(weight.shape[1])

    def size(graph: AdderGraph) -> int:
        return luts(fuse(graph, joined=joined))

    best = min(found, key=size)
    return fuse(min(best, refine(best, rounds, fan_in=fan_in), key=size), joined=joined)


def by_output(graph: SerialGraph) -> SerialGraph:
    """The same graph, its nodes in the order in which the rows need them."""
    place = {value: value for value in range(graph.inputs)}
    nodes: list[SerialNode] = []
    for output in graph.outputs:
        stack = [] if output is None else [output.value]
        while stack:
            value = stack[-1]
            if value in place:
                stack.pop()
                continue
            node = graph.nodes[value - graph.inputs]
            missing = [o.value for o in node.operands if o.value not in place]
            if missing:
                stack += missing[::-1]
                continue
            nodes.append(SerialNode(tuple(replace(o, value=place[o.value]) for o in node.operands)))
            place[value] = graph.inputs + len(nodes) - 1
            stack.pop()
    outputs = tuple(o and replace(o, value=place[o.value]) for o in graph.outputs)
    twins = tuple((place[one], place[other]) for one, other in graph.twins)
    return SerialGraph(graph.inputs, tuple(nodes), outputs, twins)


def luts(graph: SerialGraph) -> int:
    """LUTs of the nodes: two of up to two operands, three of three, one less of twins."""
    return sum(max(2, len(node.operands)) for node in graph.nodes) - len(graph.twins)


def _column(value: int, order: NDArray[np.int64]) -> int:
    return int(order[value]) if value < len(order) else value


def _uses(graph: AdderGraph) -> tuple[set[int], list[int]]:
    """Values that reach an output, and how many live adders and outputs read each."""
    uses = [0] * (graph.inputs + len(graph.adders))
    for output in graph.outputs:
        if output is not None:
            uses[output.value] += 1
    live = set()
    for value in reversed(range(graph.inputs, len(uses))):
        if uses[value]:
            live.add(value)
            adder = graph.adders[value - graph.inputs]
            uses[adder.left] += 1
            uses[adder.right] += 1
    # An adder read by an output is never joined: count the output as one use too many.
    for output in graph.outputs:
        if output is not None:
            uses[output.value] += 1
    return live, uses


def _number(
    graph: AdderGraph,
    sums: dict[int, tuple[Operand, ...]],
    uses: list[int],
    twins: list[tuple[int, int]],
) -> SerialGraph:
    """Give the nodes their places; turn negative outputs into positive ones."""
    place = {value: value for value in range(graph.inputs)}
    flip = {
        output.value
        for output in graph.outputs
        if output is not None
        and output.sign < 0
        and uses[output.value] == 2
        and output.value in sums
        and _negated(sums[output.value]) is not None
    }
    nodes: list[SerialNode] = []
    for value, operands in sums.items():
        wanted = (_negated(operands) or operands) if value in flip else operands
        nodes.append(
            SerialNode(tuple(Operand(place[o.value], o.shift, o.negative) for o in wanted))
        )
        place[value] = graph.inputs + len(nodes) - 1
    outputs: list[SerialOutput | None] = []
    negations: dict[int, int] = {}
    for output in graph.outputs:
        if output is None:
            outputs.append(None)
        elif output.sign > 0 or output.value in flip:
            outputs.append(SerialOutput(place[output.value], output.shift))
        else:
            if output.value not in negations:
                nodes.append(SerialNode((Operand(place[output.value], 0, True),)))
                negations[output.value] = graph.inputs + len(nodes) - 1
            outputs.append(SerialOutput(negations[output.value], output.shift))
    pairs = tuple((place[one], place[other]) for one, other in twins)
    return SerialGraph(graph.inputs, tuple(nodes), tuple(outputs), pairs)


def _negated(operands: tuple[Operand, ...]) -> tuple[Operand, ...] | None:
    """Operands with the other sign, or None if that needs too large a carry."""
    turned = tuple(Operand(o.value, o.shift, not o.negative) for o in operands)
    fits = sum(o.negative for o in turned) <= most_negatives(len(turned))
    return turned if fits else None
