"""Rows and shared sums in signed digits, which can be changed and changed back.

Every sum, a row of the matrix or one that is read more than once, is a set of terms ``± v << s``.
Two quantities are kept up with every change: how often each pair of terms occurs, and what the sums
cost in serial nodes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from rtl_gen.adders.form import written_out
from rtl_gen.adders.graph import AdderGraph

_ONE = 1 << 32
"""An occurrence in the count of a pair; the places below hold the sum of the sums' numbers, so that
a count of one tells where it is."""

TWIN = 3.0
"""Occurrences that a pair gains in rank if the same two values with the other sign are a sum."""


class NoRoomError(Exception):
    """A shift or the number of sums went beyond what was set aside; the change is to be undone."""


class SharedSums:
    """The sums of a graph.

    Sum e is ``terms[e]``, (value, shift) -> sign: the rows come first, then sum ``rows + k`` is the
    value ``inputs + k``. A pair is v and ``w << d`` with equal or opposite signs, as one integer.

    Parameters
    ----------
    graph : AdderGraph
    fan_in : int
        Operands of a node at most, 2 or 3.
    """

    def __init__(self, graph: AdderGraph, fan_in: int) -> None:
        forms, shared = written_out(graph)
        self.inputs, self.rows, self.fan_in = graph.inputs, len(graph.outputs), fan_in
        # One place more than is used, for equal terms that meet.
        self.shifts = 2 + max((s for form in forms for _, s in form), default=0)
        used = self.inputs + len(shared)
        self.values = used + 2 * len(shared) + 64
        self.terms: list[dict[tuple[int, int], int]] = [
            {} for _ in range(self.rows + self.values - self.inputs)
        ]
        # Where every value is read: sum * shifts + shift -> sign.
        self.places: list[dict[int, int]] = [{} for _ in range(self.values)]
        self.pairs: dict[int, int] = {}
        self.hot: set[int] = set()
        self.free = list(range(self.values - 1, used - 1, -1))
        self.live = set(range(self.inputs, used))
        self.halves = 0
        self.partner: dict[int, int] = {}
        # What has changed since `begin`: counts, terms that came and went, sums without a partner.
        self.counted: list[tuple[int, int]] = []
        self.moved: list[tuple[int, int, int, int, bool]] = []
        self.parted: set[int] = set()
        for place, form in enumerate(forms):
            for (value, shift), sign in form.items():
                self._put(place, value, shift, sign)

    def cost(self) -> int:
        """Twice the LUTs of serial nodes, or twice the adders if a node has two operands.

        Three LUTs make two adders, so one adder is left alone in a sum of an even number of terms;
        two such adders of the same values, a + b and a - b, take three LUTs together.
        """
        return self.halves - len(self.partner)

    def begin(self) -> None:
        """Start a change."""
        self.counted.clear()
        self.moved.clear()
        self.parted.clear()
        self.hot.clear()
        self.saved = self.halves, dict(self.partner), list(self.free), set(self.live)

    def undo(self) -> None:
        """Take back what has been changed since `begin`."""
        for key, by in self.counted:
            self._count(key, -by)
        for place, value, shift, sign, was_put in reversed(self.moved):
            if was_put:
                del self.terms[place][value, shift]
                del self.places[value][place * self.shifts + shift]
            else:
                self.terms[place][value, shift] = sign
                self.places[value][place * self.shifts + shift] = sign
        self.halves, self.partner, self.free, self.live = self.saved

    def _count(self, key: int, by: int) -> None:
        count = self.pairs.get(key, 0) + by
        if count:
            self.pairs[key] = count
        else:
            del self.pairs[key]

    def key(self, value: int, shift: int, other: int, at: int, opposite: bool) -> int:
        """Number of the pair of two terms."""
        if at < shift or (at == shift and other < value):
            value, shift, other, at = other, at, value, shift
        return ((value * self.values + other) * self.shifts + at - shift) << 1 | opposite

    def _keys(self, place: int, value: int, shift: int, sign: int) -> Iterator[int]:
        """Pairs of a term with the other terms of a sum."""
        values, shifts = self.values, self.shifts
        for (other, at), its in self.terms[place].items():
            if at < shift or (at == shift and other < value):
                yield ((other * values + value) * shifts + shift - at) << 1 | (its != sign)
            else:
                yield ((value * values + other) * shifts + at - shift) << 1 | (its != sign)

    def _put(self, place: int, value: int, shift: int, sign: int) -> None:
        one, pairs = _ONE + place, self.pairs
        for key in self._keys(place, value, shift, sign):
            self.counted.append((key, one))
            pairs[key] = count = pairs.get(key, 0) + one
            if count >= 2 * _ONE:
                self.hot.add(key)
        self.halves += self._step(len(self.terms[place]))
        self.terms[place][value, shift] = sign
        self.places[value][place * self.shifts + shift] = sign
        self.moved.append((place, value, shift, sign, True))

    def _take(self, place: int, value: int, shift: int) -> int:
        sign = self.terms[place].pop((value, shift))
        one = -_ONE - place
        for key in self._keys(place, value, shift, sign):
            self.counted.append((key, one))
            self._count(key, one)
        self.halves -= self._step(len(self.terms[place]))
        del self.places[value][place * self.shifts + shift]
        self.moved.append((place, value, shift, sign, False))
        return sign

    def _step(self, terms: int) -> int:
        """Half LUTs, or half adders, of one term more than `terms`."""
        if not terms or self.fan_in == 2:
            return 2 * bool(terms)
        return 4 if terms & 1 else 2

    def _add(self, place: int, value: int, shift: int, sign: int) -> None:
        """Put a term: equal ones carry, opposite ones cancel."""
        while (value, shift) in self.terms[place]:
            if self._take(place, value, shift) != sign:
                return
            shift += 1
        if shift >= self.shifts:
            raise NoRoomError
        self._put(place, value, shift, sign)

    def write_out(self, value: int) -> None:
        """Replace a shared sum by its terms wherever it is read.

        Raises
        ------
        NoRoomError
        """
        own = self.own(value)
        parts = list(self.terms[own].items())
        while self.places[value]:  # what carries may be read once more
            for at in list(self.places[value]):
                place, shift = divmod(at, self.shifts)
                if (value, shift) in self.terms[place]:
                    self.part(place)
                    sign = self._take(place, value, shift)
                    for (v, s), its in parts:
                        self._add(place, v, s + shift, its * sign)
        self.part(own)
        for (v, s), _ in parts:
            self._take(own, v, s)
        self.live.discard(value)
        self.free.append(value)

    def own(self, value: int) -> int:
        """Number of the sum that is `value`."""
        return self.rows + value - self.inputs

    def tidy(self) -> None:
        """Write out the sums that are read once."""
        again = True
        while again:
            again = False
            for value in sorted(self.live):
                if len(self.places[value]) < 2:
                    self.write_out(value)
                    again = True

    def share(self, noise: Callable[[], float]) -> None:
        """Share the pairs that have come to occur twice, the most frequent first.

        Parameters
        ----------
        noise : callable
            Occurrences to add to a pair's rank.

        Raises
        ------
        NoRoomError
        """
        ranks: list[tuple[float, int, int]] = []
        queued: dict[int, int] = {}
        while True:
            for key in sorted(self.hot):
                count = self.pairs.get(key, 0) // _ONE
                if count >= 2 and queued.get(key) != count:
                    queued[key] = count
                    rank = count + TWIN * self._completes(key) + noise()
                    heapq.heappush(ranks, (-rank, count, key))
            self.hot.clear()
            if not ranks:
                return
            _, count, key = heapq.heappop(ranks)
            if queued.get(key) != count:
                continue
            del queued[key]
            now = self.pairs.get(key, 0) // _ONE
            if now == count:
                self._replace(key)
            elif now >= 2:
                self.hot.add(key)

    def _completes(self, key: int) -> bool:
        """Whether the pair with the other sign is a sum of its own that has no partner."""
        if self.fan_in == 2:
            return False
        place = self.holder(key ^ 1)
        return place is not None and place not in self.partner and len(self.terms[place]) == 2

    def holder(self, key: int) -> int | None:
        """Sum with a pair, if it occurs once."""
        count = self.pairs.get(key, 0)
        return count % _ONE if count // _ONE == 1 else None

    def _replace(self, key: int) -> None:
        """Make a sum of a pair and read it wherever the pair is."""
        rest, offset = divmod(key >> 1, self.shifts)
        left, right = divmod(rest, self.values)
        sites: list[tuple[int, int]] = []
        taken: set[tuple[int, int]] = set()
        for at, sign in sorted(self.places[left].items()):
            place, shift = divmod(at, self.shifts)
            other = self.terms[place].get((right, shift + offset))
            if other is None or (other != sign) != key & 1:
                continue
            if left == right:  # occurrences of a value with itself may overlap
                if (place, shift) in taken:
                    continue
                taken.add((place, shift + offset))
            sites.append((place, shift))
        if len(sites) < 2:
            return
        if not self.free:
            raise NoRoomError
        value = self.free.pop()
        self.live.add(value)
        for place, shift in sites:
            self.part(place)
            sign = self._take(place, left, shift)
            self._take(place, right, shift + offset)
            self._put(place, value, shift, sign)
        self._put(self.own(value), left, 0, 1)
        self._put(self.own(value), right, offset, -1 if key & 1 else 1)

    def part(self, place: int) -> None:
        """Let a sum have no partner."""
        if place in self.partner:
            other = self.partner.pop(place)
            del self.partner[other]
            self.parted |= {place, other}
