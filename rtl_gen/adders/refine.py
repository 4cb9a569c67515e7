"""Smaller adder graphs: some shared sums are taken apart and shared anew, again and again.

Notes
-----
Sharing the most frequent pair first is greedy. Here a graph is a list of sums, the rows and every
sum that is read twice or more, and a round is one step of a large neighbourhood search (P. Shaw,
"Using constraint programming and local search methods to solve vehicle routing problems", CP 1998):
a few shared sums that read common values are written out where they are read, the most frequent
pairs are shared again with some noise in their order, and the result is kept if it does not cost
more, or little more in the beginning (S. Kirkpatrick et al., "Optimization by simulated annealing",
Science 220, 1983).
"""

from __future__ import annotations

import math

import numpy as np

from rtl_gen.adders.graph import AdderGraph
from rtl_gen.adders.partner import pair_up, to_graph
from rtl_gen.adders.shared_sums import NoRoomError, SharedSums

MOST = 20
"""Shared sums that a round takes apart at most."""

NOISE = 2.5
"""Occurrences by which the noise may prefer a rarer pair."""

WARMTH = 0.5
"""LUTs by which a graph may grow in the first round, with probability 1/e; falls to 0."""


def refine(graph: AdderGraph, rounds: int, *, fan_in: int = 2, seed: int = 0) -> AdderGraph:
    """Graph of the same matrix with no more LUTs of serial nodes, most often fewer.

    Parameters
    ----------
    graph : AdderGraph
    rounds : int
        0 gives `graph` itself.
    fan_in : int
        Operands of a node at most: 3 counts LUTs of serial nodes, 2 counts adders.
    seed : int
        Of the choices.

    Returns
    -------
    AdderGraph
    """
    if rounds < 1:
        return graph
    rng = np.random.default_rng(seed)
    sums = SharedSums(graph, fan_in)
    sums.tidy()
    pair_up(sums)
    first = cost = sums.cost()
    for left in range(rounds, 0, -1):
        sums.begin()
        try:
            _disturb(sums, rng)
        except NoRoomError:
            sums.undo()
            continue
        pair_up(sums)
        most = cost - 2 * WARMTH * left / rounds * math.log(1 - rng.random())
        if sums.cost() <= most:
            cost = sums.cost()
        else:
            sums.undo()
    return to_graph(sums) if cost <= first else graph


def _disturb(sums: SharedSums, rng: np.random.Generator) -> None:
    """Take some shared sums apart and share again."""
    for value in _neighbours(sums, rng, 1 + int(MOST * rng.random())):
        if value in sums.live:
            sums.write_out(value)
    size = NOISE * rng.random()
    sums.share(lambda: size * rng.random())
    sums.tidy()
    sums.share(lambda: 0.0)
    sums.tidy()


def _neighbours(sums: SharedSums, rng: np.random.Generator, most: int) -> list[int]:
    """Shared sums that read the same values: those of an input, or of one of them, and so on."""
    found: list[int] = []
    value = int(rng.integers(sums.inputs))
    for _ in range(2 * most):
        readers = {at // sums.shifts - sums.rows + sums.inputs for at in sums.places[value]}
        more = sorted(readers & sums.live - set(found))
        found += rng.permutation(more).tolist()
        if len(found) >= most:
            break
        value = int(rng.integers(sums.inputs))
        if found and rng.random() < 0.5:
            chosen = found[int(rng.integers(len(found)))]
            value = next(v for v, _ in sums.terms[sums.own(chosen)])
    return found[:most]
