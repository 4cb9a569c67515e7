"""Which sums have an adder over, and which two of those are of the same values: a + b and a - b.

Three LUTs make two adders of one sum, so that a sum of an even number of terms has one adder over.
It may be of any two terms. If another such sum has the same two with the other sign, their two
adders take three LUTs together (`rtl_gen.adders.serial`): the sums are partners.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from rtl_gen.adders.graph import AdderGraph, Output
from rtl_gen.adders.shared_sums import SharedSums
from rtl_gen.adders.sums import Sums, Term


def pair_up(sums: SharedSums) -> None:
    """Find partners for sums that have changed, also by giving the partner of another a new one."""
    if sums.fan_in == 2:
        return
    changed = {move[0] for move in sums.moved} | sums.parted
    alone = [place for place in sorted(changed) if _has_one_over(sums, place)]
    alone.sort(key=lambda place: len(sums.terms[place]))
    for place in alone:
        if place not in sums.partner:
            other = _find(sums, place)
            if other is not None:
                _join(sums, place, other)
    for place in alone:
        if place not in sums.partner and place >= sums.rows:
            _turn(sums, place)


def _has_one_over(sums: SharedSums, place: int) -> bool:
    size = len(sums.terms[place])
    return size > 1 and not size & 1


def _turn(sums: SharedSums, place: int) -> None:
    for other in _likely(sums, place):
        before = sums.partner[other]
        instead = _find(sums, before)
        if instead is not None and instead != place:
            sums.part(other)
            _join(sums, place, other)
            _join(sums, before, instead)
            return


def _join(sums: SharedSums, place: int, other: int) -> None:
    sums.partner[place], sums.partner[other] = other, place


def _find(sums: SharedSums, place: int) -> int | None:
    return next((other for other in _likely(sums, place) if other not in sums.partner), None)


def _likely(sums: SharedSums, place: int) -> Iterator[int]:
    """Sums with an adder over that have a pair of this one's with the other sign."""
    for (value, shift), (other, at) in combinations(sums.terms[place], 2):
        holder = sums.holder(_opposite(sums, place, (value, shift), (other, at)))
        if holder is not None and holder != place and _has_one_over(sums, holder):
            yield holder


def _opposite(sums: SharedSums, place: int, one: tuple[int, int], two: tuple[int, int]) -> int:
    """Two terms' pair with the other sign."""
    terms = sums.terms[place]
    return sums.key(*one, *two, terms[one] != terms[two]) ^ 1


def to_graph(sums: SharedSums) -> AdderGraph:
    """The adders of all sums, each after those it reads."""
    made = Sums(sums.inputs, sums.fan_in)
    names: dict[int, tuple[int, int, int]] = {v: (v, 0, 1) for v in range(sums.inputs)}

    def total(place: int) -> Output | None:
        terms = {name: _term(made, names, name, sign) for name, sign in sums.terms[place].items()}
        own = _common(sums, place)
        alone = [made.add(*(terms.pop(name) for name in own))] if own else []
        return made.total(term[1:] for term in [*alone, *(terms[name] for name in sorted(terms))])

    stack = [value for row in range(sums.rows) for value, _ in sums.terms[row]]
    while stack:
        value = stack[-1]
        if value in names:
            stack.pop()
            continue
        missing = [v for v, _ in sums.terms[sums.own(value)] if v not in names]
        stack += missing
        if not missing:
            found = total(sums.own(value))
            assert found is not None
            names[value] = found.value, found.shift, found.sign
    outputs = tuple(total(row) for row in range(sums.rows))
    return AdderGraph(sums.inputs, tuple(made.adders), outputs)


def _term(
    made: Sums, names: dict[int, tuple[int, int, int]], name: tuple[int, int], sign: int
) -> Term:
    """A term of a sum in the values of the graph that is being made."""
    value, shift = name
    known, more, its = names[value]
    return made.depth[known], known, shift + more, its * sign


def _common(sums: SharedSums, place: int) -> list[tuple[int, int]]:
    """The two terms that a sum shares with its partner."""
    if place in sums.partner:
        for one, two in combinations(sums.terms[place], 2):
            if sums.holder(_opposite(sums, place, one, two)) == sums.partner[place]:
                return [one, two]
    return []
