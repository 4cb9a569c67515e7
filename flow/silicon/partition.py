"""Cut a netlist into parts of a few thousand gates with few nets between them.

Halves are found by moving single gates (Fiduccia and Mattheyses, 1982), and cut again until every
part is small enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flow.silicon.netlist import Gate

MOST_PINS = 40
"""Nets with more ends (clock, reset, enables) reach every part anyway and do not count."""

SLACK = 0.04
"""How far a part may be from its share, of what is cut."""

MOST_PASSES = 8


def parts(gates: Sequence[Gate], most: int) -> list[list[int]]:
    """Positions of the gates of each part, each at most `most`, in rising order.

    The first cut is between units; gates that are moved make it shorter.
    """
    order = sorted(range(len(gates)), key=lambda index: (gates[index].unit, index))
    wanted = math.ceil(len(gates) * (1 + SLACK) / most) if len(gates) > most else 1
    return [sorted(part) for part in _split(order, gates, wanted)]


def _split(order: Sequence[int], gates: Sequence[Gate], wanted: int) -> list[Sequence[int]]:
    if wanted == 1:
        return [order]
    first = wanted // 2
    sides = _halves(_Graph.of([gates[index] for index in order]), first / wanted)
    halves = [
        [index for index, side in zip(order, sides, strict=True) if side == half] for half in (0, 1)
    ]
    return [
        *_split(halves[0], gates, first),
        *_split(halves[1], gates, wanted - first),
    ]


@dataclass(frozen=True, slots=True)
class _Graph:
    """Gates of each net and nets of each gate, by position."""

    ends: tuple[tuple[int, ...], ...]
    nets: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(gates: Sequence[Gate]) -> _Graph:
        ends: dict[str, set[int]] = {}
        for index, gate in enumerate(gates):
            for net in gate.pins.values():
                ends.setdefault(net, set()).add(index)
        kept = [tuple(sorted(where)) for where in ends.values() if 1 < len(where) <= MOST_PINS]
        nets: list[list[int]] = [[] for _ in gates]
        for number, where in enumerate(kept):
            for index in where:
                nets[index].append(number)
        return _Graph(tuple(kept), tuple(map(tuple, nets)))


def _halves(graph: _Graph, share: float) -> list[int]:
    """Side of each gate: about `share` of them on side 0."""
    size = len(graph.nets)
    sides = [int(index >= round(size * share)) for index in range(size)]
    for _ in range(MOST_PASSES):
        if not _improve(graph, sides, share):
            break
    return sides


def _improve(graph: _Graph, sides: list[int], share: float) -> bool:
    """Move every gate once, the best first, and keep the moves up to the shortest cut."""
    size = len(sides)
    count = [[0, 0] for _ in graph.ends]
    for number, where in enumerate(graph.ends):
        for end in where:
            count[number][sides[end]] += 1
    gains = [
        sum(
            (count[number][sides[index]] == 1) - (count[number][1 - sides[index]] == 0)
            for number in graph.nets[index]
        )
        for index in range(size)
    ]
    buckets = _Buckets(sides, gains)
    low, high = (round(size * (share + part)) for part in (-SLACK / 2, SLACK / 2))
    left = sides.count(0)
    moves: list[int] = []
    gained = best = kept = 0
    for _ in range(size):
        allowed = [side for side in (0, 1) if (left > low if side == 0 else left < high)]
        index = buckets.take(allowed)
        if index is None:
            break
        gained += gains[index]
        source = sides[index]
        _move(graph, sides, count, gains, buckets, index)
        left += 1 if source else -1
        moves.append(index)
        if gained > best:
            best, kept = gained, len(moves)
    for moved in moves[kept:]:
        sides[moved] = 1 - sides[moved]
    return best > 0


def _move(
    graph: _Graph,
    sides: list[int],
    count: list[list[int]],
    gains: list[int],
    buckets: _Buckets,
    index: int,
) -> None:
    """Move one gate and correct what moving the others would gain."""
    source = sides[index]
    target = 1 - source
    for number in graph.nets[index]:
        where, ends = graph.ends[number], count[number]
        if ends[target] == 0:
            for other in where:
                buckets.change(other, gains, 1)
        elif ends[target] == 1:
            (alone,) = (other for other in where if sides[other] == target)
            buckets.change(alone, gains, -1)
        ends[source] -= 1
        ends[target] += 1
        if ends[source] == 0:
            for other in where:
                buckets.change(other, gains, -1)
        elif ends[source] == 1:
            (alone,) = (other for other in where if sides[other] == source and other != index)
            buckets.change(alone, gains, 1)
    sides[index] = target


class _Buckets:
    """Gates that were not moved yet, by side and gain; the last to come is the first to go."""

    def __init__(self, sides: Sequence[int], gains: Sequence[int]) -> None:
        self._of: list[dict[int, dict[int, None]]] = [{}, {}]
        self._side: dict[int, int] = {}
        for index, (side, gain) in enumerate(zip(sides, gains, strict=True)):
            self._of[side].setdefault(gain, {})[index] = None
            self._side[index] = side

    def take(self, allowed: Sequence[int]) -> int | None:
        """Remove and give the gate of the highest gain on one of the sides."""
        best: tuple[int, int] | None = None
        for side in allowed:
            top = max((gain for gain, items in self._of[side].items() if items), default=None)
            if top is not None and (best is None or top > best[0]):
                best = (top, side)
        if best is None:
            return None
        index, _ = self._of[best[1]][best[0]].popitem()
        del self._side[index]
        return index

    def change(self, index: int, gains: list[int], by: int) -> None:
        """Add to the gain of a gate, if it was not moved yet."""
        side = self._side.get(index)
        if side is None:
            return
        del self._of[side][gains[index]][index]
        gains[index] += by
        self._of[side].setdefault(gains[index], {})[index] = None


def cut_nets(gates: Sequence[Gate], found: Sequence[Sequence[int]]) -> Mapping[str, set[int]]:
    """Nets with ends in more than one part, and these parts."""
    where: dict[str, set[int]] = {}
    for number, part in enumerate(found):
        for index in part:
            for net in gates[index].pins.values():
                where.setdefault(net, set()).add(number)
    return {net: numbers for net, numbers in where.items() if len(numbers) > 1}
