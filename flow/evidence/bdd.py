"""Boolean functions in canonical form: binary decision diagrams, ordered and reduced.

Two functions are equal if and only if their numbers are. Sums stay small when the bits of equal
weight are next to each other in the order, which the first use of a variable decides.

Bryant, "Graph-based algorithms for Boolean function manipulation", IEEE Trans. Computers 35(8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow.evidence.design import Bit, EvidenceError

FALSE, TRUE = 0, 1
_LEAF = 1 << 30


class Functions:
    """Functions of named variables; a function is a number, `FALSE` and `TRUE` among them.

    Parameters
    ----------
    most : int
        Nodes after which a function is given up.
    """

    def __init__(self, most: int = 2_000_000) -> None:
        self.most = most
        self.names: list[Bit] = []
        self._levels: dict[Bit, int] = {}
        self._nodes: list[tuple[int, int, int]] = [(_LEAF, 0, 0), (_LEAF, 1, 1)]
        self._unique: dict[tuple[int, int, int], int] = {}
        self._chosen: dict[tuple[int, int, int], int] = {}

    def variable(self, name: Bit) -> int:
        """The variable of that name; the first call gives it its place in the order."""
        if name not in self._levels:
            self._levels[name] = len(self.names)
            self.names.append(name)
        return self._node(self._levels[name], FALSE, TRUE)

    def _node(self, level: int, low: int, high: int) -> int:
        if low == high:
            return low
        key = (level, low, high)
        if key not in self._unique:
            if len(self._nodes) >= self.most:
                raise EvidenceError(f"a function of these cells has over {self.most} nodes")
            self._unique[key] = len(self._nodes)
            self._nodes.append(key)
        return self._unique[key]

    def choose(self, chooser: int, high: int, low: int) -> int:
        """`high` where `chooser` is 1, `low` elsewhere."""
        if chooser == TRUE or high == low:
            return high
        if chooser == FALSE:
            return low
        if (high, low) == (TRUE, FALSE):
            return chooser
        key = (chooser, high, low)
        if key not in self._chosen:
            nodes = self._nodes
            level = min(nodes[chooser][0], nodes[high][0], nodes[low][0])
            halves = [
                self.choose(*(nodes[f][1 + side] if nodes[f][0] == level else f for f in key))
                for side in (0, 1)
            ]
            self._chosen[key] = self._node(level, halves[0], halves[1])
        return self._chosen[key]

    def inverse(self, a: int) -> int:
        """``not a``."""
        return self.choose(a, FALSE, TRUE)

    def both(self, a: int, b: int) -> int:
        """``a and b``."""
        return self.choose(a, b, FALSE)

    def either(self, a: int, b: int) -> int:
        """``a or b``."""
        return self.choose(a, TRUE, b)

    def differ(self, a: int, b: int) -> int:
        """``a xor b``."""
        return self.choose(a, self.inverse(b), b)

    def table(self, init: int, inputs: Sequence[int]) -> int:
        """A truth table of `inputs`, the first of which is the index's lowest bit."""
        if not inputs:
            return init & 1
        half = 1 << len(inputs) - 1
        low, high = init & (1 << half) - 1, init >> half
        if low == high:
            return self.table(low, inputs[:-1])
        return self.choose(inputs[-1], self.table(high, inputs[:-1]), self.table(low, inputs[:-1]))

    def variables(self, function: int) -> list[Bit]:
        """Names of the variables that a function depends on, in their order."""
        seen, levels, left = {function}, set[int](), [function]
        while left:
            level, *below = self._nodes[left.pop()]
            if level != _LEAF:
                levels.add(level)
                left += [node for node in below if node not in seen]
                seen.update(below)
        return [self.names[level] for level in sorted(levels)]

    def fixed(self, function: int, values: Mapping[Bit, int]) -> int:
        """The function with some variables fixed."""
        known: dict[int, int] = {FALSE: FALSE, TRUE: TRUE}

        def below(node: int) -> int:
            if node not in known:
                level, low, high = self._nodes[node]
                value = values.get(self.names[level])
                # A fixed variable only leaves levels out, so the order holds.
                known[node] = (
                    self._node(level, below(low), below(high))
                    if value is None
                    else below(high if value else low)
                )
            return known[node]

        return below(function)

    def at(self, function: int, values: Mapping[Bit, int]) -> int:
        """Value of a function; `values` has all of its variables."""
        while function > TRUE:
            level, low, high = self._nodes[function]
            function = high if values[self.names[level]] else low
        return function
