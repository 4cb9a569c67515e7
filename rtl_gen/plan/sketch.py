"""ROM images of which only the sizes are wanted: a plan is measured a hundred times, made once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from rtl_gen.images import Image, Images, Order
from rtl_gen.ir import integer as ir


class Sketch(Images):
    """`Images` whose words are zeros: pieces lie where they would, equal ones once."""

    def _reserve(self, rom: str, key: Hashable, words: int) -> int:
        known = self.roms.setdefault(rom, Image())
        place = (hash(key),)
        if place not in known.places:
            known.places[place] = len(known.words)
            known.words.extend([0] * words)
        return known.places[place]

    def _content(self, *names: str | None) -> Hashable:
        constants = self.graph.constants
        return tuple(None if n is None else constants[n].data.tobytes() for n in names)

    def weights(self, ops: Sequence[tuple[ir.ConstMatVec | ir.Conv2d, Order]]) -> int:
        """First word of the weights of one or more matrices below one another."""
        matrices = [self.graph.constants[op.weight].data for op, _ in ops]
        groups = -(-sum(len(matrix) for matrix in matrices) // self.lanes)
        orders = [None if order is None else order.tobytes() for _, order in ops]
        key = (self._content(*(op.weight for op, _ in ops)), *orders)
        return self._reserve("matvec_weight", key, groups * matrices[0][0].size // self.elements)

    def rows(self, op: ir.ConstMatVec | ir.Conv2d, order: Order = None) -> int:
        """First word of the constants of a matrix's rows."""
        key = (self._content(op.multiplier, op.bias), None if order is None else order.tobytes())
        count = self.graph.constants[op.multiplier].data.size
        return self._reserve("matvec_row", key, -(-count // self.elements))

    def embedding(self, op: ir.Embedding) -> tuple[int, int]:
        """First words of the table and of its rows' multipliers."""
        constants = self.graph.constants
        count = constants[op.table].data.size // self.elements
        return (
            self._reserve("embedding_table", self._content(op.table), count),
            self._reserve("embedding_row", self._content(op.multiplier),
                          constants[op.multiplier].data.size),
        )  # fmt: skip

    def norm(self, op: ir.Norm) -> int:
        """First word of gain and bias."""
        count = self.graph.constants[op.gain].data.size // self.elements
        return self._reserve("norm_gain", self._content(op.gain, op.bias), count)

    def rotary(self, op: ir.Rotary) -> int:
        """First word of the rotation table."""
        count = self.graph.constants[op.cos].data.size // self.elements
        return self._reserve("rotary", self._content(op.cos, op.sin), count)

    def lookup(self, op: ir.Lookup) -> int:
        """First word of the table."""
        count = self.graph.constants[op.table].data.size
        return self._reserve("lookup", self._content(op.table), count)
