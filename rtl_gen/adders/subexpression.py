"""Constant matrix to adder graph: signed digits, then greedy sharing of two-term patterns.

Notes
-----
Every weight is written in signed digits, so that a row is a sum of terms ``± x << s``.
The pair of terms (up to a common shift and sign) that occurs most often in all rows becomes an
adder, and its occurrences become one term each; this repeats until no pair occurs twice (R. I.
Hartley, "Subexpression sharing in filters using canonic signed digit multipliers", IEEE TCAS-II
43(10), 1996). What is left of a row is summed by a tree of its own.

How often a pair of old values occurs can only fall, so a heap of outdated counts gives the right
maximum: a pair that is popped with a count that has fallen goes back with its true one. A value's
terms are the bits of two integers (plus and minus, bit ``shift * rows + row``), and the true count
is the population of an intersection.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rtl_gen.adders.graph import AdderGraph, Output
from rtl_gen.adders.sums import Sums

_VALUE_BITS = 22
_OFFSET_BITS = 6
_MOST = 1 << 20


def signed_digits(weight: NDArray[np.int64]) -> NDArray[np.int8]:
    """Signed digits of every weight, as few that are not zero as can be.

    Parameters
    ----------
    weight : int64, any shape, below 2**31 in magnitude

    Returns
    -------
    int8, shape (digits, *weight.shape)
        Digit s, of -1, 0, 1, counts ``2**s``.

    Notes
    -----
    Canonical digit s of a number n >= 0 is bit s+1 of 3n minus bit s+1 of n.
    """
    size = abs(weight)
    digits = int(3 * size.max(initial=0)).bit_length() - 1
    places = np.arange(1, max(digits, 1) + 1).reshape(-1, *[1] * weight.ndim)
    found = (3 * size >> places & 1) - (size >> places & 1)
    # Three as 2 + 1 instead of 4 - 1: as many digits, but fewer places, so more that is common.
    for low in range(len(found) - 2):
        three = (found[low] == -found[low + 2]) & (found[low] != 0) & (found[low + 1] == 0)
        found[low] = np.where(three, found[low + 2], found[low])
        found[low + 1] = np.where(three, found[low + 2], found[low + 1])
        found[low + 2] = np.where(three, 0, found[low + 2])
    return np.asarray(found * np.sign(weight), np.int8)


def share(weight: NDArray[np.int64], *, fan_in: int = 2) -> AdderGraph:
    """Adder graph of ``weight @ x`` with common subexpressions shared.

    Parameters
    ----------
    weight : int64, shape (n_out, n_in)
    fan_in : int
        2 sums what a row shares with no other by a balanced tree; 3 by triples, made of two adders
        each, the first used only by the second, and prefers a - b where a + b is an adder.

    Raises
    ------
    ValueError
        If `weight` is no matrix, or `fan_in` is neither 2 nor 3.
    """
    if weight.ndim != 2:
        raise ValueError(f"a matrix has 2 dimensions, this one {weight.ndim}")
    if fan_in not in {2, 3}:
        raise ValueError(f"fan-in must be 2 or 3, not {fan_in}")
    sharing = _Sharing(weight, fan_in)
    sharing.run()
    outputs = tuple(sharing.sum_row(row) for row in range(len(weight)))
    return AdderGraph(weight.shape[1], tuple(sharing.sums.adders), outputs)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class _Sharing:
    """The working state: terms of every row, and the heap of patterns."""

    def __init__(self, weight: NDArray[np.int64], fan_in: int) -> None:
        digits = signed_digits(weight)
        self.inputs = weight.shape[1]
        self.fan_in = fan_in
        self.joined: list[bool] = []
        # Patterns that are adders while those with the other sign are none.
        self.alone: set[tuple[int, int, int, int]] = set()
        self.rows = len(weight)
        self.shifts = len(digits)
        self.sums = Sums(self.inputs, fan_in)
        # (value * shifts + shift) -> sign, for every row
        self.terms: list[dict[int, int]] = [{} for _ in range(self.rows)]
        self.plus = [0] * self.inputs
        self.minus = [0] * self.inputs
        for shift, row, column in np.argwhere(digits).tolist():
            sign = int(digits[shift, row, column])
            self._put(row, column, shift, sign)
        self.heap = list(self._first_patterns(digits))
        heapq.heapify(self.heap)

    def _put(self, row: int, value: int, shift: int, sign: int) -> None:
        self.terms[row][value * self.shifts + shift] = sign
        bit = 1 << shift * self.rows + row
        if sign > 0:
            self.plus[value] |= bit
        else:
            self.minus[value] |= bit

    def _take(self, row: int, value: int, shift: int) -> None:
        del self.terms[row][value * self.shifts + shift]
        keep = ~(1 << shift * self.rows + row)
        self.plus[value] &= keep
        self.minus[value] &= keep

    def _first_patterns(self, digits: NDArray[np.int8]) -> Iterator[int]:
        for offset in range(self.shifts):
            low = digits[: self.shifts - offset].transpose(2, 0, 1).reshape(self.inputs, -1)
            high = digits[offset:].transpose(2, 0, 1).reshape(self.inputs, -1)
            a, b = low.astype(np.float32), high.astype(np.float32)
            every = abs(a) @ abs(b).T
            difference = a @ b.T
            for opposite in (0, 1):
                count = np.rint((every - difference if opposite else every + difference) / 2)
                count = count.astype(np.int64)
                if not offset:
                    count = np.triu(count, 1)
                for left, right in np.argwhere(count > 1).tolist():
                    yield self._entry(int(count[left, right]), left, right, offset, opposite)

    def _entry(self, count: int, left: int, right: int, offset: int, opposite: int) -> int:
        """Heap entry: most frequent first, then of the rarest values, then of the oldest.

        Rare values first, because their pairs have less to gain from waiting: this saved 1 to 2 %
        of the adders of 64x64 matrices.
        """
        rare = sum((self.plus[v] | self.minus[v]).bit_count() for v in (left, right))
        score = self._score(count, left, right, offset, opposite)
        key = ((_MOST - score) << 10 | min(rare, 1023)) << _VALUE_BITS | left
        return (key << _VALUE_BITS | right) << _OFFSET_BITS + 1 | offset << 1 | opposite

    def _occurrences(self, left: int, right: int, offset: int, opposite: int) -> tuple[int, int]:
        """Places of `left` where the pattern occurs, with sign plus and minus of `left`."""
        move = offset * self.rows
        plus, minus = self.plus[right] >> move, self.minus[right] >> move
        if opposite:
            plus, minus = minus, plus
        return self.plus[left] & plus, self.minus[left] & minus

    def run(self) -> None:
        """Share until no pattern occurs twice."""
        while self.heap:
            entry = heapq.heappop(self.heap)
            opposite = entry & 1
            offset = entry >> 1 & (1 << _OFFSET_BITS) - 1
            right = entry >> _OFFSET_BITS + 1 & (1 << _VALUE_BITS) - 1
            left = entry >> _OFFSET_BITS + 1 + _VALUE_BITS & (1 << _VALUE_BITS) - 1
            known = _MOST - (entry >> _OFFSET_BITS + 1 + 2 * _VALUE_BITS + 10)
            plus, minus = self._occurrences(left, right, offset, opposite)
            if left == right:
                plus, minus = self._apart(plus, minus, offset)
            count = plus.bit_count() + minus.bit_count()
            if count < 2:
                continue
            if self._score(count, left, right, offset, opposite) != known:
                heapq.heappush(self.heap, self._entry(count, left, right, offset, opposite))
                continue
            self._replace(left, right, offset, opposite, plus | minus)

    def _apart(self, plus: int, minus: int, offset: int) -> tuple[int, int]:
        """Occurrences of a value with itself that share no term: the lowest first."""
        used = chosen = 0
        for place in _bits(plus | minus):
            pair = 1 << place | 1 << place + offset * self.rows
            if not used & pair:
                used |= pair
                chosen |= 1 << place
        return plus & chosen, minus & chosen

    def _score(self, count: int, left: int, right: int, offset: int, opposite: int) -> int:
        """Rank of a pattern, twice its occurrences and what an adder saves by its company."""
        completes = (left, right, offset, 1 - opposite) in self.alone
        return 2 * (count + completes) + self._joins(count, left, right)

    def _joins(self, count: int, left: int, right: int) -> bool:
        """Whether an adder would be read by this pattern alone, and could become part of it."""
        return self.fan_in == 3 and any(
            value >= self.inputs
            and not self.joined[value - self.inputs]
            and (self.plus[value] | self.minus[value]).bit_count() == count
            for value in {left, right}
        )

    def _replace(self, left: int, right: int, offset: int, opposite: int, places: int) -> None:
        joins = self._joins(places.bit_count(), left, right)
        value = self.sums.adder(left, right, offset, -1 if opposite else 1)
        self.joined.append(joins)
        self._pair(left, right, offset, opposite)
        self.plus.append(0)
        self.minus.append(0)
        where = []
        for place in _bits(places):
            shift, row = divmod(place, self.rows)
            sign = self.terms[row][left * self.shifts + shift]
            self._take(row, left, shift)
            self._take(row, right, shift + offset)
            self._put(row, value, shift, sign)
            where.append((row, shift, sign))
        self._count(value, where)

    def _pair(self, left: int, right: int, offset: int, opposite: int) -> None:
        """Note an adder; a serial one costs less if that of the same values is next, a - b."""
        if self.fan_in == 2 or left == right:
            return
        if (left, right, offset, 1 - opposite) in self.alone:
            self.alone.remove((left, right, offset, 1 - opposite))
            return
        self.alone.add((left, right, offset, opposite))
        plus, minus = self._occurrences(left, right, offset, 1 - opposite)
        count = plus.bit_count() + minus.bit_count()
        if count > 1:
            heapq.heappush(self.heap, self._entry(count, left, right, offset, 1 - opposite))

    def _count(self, value: int, where: list[tuple[int, int, int]]) -> None:
        """Queue the patterns of a new value with every other."""
        # The index is the other term's place less that of the value, so `2 * shifts` apart.
        stride = 2 * self.shifts
        counts: dict[int, int] = {}
        for row, shift, sign in where:
            for term, other_sign in self.terms[row].items():
                other, other_shift = divmod(term, self.shifts)
                key = (other * stride + other_shift - shift + self.shifts) << 1
                if other_sign != sign:
                    key |= 1
                counts[key] = counts.get(key, 0) + 1
        for key, count in counts.items():
            if count < 2:
                continue
            other, place = divmod(key >> 1, stride)
            offset = place - self.shifts
            if other == value and offset <= 0:
                continue
            first, second = (value, other) if offset > 0 or other == value else (other, value)
            heapq.heappush(self.heap, self._entry(count, first, second, abs(offset), key & 1))

    def sum_row(self, row: int) -> Output | None:
        """Sum what is left of a row."""
        terms = self.terms[row].items()
        return self.sums.total((*divmod(term, self.shifts), sign) for term, sign in terms)
