"""Largest matching of a graph: as many edges as possible, no two with an end in common."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


def largest_matching(neighbours: Sequence[Sequence[int]]) -> list[int]:
    """Partner of every vertex, -1 for one without.

    Parameters
    ----------
    neighbours : sequence of sequences of int
        Of every vertex; each edge is listed at both its ends.

    Notes
    -----
    J. Edmonds, "Paths, trees, and flowers", Canadian Journal of Mathematics 17, 1965: a path
    between two free vertices whose edges are matched in turn grows the matching by one; circles of
    odd length on the way count as one vertex. A first matching comes from the vertices with the
    fewest neighbours, which is all there is to do in a forest.
    """
    partner = [-1] * len(neighbours)
    for vertex in sorted(range(len(neighbours)), key=lambda v: len(neighbours[v])):
        if partner[vertex] < 0:
            free = [w for w in neighbours[vertex] if partner[w] < 0 and w != vertex]
            if free:
                other = min(free, key=lambda w: len(neighbours[w]))
                partner[vertex], partner[other] = other, vertex
    for vertex in range(len(neighbours)):
        if partner[vertex] < 0 and neighbours[vertex]:
            _Search(neighbours, partner).grow(vertex)
    return partner


class _Search:
    """One search for a path that grows the matching, from one free vertex."""

    def __init__(self, neighbours: Sequence[Sequence[int]], partner: list[int]) -> None:
        self.neighbours, self.partner = neighbours, partner
        self.parent: dict[int, int] = {}
        self.base: dict[int, int] = {}
        self.even: set[int] = set()

    def grow(self, root: int) -> None:
        """Turn the edges of a path from `root`, if there is one."""
        self.even.add(root)
        queue = deque([root])
        while queue:
            vertex = queue.popleft()
            for other in self.neighbours[vertex]:
                if self._of(vertex) == self._of(other) or self.partner[vertex] == other:
                    continue
                if other == root or self.partner[other] in self.parent:
                    queue.extend(self._contract(vertex, other))
                elif other not in self.parent:
                    self.parent[other] = vertex
                    if self.partner[other] < 0:
                        self._turn(other)
                        return
                    self.even.add(self.partner[other])
                    queue.append(self.partner[other])

    def _of(self, vertex: int) -> int:
        """Vertex that stands for the circle that `vertex` is on."""
        return self.base.get(vertex, vertex)

    def _contract(self, left: int, right: int) -> list[int]:
        """Make one vertex of an odd circle; gives its vertices that are to be searched now."""
        common = self._common(left, right)
        circle: set[int] = set()
        for start, child in ((left, right), (right, left)):
            vertex, below = start, child
            while self._of(vertex) != common:
                circle |= {self._of(vertex), self._of(self.partner[vertex])}
                self.parent[vertex] = below
                below = self.partner[vertex]
                vertex = self.parent[below]
        found = []
        for vertex in {*self.parent, *self.even}:
            if self._of(vertex) in circle:
                self.base[vertex] = common
                if vertex not in self.even:
                    self.even.add(vertex)
                    found.append(vertex)
        return sorted(found)

    def _common(self, left: int, right: int) -> int:
        seen = set()
        while True:
            left = self._of(left)
            seen.add(left)
            if self.partner[left] < 0:
                break
            left = self.parent[self.partner[left]]
        while True:
            right = self._of(right)
            if right in seen:
                return right
            right = self.parent[self.partner[right]]

    def _turn(self, vertex: int) -> None:
        while vertex >= 0:
            before = self.parent[vertex]
            following = self.partner[before]
            self.partner[vertex], self.partner[before] = before, vertex
            vertex = following
