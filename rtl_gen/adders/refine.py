"""Smaller adder graphs: some shared sums are taken apart and shared anew, again and again.

Notes
-----
Sharing the most frequent pair first is greedy. Here a graph is a list of sums, the rows and every
sum that is read twice or more, and a round is one step of a large neighbourhood search (P. Shaw,
"Using constraint programming and local search methods to solve vehicle routing problems", CP 1998):
a few shared sums are written out where they are read, the most frequent pairs are shared again with
some noise in their order, and the result is kept if it does not cost more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rtl_gen.adders.graph import AdderGraph
from rtl_gen.adders.sums import Sums

SHARE = 0.1
"""Of the shared sums, how many a round takes apart at most."""

NOISE = 1.4
"""Occurrences by which the noise may prefer a rarer pair."""


def refine(graph: AdderGraph, rounds: int, *, fan_in: int = 2, seed: int = 0) -> AdderGraph:
    """Graph of the same matrix with no more LUTs of serial nodes, most often fewer.

    Parameters
    ----------
    graph : AdderGraph
    rounds : int
        0 gives `graph` itself. 64x64: 30 rounds a second (ternary), 5 (int4).
    fan_in : int
        Operands of a node at most: 3 counts three LUTs for a sum of three, 2 counts adders.
    seed : int
        Of the choices.

    Returns
    -------
    AdderGraph
    """
    if rounds < 1:
        return graph
    rng = np.random.default_rng(seed)
    best = _Sums(graph, fan_in)
    best.tidy()
    for _ in range(rounds):
        trial = best.copy()
        trial.disturb(rng)
        if trial.cost() <= best.cost():
            best = trial
    return best.graph()


def _written_out(graph: AdderGraph) -> tuple[list[dict[tuple[int, int], int]], list[int]]:
    """Terms of the rows, then of the sums read more than once, and which adders those are.

    A term is (value, shift) -> sign; values from ``graph.inputs`` on number the shared sums.
    """
    reads = [0] * (graph.inputs + len(graph.adders))
    for output in graph.outputs:
        if output is not None:
            reads[output.value] += 1
    for value in reversed(range(graph.inputs, len(reads))):
        adder = graph.adders[value - graph.inputs]
        if reads[value]:
            reads[adder.left] += 1
            reads[adder.right] += 1
    shared = [v for v in range(graph.inputs, len(reads)) if reads[v] > 1]
    names = {v: v for v in range(graph.inputs)}
    names |= {v: graph.inputs + k for k, v in enumerate(shared)}
    forms: dict[int, dict[tuple[int, int], int]] = {}

    def terms(value: int, shift: int, sign: int) -> Iterator[tuple[int, int, int]]:
        if value in names:
            yield names[value], shift, sign
        else:
            for (v, s), each in forms[value].items():
                yield v, s + shift, each * sign

    def collected(parts: list[tuple[int, int, int]]) -> dict[tuple[int, int], int]:
        form: dict[tuple[int, int], int] = {}
        for part in parts:
            _put(form, *part)
        return form

    for value, adder in enumerate(graph.adders, graph.inputs):
        if reads[value]:
            left = terms(adder.left, 0, 1)
            forms[value] = collected([*left, *terms(adder.right, adder.shift, adder.sign)])
    rows = [
        {} if o is None else collected([*terms(o.value, o.shift, o.sign)]) for o in graph.outputs
    ]
    return rows + [forms[v] for v in shared], shared


def _put(form: dict[tuple[int, int], int], value: int, shift: int, sign: int) -> None:
    """Add a term: equal ones carry, opposite ones cancel."""
    while (value, shift) in form:
        if form.pop((value, shift)) != sign:
            return
        shift += 1
    form[value, shift] = sign


class _Sums:
    """Sums in signed digits, and how often every pair of terms occurs.

    ``terms[e, s, v]`` is the sign of ``v << s`` in sum e: the rows come first, then the shared
    sums, sum ``rows + k`` being the value ``inputs + k``. ``pairs[d, o, v, w]`` counts v and
    ``w << d`` with equal (o = 0) or opposite signs.
    """

    def __init__(self, graph: AdderGraph, fan_in: int) -> None:
        forms, shared = _written_out(graph)
        self.inputs, self.rows, self.fan_in = graph.inputs, len(graph.outputs), fan_in
        places = len(shared) + len(shared) // 4 + 16
        # One place more than is used, for equal terms that meet.
        shifts = 2 + max((s for form in forms for _, s in form), default=0)
        self.terms = np.zeros((self.rows + places, shifts, self.inputs + places), np.int8)
        self.pairs = np.zeros((shifts, 2, *[self.inputs + places] * 2), np.float32)
        self.free = list(range(places))[: len(shared) - 1 : -1] if shared else [*range(places)]
        self.length = np.zeros(self.rows + places, np.int64)
        for place, form in enumerate(forms):
            for (value, shift), sign in form.items():
                self.terms[place, shift, value] = sign
            self._count(place, 1)

    def copy(self) -> _Sums:
        """A copy to disturb."""
        other = object.__new__(_Sums)
        other.__dict__.update(self.__dict__)
        other.terms, other.pairs = self.terms.copy(), self.pairs.copy()
        other.free, other.length = self.free.copy(), self.length.copy()
        return other

    def cost(self) -> int:
        """LUTs of serial nodes, or adders if a node has two operands."""
        adders = np.maximum(self.length - 1, 0)
        if self.fan_in == 2:
            return int(adders.sum())
        return int((3 * adders + adders % 2).sum()) // 2

    def _count(self, place: int, by: int) -> None:
        """Count the pairs of a sum, or take them off."""
        row = self.terms[place].reshape(-1)
        found = np.flatnonzero(row)
        sign = row[found]
        shift, value = np.divmod(found, self.terms.shape[2])
        apart = shift[None, :] - shift[:, None]
        first, second = np.nonzero((apart > 0) | ((apart == 0) & (value[:, None] < value)))
        opposite = (sign[first] != sign[second]).astype(np.int64)
        where = (shift[second] - shift[first], opposite, value[first], value[second])
        np.add.at(self.pairs, where, np.float32(by))
        self.length[place] = len(shift) if by > 0 else 0

    def disturb(self, rng: np.random.Generator) -> None:
        """Take some shared sums apart and share again."""
        used = np.flatnonzero(self.length[self.rows :])
        if not len(used):
            return
        most = max(3, int(SHARE * len(used)))
        for place in rng.permutation(used)[: rng.integers(1, most)]:
            if self.length[self.rows + place]:
                self.write_out(int(place))
        self.tidy()
        size = self.pairs.shape[-1]
        noise = rng.random((size, size), np.float32) * np.float32(NOISE * rng.random())
        while self.free and self._share(noise):
            pass
        self.tidy()

    def tidy(self) -> None:
        """Write out the sums that are read once."""
        while True:
            reads = np.count_nonzero(self.terms[:, :, self.inputs :], axis=(0, 1))
            once = np.flatnonzero((reads < 2) & (self.length[self.rows :] > 0))
            if not len(once):
                return
            for place in once:
                if np.count_nonzero(self.terms[:, :, self.inputs + place]) < 2:
                    self.write_out(int(place))

    def write_out(self, place: int) -> None:
        """Replace a shared sum by its terms wherever it is read."""
        value, own = self.inputs + place, self.rows + place
        readers = np.flatnonzero(self.terms[:, :, value].any(axis=1)).tolist()
        parts = [(int(s), int(v), int(self.terms[own, s, v])) for s, v in self._of(own)]
        forms = []
        for reader in readers:
            form = {(v, s): int(self.terms[reader, s, v]) for s, v in self._of(reader)}
            for shift in np.flatnonzero(self.terms[reader, :, value]).tolist():
                sign = form.pop((value, shift))
                for s, v, each in parts:
                    _put(form, v, s + shift, each * sign)
            forms.append(form)
        if any(s >= self.terms.shape[1] for form in forms for _, s in form):
            return  # equal terms met at the highest place: the sum stays
        self._count(own, -1)
        self.terms[own] = 0
        self.free.append(place)
        for reader, form in zip(readers, forms, strict=True):
            self._count(reader, -1)
            self.terms[reader] = 0
            for (v, s), sign in form.items():
                self.terms[reader, s, v] = sign
            self._count(reader, 1)

    def _of(self, place: int) -> list[list[int]]:
        found: list[list[int]] = np.argwhere(self.terms[place]).tolist()
        return found

    def _share(self, noise: NDArray[np.float32]) -> bool:
        """Share the pair that occurs most often; whether one occurs twice."""
        best, found = 2.0, None
        for offset, kinds in enumerate(self.pairs):
            for opposite, counts in enumerate(kinds):
                noisy = counts + noise
                place = int(noisy.argmax())
                # The noise alone stays below two.
                if noisy.flat[place] >= best and counts.flat[place] >= 2:
                    best = float(noisy.flat[place])
                    found = (*divmod(place, len(counts)), offset, opposite)
        if found is None:
            return False
        self._replace(*found)
        return True

    def _replace(self, left: int, right: int, offset: int, opposite: int) -> None:
        place = self.free.pop()
        value, own = self.inputs + place, self.rows + place
        last = self.terms.shape[1] - offset
        low, high = self.terms[:, :last, left], self.terms[:, offset:, right]
        occurs = low * high == (-1 if opposite else 1)
        for reader in np.flatnonzero(occurs.any(axis=1)).tolist():
            self._count(reader, -1)
            for shift in np.flatnonzero(occurs[reader]).tolist():
                sign = self.terms[reader, shift, left]
                # A value with itself: occurrences may overlap.
                if sign and self.terms[reader, shift + offset, right]:
                    self.terms[reader, shift, left] = 0
                    self.terms[reader, shift + offset, right] = 0
                    self.terms[reader, shift, value] = sign
            self._count(reader, 1)
        self.terms[own, 0, left] = 1
        self.terms[own, offset, right] = -1 if opposite else 1
        self._count(own, 1)

    def graph(self) -> AdderGraph:
        """The adders of all sums, each after those it reads."""
        sums = Sums(self.inputs, self.fan_in)
        made: dict[int, tuple[int, int, int]] = {v: (v, 0, 1) for v in range(self.inputs)}

        def terms(place: int) -> Iterator[tuple[int, int, int]]:
            for shift, value in self._of(place):
                sign = int(self.terms[place, shift, value])
                known, more, its = made[value]
                yield known, shift + more, sign * its

        stack = [value for place in range(self.rows) for _, value in self._of(place)]
        while stack:
            value = stack[-1]
            if value in made:
                stack.pop()
                continue
            place = self.rows + value - self.inputs
            missing = [v for _, v in self._of(place) if v not in made]
            stack += missing
            if not missing:
                total = sums.total(terms(place))
                assert total is not None
                made[value] = total.value, total.shift, total.sign
        outputs = tuple(sums.total(terms(row)) for row in range(self.rows))
        return AdderGraph(self.inputs, tuple(sums.adders), outputs)
