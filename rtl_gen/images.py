"""Contents of the chip's ROMs, gathered while the schedule is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl_gen.blocks.const_matvec import row_words, weight_words
from rtl_gen.fabric.beat import pack
from rtl_gen.fabric.rom import image
from rtl_gen.ir import integer as ir
from rtl_gen.ir import tables
from rtl_gen.ir.types import IntType

Order = NDArray[np.int64] | None
"""Order of a matrix's rows, None for its own."""


@dataclass(slots=True)
class Image:
    """Words of one ROM; equal pieces are kept once."""

    words: list[int] = field(default_factory=list)
    places: dict[tuple[int, ...], int] = field(default_factory=dict)

    def place(self, piece: Sequence[int]) -> int:
        """First word of `piece`, appended if no equal piece is there."""
        key = tuple(piece)
        if key not in self.places:
            self.places[key] = len(self.words)
            self.words.extend(piece)
        return self.places[key]


@dataclass(frozen=True, slots=True)
class Graph:
    """A matrix that is wired in space.

    Parameters
    ----------
    name, style : str
        Of its weights; ``serial`` or ``parallel``.
    weight : int64, shape (n_out, n_in)
        Rows in the order in which they leave.
    x : IntType
        Signed type of the vector's elements.
    """

    name: str
    style: str
    weight: NDArray[np.int64]
    x: IntType


