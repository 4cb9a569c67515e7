"""Adders as they are made: sums of several terms, the shallowest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from rtl_gen.adders.graph import Adder, Output

Term = tuple[int, int, int, int]
"""Depth, value, shift, sign."""


class Sums:
    """Adders so far, and the adders on the longest path to every value.

    Parameters
    ----------
    inputs : int
    fan_in : int
        2 sums terms by a balanced tree; 3 by triples, made of two adders each, the first used only
        by the second.
    """

    def __init__(self, inputs: int, fan_in: int) -> None:
        self.fan_in = fan_in
        self.adders: list[Adder] = []
        self.depth = [0] * inputs

    def adder(self, left: int, right: int, shift: int, sign: int) -> int:
        """Value of a new adder."""
        self.adders.append(Adder(left, right, shift, sign))
        self.depth.append(max(self.depth[left], self.depth[right]) + 1)
        return len(self.depth) - 1

    def add(self, a: Term, b: Term) -> Term:
        """Term of the sum of two terms."""
        (_, left, low, sign), (_, right, high, other) = (a, b) if a[2] <= b[2] else (b, a)
        # Between equal shifts the positive term goes left, so that the sum needs no negation.
        if low == high and sign < other:
            left, right, sign, other = right, left, other, sign
        value = self.adder(left, right, high - low, sign * other)
        return self.depth[value], value, low, sign

    def total(self, terms: Iterable[tuple[int, int, int]]) -> Output | None:
        """Sum of terms (value, shift, sign)."""
        queue: list[Term] = [(self.depth[v], v, shift, sign) for v, shift, sign in terms]
        heapq.heapify(queue)
        while len(queue) > 1:
            total = self.add(heapq.heappop(queue), heapq.heappop(queue))
            if self.fan_in == 3 and queue:
                deep, *rest = self.add(total, heapq.heappop(queue))
                total = (deep - 1, rest[0], rest[1], rest[2])
            heapq.heappush(queue, total)
        if not queue:
            return None
        _, value, shift, sign = queue[0]
        return Output(value, shift, sign)
