"""The largest matching of a graph, against all matchings of small ones."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from rtl_gen.adders.matching import largest_matching
from tests.harness import seed


def size_of_the_largest(edges: list[tuple[int, int]], used: frozenset[int] = frozenset()) -> int:
    """Edges of the largest matching, from trying all."""
    best = 0
    for k, edge in enumerate(edges):
        if not used & set(edge):
            best = max(best, 1 + size_of_the_largest(edges[k + 1 :], used | set(edge)))
    return best


def test_no_matching_of_a_small_graph_is_larger() -> None:
    rng = np.random.default_rng(seed())
    for _ in range(300):
        vertices = int(rng.integers(2, 9))
        edges = [e for e in combinations(range(vertices), 2) if rng.random() < 0.4][:16]
        neighbours = [[w for e in edges if v in e for w in e if w != v] for v in range(vertices)]
        partner = largest_matching(neighbours)
        pairs = {(v, w) for v, w in enumerate(partner) if w > v}
        assert pairs <= set(edges)
        assert all(partner[w] == v for v, w in pairs)
        assert len(pairs) == size_of_the_largest(edges)


def test_a_circle_of_odd_length_lends_its_free_vertex() -> None:
    # 0-1-2-3-4 is a circle; 5 hangs at 0, 6 at 2, 7 at 6.
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (0, 5), (2, 6), (6, 7)]
    neighbours = [[w for e in edges if v in e for w in e if w != v] for v in range(8)]
    assert min(largest_matching(neighbours)) >= 0