@dataclass(slots=True)
class Images:
    """All ROMs of a chip by name.

    Parameters
    ----------
    graph : IntegerGraph
    lanes, weight_width, bias_width : int
        Shape of the matrix ROMs.
    norm_bias_width, table_width : int
    elements : int
        Elements of a beat.
    """

    graph: ir.IntegerGraph
    lanes: int
    weight_width: int
    bias_width: int
    norm_bias_width: int
    table_width: int
    elements: int = 1
    roms: dict[str, Image] = field(default_factory=dict)
    etched: list[Graph] = field(default_factory=list)

    def _place(self, rom: str, words: Sequence[int]) -> int:
        return self.roms.setdefault(rom, Image()).place(words)

    def weights(self, ops: Sequence[tuple[ir.ConstMatVec | ir.Conv2d, Order]]) -> int:
        """First word of the weights of one or more matrices below one another.

        Parameters
        ----------
        ops : sequence of (operator, order)
            `order` is the order of the rows, None for the matrix's own.
        """
        rows = []
        for op, order in ops:
            weight = self.graph.constants[op.weight].data
            flat = weight.reshape(len(weight), -1)
            rows.append(flat if order is None else flat[order])
        words = weight_words(np.vstack(rows), self.lanes, self.weight_width, self.elements)
        return self._place("matvec_weight", words)

    def rows(self, op: ir.ConstMatVec | ir.Conv2d, order: Order = None) -> int:
        """First word of the constants of a matrix's rows."""
        return self._place("matvec_row", self._row_words(op, order))

    def etched_core(self, node: ir.Node, style: str, order: Order) -> int:
        """Number of the adder graph that computes a product whose rows leave in `order`."""
        assert isinstance(node.op, ir.ConstMatVec)
        weight = self.graph.constants[node.op.weight].data
        x = self.graph.value(node.inputs[0]).type
        signed = IntType(x.width + (not x.signed))
        graph = Graph(node.op.weight, style, weight if order is None else weight[order], signed)
        for index, known in enumerate(self.etched):
            if (known.name, known.style, known.x) == (graph.name, graph.style, graph.x) and (
                np.array_equal(known.weight, graph.weight)
            ):
                return index
        self.etched.append(graph)
        return len(self.etched) - 1

    def etched_rows(self, op: ir.ConstMatVec, order: Order) -> int:
        """First word of the constants of such a matrix's rows."""
        return self._place("etched_row", self._row_words(op, order))

    def _row_words(self, op: ir.ConstMatVec | ir.Conv2d, order: Order) -> list[int]:
        constants = self.graph.constants
        multiplier = constants[op.multiplier].data
        bias = np.zeros_like(multiplier) if op.bias is None else constants[op.bias].data
        if order is not None:
            multiplier, bias = multiplier[order], bias[order]
        missing = -len(bias) % self.elements  # of the logits, whose last beat may be partial
        bias, multiplier = np.pad(bias, (0, missing)), np.pad(multiplier, (0, missing))
        return row_words(bias, multiplier, self.bias_width, self.elements)

    def experts(self, op: ir.ExpertMatVec) -> tuple[int, int, int, int]:
        """Regions of all experts, of equal size one after another, in the ROMs of the lanes.

        Returns
        -------
        weight_base, weight_stride, row_base, row_stride : int
            First word of expert 0, and words from one expert to the next.
        """
        matrices = [
            weight_words(matrix, self.lanes, self.weight_width, self.elements)
            for matrix in self.graph.constants[op.weight].data
        ]
        rows = self.expert_rows(op)
        return (
            self._place("matvec_weight", [word for matrix in matrices for word in matrix]),
            len(matrices[0]),
            self._place("matvec_row", [word for part in rows for word in part]),
            len(rows[0]),
        )

    def etched_experts(self, node: ir.Node, style: str) -> tuple[int, int, int]:
        """Adder graphs of all experts one after another, and their rows' constants.

        Returns
        -------
        core, row_base, row_stride : int
            Number of expert 0's graph, its first word, and words from one expert to the next.
        """
        assert isinstance(node.op, ir.ExpertMatVec)
        constants = self.graph.constants
        weight = constants[node.op.weight].data
        x = self.graph.value(node.inputs[0]).type
        signed = IntType(x.width + (not x.signed))
        names = [known.name for known in self.etched]
        if node.op.weight not in names:
            self.etched += [Graph(node.op.weight, style, matrix, signed) for matrix in weight]
        rows = self.expert_rows(node.op)
        return (
            [*names, node.op.weight].index(node.op.weight),
            self._place("etched_row", [word for part in rows for word in part]),
            len(rows[0]),
        )

    def expert_rows(self, op: ir.ExpertMatVec) -> list[list[int]]:
        """Words of the constants of every expert's rows."""
        constants = self.graph.constants
        multiplier = constants[op.multiplier].data
        bias = np.zeros_like(multiplier) if op.bias is None else constants[op.bias].data
        return [
            row_words(b, m, self.bias_width, self.elements)
            for b, m in zip(bias, multiplier, strict=True)
        ]

    def embedding(self, op: ir.Embedding) -> tuple[int, int]:
        """First words of the table and of its rows' multipliers."""
        constants = self.graph.constants
        words = constants[op.table].data.ravel().tolist()
        table = pack(words, self.table_width, self.elements)
        return (
            self._place("embedding_table", table),
            self._place("embedding_row", constants[op.multiplier].data.tolist()),
        )

    def norm(self, op: ir.Norm) -> int:
        """First word of gain and bias."""
        gain = self.graph.constants[op.gain].data
        bias = np.zeros_like(gain) if op.bias is None else self.graph.constants[op.bias].data
        mask = (1 << self.norm_bias_width) - 1
        words = [int(g) & 0xFFFF | (int(b) & mask) << 16 for g, b in zip(gain, bias, strict=True)]
        return self._place("norm_gain", pack(words, 16 + self.norm_bias_width, self.elements))

    def sinks(self, op: ir.Attention, parallel: int, element_bits: int) -> int:
        """First word of the sinks' scores, those of `parallel` heads in a word."""
        assert op.sinks is not None
        scores = self.graph.constants[op.sinks].data.tolist()
        bits = 2 * element_bits + (op.head_dim - 1).bit_length()
        return self._place("attention_sink", pack(scores, bits, parallel))

    def router_bias(self, route: ir.Node) -> int:
        """First word of what is added to scores for the choice; zeros if that is nothing."""
        assert isinstance(route.op, ir.Route)
        bias = route.op.bias
        experts = self.graph.value(route.inputs[0]).shape[0]
        words = [0] * experts if bias is None else self.graph.constants[bias].data.tolist()
        return self._place("router_bias", words)

    def rotary(self, op: ir.Rotary) -> int:
        """First word of the rotation table."""
        cos, sin = (self.graph.constants[name].data.ravel() for name in (op.cos, op.sin))
        words = [int(c) & 0xFFFF | (int(s) & 0xFFFF) << 16 for c, s in zip(cos, sin, strict=True)]
        return self._place("rotary", pack(words, 32, self.elements))

    def lookup(self, op: ir.Lookup) -> int:
        """First word of the table."""
        return self._place("lookup", self.graph.constants[op.table].data.tolist())

    def add_program(self, words: Sequence[int]) -> None:
        """The microprogram."""
        self._place("program", words)

    def add_base(self, words: Sequence[int]) -> None:
        """Digest of the graph, which adapter images are bound to."""
        self._place("adapter_base", words)

    def tables(self) -> dict[str, Sequence[int]]:
        """Contents of the ROMs that hold one table."""
        return {
            "rsqrt": tables.rsqrt().tolist(),
            "exp2": tables.exp2().tolist(),
            "reciprocal": tables.reciprocal().tolist(),
            "gumbel": next(
                (
                    self.graph.constants[node.op.noise].data.tolist()
                    for node in self.graph.nodes
                    if isinstance(node.op, ir.Sample)
                ),
                [],
            ),
        }

    def text(self, rom: str, depth: int, width: int) -> str:
        """Image file of `rom`, padded with zeros to `depth` words."""
        fixed = self.tables()
        words = fixed[rom] if rom in fixed else self.roms[rom].words
        return image([*words, *[0] * (depth - len(words))], width)
