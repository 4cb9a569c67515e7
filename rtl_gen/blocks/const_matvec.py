"""Constant matrix-vector product: weights in ROM, one multiply-accumulate lane per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.fabric import rom
from rtl_gen.fabric.accumulate import add_or_load
from rtl_gen.fabric.adapter_memory import Geometry, ReadPorts
from rtl_gen.fabric.adder import tree
from rtl_gen.fabric.beat import beat, cut, pack, split
from rtl_gen.fabric.packed_product import packed_product
from rtl_gen.fabric.pipeline import delay, register
from rtl_gen.fabric.product import product
from rtl_gen.fabric.row_scale import MULTIPLIER_BITS, PLACES, PLACES_ALONE, RowScale

RELEASED = 4
"""Beats of a group that may be left when the group after the next starts: they are gone before its
first product is added."""


def weight_words(weight: NDArray[np.int64], lanes: int, width: int, elements: int = 1) -> list[int]:
    """ROM words of one matrix.

    Word ``g * n_in / elements + k`` holds ``weight[g * lanes + lane, k * elements + e]``, element 0
    of lane 0 in the low bits; rows beyond the matrix are zero.

    Parameters
    ----------
    weight : int64, shape (n_out, n_in)
    lanes, width, elements : int
        Rows per group, bits per weight, columns per beat.
    """
    n_out, n_in = weight.shape
    groups = -(-n_out // lanes)
    padded = np.zeros((groups * lanes, n_in), np.int64)
    padded[:n_out] = weight
    beats = padded.reshape(groups, lanes, n_in // elements, elements).transpose(0, 2, 1, 3)
    return pack(beats.ravel().tolist(), width, lanes * elements)


def row_words(
    bias: NDArray[np.int64] | None,
    multiplier: NDArray[np.int64],
    bias_width: int,
    elements: int = 1,
) -> list[int]:
    """ROM words of `elements` rows' constants: multiplier in the low 16 bits, bias above."""
    biases = np.zeros_like(multiplier) if bias is None else bias
    mask = (1 << bias_width) - 1
    rows = [
        int(m) | (int(b) & mask) << MULTIPLIER_BITS for m, b in zip(multiplier, biases, strict=True)
    ]
    return pack(rows, MULTIPLIER_BITS + bias_width, elements)


class ConstMatVec(wiring.Component):
    """ROM-fed lanes; golden model `rtl_gen.golden.const_matvec`.

    The input vector arrives once per group of `lanes` rows, one beat per cycle. While a group is
    multiplied, the sums of the one before leave through the requantizers, one beat per cycle, so a
    group takes ``max(n_in, lanes) / elements`` cycles, 8 at least, with no bubble between groups,
    nor between matrices: a product may start while the one before drains, and may drain in pieces
    that are requantized differently.

    Latency 14 cycles after a group's last beat, 15 if a beat has several elements; throughput
    ``lanes * elements`` products per cycle.

    Parameters
    ----------
    lanes : int
        Rows computed at once.
    x_width, weight_width, acc_width, bias_width, width : int
        Signed widths of input, weight, accumulator, bias and output.
    weight_depth, row_depth : int
        Words of the two ROMs.
    max_columns, max_rows, max_piece : int
        Most beats of a row, of results, and of results of one piece.
    elements : int
        Elements of a beat; divides `lanes` and the sizes of every matrix.
    adapter : Geometry or None
        Adapter memory that the lanes read, too.
    element_width : int
        Bits of an adapter's element.
    packed : bool
        Two lanes share a multiplier, as `rtl_gen.fabric.packed_product` does it.
    name : str
        Prefix of the ROM images ``<name>_weight`` and ``<name>_row``.

    Members
    -------
    i, o : streams of beats of signed(width)
    start : In(1)
        Pulse before the first element, when those of the product before have been taken.
    weight_base, last_column, group_rows : In
        First ROM word, beats of a row less one, beats of results; stable from `start` to the last
        element taken.
    drain : In(1)
        Pulse: let `rows` beats of results leave; when those of the piece before have left.
    row_base, rows, shift, low, high : In
        First ROM word, beats of the piece, and as in `Requantize`; stable until it has left.
    source, row_source : In
        With an adapter memory: what `weight_base` and `row_base` are addresses of. 0 is the ROM, 1
        the adapter's `a`, 2 its `b`; a `row_source` other than 0 is the adapter's rows.
    memory : Out
        With an adapter memory: its reading ports.
    """

    def __init__(
        self, *, lanes: int, x_width: int, weight_width: int, acc_width: int, bias_width: int,
        width: int, weight_depth: int, row_depth: int, max_columns: int, max_rows: int,
        max_piece: int, elements: int = 1, adapter: Geometry | None = None,
        element_width: int = 0, packed: bool = False, name: str = "matvec",
    ) -> None:  # fmt: skip
        self.packed = packed
        self.adapter = adapter
        self.element_width = element_width
        self.lanes = lanes
        self.x_width = x_width
        self.weight_width = weight_width
        self.acc_width = acc_width
        self.bias_width = bias_width
        self.width = width
        self.elements = elements
        self.scale = RowScale(
            acc_width=acc_width, bias_width=bias_width, width=width, elements=elements,
            places=PLACES_ALONE if lanes == elements else PLACES,
        )  # fmt: skip
        self.queue = self.scale.queue
        self.weights = rom.Rom(f"{name}_weight", weight_depth, lanes * elements * weight_width)
        self.row_constants = rom.Rom(f"{name}_row", row_depth, len(self.scale.rows))
        depth, row_depth = self.weights.depth, self.row_constants.depth
        ports: dict[str, Any] = {}
        if adapter is not None:
            depth = max(depth, *adapter.words[:2])
            row_depth = max(row_depth, adapter.words[2])
            ports = {"source": In(2), "row_source": In(2), "memory": Out(ReadPorts(adapter))}
        super().__init__(
            {
                "i": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(beat(width, elements))),
                "start": In(1),
                "weight_base": In(range(depth)),
                "row_base": In(range(row_depth)),
                "last_column": In(range(max(2, max_columns))),
                "group_rows": In(range(max_rows + 1)),
                "drain": In(1),
                "rows": In(range(max_piece + 1)),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
                **ports,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the lanes, the drain and the requantizers."""
        m = Module()
        m.submodules.weights = self.weights
        m.submodules.row_constants = self.row_constants

        # Lanes never stall, so that no signal has to reach all of them at once. Instead a group
        # starts only if there is room for its sums: one group is let out, one waits in the lanes.
        on = Const(1)
        outstanding = Signal(2)
        column = Signal.like(self.last_column)
        accepted = Signal()
        last = column == self.last_column
        begins = accepted & (column == 0)
        leaves = Signal()
        m.d.comb += [
            self.i.ready.eq((column != 0) | ~outstanding[1]),
            accepted.eq(self.i.valid & self.i.ready),
        ]
        m.d.sync += outstanding.eq(outstanding + begins - leaves)
        beats = self.lanes // self.elements
        rows_left = Signal.like(self.group_rows)
        rows_here = Signal(range(beats + 1))
        m.d.comb += rows_here.eq(Mux(rows_left > beats, beats, rows_left))
        with m.If(self.start):
            m.d.sync += [column.eq(0), self.weights.addr.eq(self.weight_base)]
            m.d.sync += rows_left.eq(self.group_rows)
        with m.Elif(accepted):
            m.d.sync += column.eq(Mux(last, 0, column + 1))
            m.d.sync += self.weights.addr.eq(self.weights.addr + 1)
            with m.If(last):
                m.d.sync += rows_left.eq(rows_left - rows_here)

        # Products; those of one beat are summed in a stage of their own.
        latency = rom.LATENCY + 1 + (self.elements > 1)
        valid = delay(m, on, accepted, latency, reset=True)
        first = delay(m, on, column == 0, latency)
        done = delay(m, on, accepted & last, latency, reset=True)
        finished = delay(m, on, rows_here, latency)
        xs = [
            delay(m, on, x[: self.x_width].as_signed(), rom.LATENCY)
            for x in split(self.i.payload, self.elements)
        ]
        weights = self._weights(m, on, accepted)
        accumulators = [
            Signal(signed(self.acc_width), name=f"acc{j}", reset_less=True)
            for j in range(self.lanes)
        ]
        products = self._products(m, on, xs, weights)
        for j, acc in enumerate(accumulators):
            row = products[j]
            term = row[0] if len(row) == 1 else register(m, on, tree(m, row))
            total = Signal.like(acc, name=f"total{j}")
            wide = Signal.like(acc, name=f"term{j}")
            m.d.comb += wide.eq(term)
            m.submodules[f"accumulate{j}"] = add_or_load(acc, wide, first, wide, total)
            with m.If(valid):
                m.d.sync += acc.eq(total)

        self._drain(m, done, finished, leaves, accumulators)
        return m

    def _products(
        self, m: Module, en: Value, xs: Sequence[Value], weights: Sequence[Value]
    ) -> list[list[Value]]:
        """Products of every lane, a stage later, one per element of the beat."""
        lanes: list[list[Value]] = [[] for _ in range(self.lanes)]
        paired = self.lanes & ~1 if self.packed else 0
        for k, x in enumerate(xs):
            column = weights[k :: self.elements]
            for j in range(0, paired, 2):
                both = packed_product(m, en, x, column[j], column[j + 1], f"lane{j}_{k}")
                for lane, exact in enumerate(both, j):
                    lanes[lane].append(exact)
            for j in range(paired, self.lanes):
                result = Signal(signed(self.x_width + len(column[j])), name=f"exact{j}_{k}")
                m.submodules[f"lane{j}_{k}"] = product(x, column[j], result)
                lanes[j].append(register(m, en, result))
        return lanes

    def _weights(self, m: Module, en: Value, accepted: Value) -> list[Value]:
        """Weights of all products of this cycle, from the ROM or from the adapter memory."""
        shape = signed(self.weight_width)
        etched = cut(self.weights.data, shape, self.lanes * self.elements)
        if self.adapter is None:
            return etched
        memory = self.memory
        for name in ("a", "b"):
            address = getattr(memory, f"{name}_addr")
            m.d.comb += getattr(memory, f"{name}_en").eq(en)
            with m.If(self.start):
                m.d.sync += address.eq(self.weight_base + getattr(memory, f"{name}_base"))
            with m.Elif(accepted):
                m.d.sync += address.eq(address + 1)
        source = delay(m, en, self.source, rom.LATENCY)
        shape = signed(self.element_width)
        a = cut(memory.a_data, shape, len(memory.a_data) // self.element_width)
        b = cut(memory.b_data, shape, len(memory.b_data) // self.element_width)
        chosen = []
        for k, etched_weight in enumerate(etched):
            weight = Signal(signed(max(self.weight_width, self.element_width)), name=f"weight{k}")
            m.d.comb += weight.eq(etched_weight)
            with m.If(source == 1):
                m.d.comb += weight.eq(a[k] if k < len(a) else 0)
            with m.If(source == 2):
                m.d.comb += weight.eq(b[k])
            chosen.append(weight)
        return chosen

    def _drain(
        self, m: Module, done: Value, finished: Value, leaves: Signal,
        accumulators: Sequence[Signal],
    ) -> None:  # fmt: skip
        """Sums of a finished group beat by beat through the requantizers."""
        beats = range(self.lanes // self.elements + 1)
        scale = m.submodules.scale = self.scale
        wiring.connect(m, scale.o, wiring.flipped(self.o))
        hold = [
            Signal(signed(self.acc_width), name=f"hold{j}", reset_less=True)
            for j in range(self.lanes)
        ]
        waiting, released = Signal(), Signal()
        waiting_rows, left = Signal(beats), Signal(beats)
        wanted = Signal.like(self.rows)
        index = Signal(range(max(2, beats[-1])))
        take, empties = Signal(), Signal()
        m.d.comb += [
            take.eq((left != 0) & (wanted != 0) & (scale.free != 0)),
            scale.reserve.eq(take),
            empties.eq((left == 0) | ((left == 1) & take)),
        ]
        # The last beats are sure to leave one after the other.
        soon = (left <= RELEASED) & (wanted >= left) & (scale.free >= RELEASED)
        m.d.comb += leaves.eq((left != 0) & ~released & (soon | empties))
        with m.If(leaves):
            m.d.sync += released.eq(1)
        with m.If(take):
            m.d.sync += [left.eq(left - 1), index.eq(index + 1)]
        with m.If(done):
            m.d.sync += waiting_rows.eq(finished)
        m.d.sync += waiting.eq((done | waiting) & ~empties)
        loads = (done | waiting) & empties
        with m.If(loads):
            m.d.sync += [left.eq(Mux(done, finished, waiting_rows)), index.eq(0), released.eq(0)]
        # It reaches every sum: it comes straight from a register, and all behind it a cycle later.
        on = Const(1)
        with m.If(register(m, on, loads, reset=True)):
            m.d.sync += [h.eq(a) for h, a in zip(hold, accumulators, strict=True)]

        with m.If(self.drain):
            m.d.sync += wanted.eq(self.rows)
        with m.Elif(take):
            m.d.sync += wanted.eq(wanted - 1)
        taken = register(m, on, take, reset=True)
        with m.If(self.drain):
            m.d.sync += self.row_constants.addr.eq(self.row_base)
        with m.Elif(taken):
            m.d.sync += self.row_constants.addr.eq(self.row_constants.addr + 1)
        m.d.comb += [
            scale.valid.eq(delay(m, on, taken, rom.LATENCY, reset=True)),
            scale.sums.eq(_select(m, hold, self.elements, register(m, on, index))),
            scale.rows.eq(self._row_words(m, taken)),
            scale.shift.eq(self.shift),
            scale.low.eq(self.low),
            scale.high.eq(self.high),
        ]

    def _row_words(self, m: Module, take: Value) -> Value:
        """Constants of the rows of a beat, from the ROM or from the adapter memory."""
        etched = self.row_constants.data
        if self.adapter is None:
            return etched
        address = self.memory.row_addr
        m.d.comb += self.memory.row_en.eq(1)
        with m.If(self.drain):
            m.d.sync += address.eq(self.row_base + self.memory.row_base)
        with m.Elif(take):
            m.d.sync += address.eq(address + 1)
        # The pieces of the two memories never overlap: one has left when the next starts.
        multipliers = cut(self.memory.row_data, unsigned(MULTIPLIER_BITS), self.elements)
        words = [Cat(part, Const(0, self.bias_width)) for part in multipliers]
        return Mux(self.row_source != 0, Cat(*words), etched)


def _select(m: Module, values: Sequence[Signal], elements: int, index: Signal) -> Value:
    """Beat `index` of `values`, `rom.LATENCY` stages later: one of each four, then of these."""
    on = Const(1)
    beats = [Cat(*values[k : k + elements]) for k in range(0, len(values), elements)]
    fours = [register(m, on, Array(beats[k : k + 4])[index[:2]]) for k in range(0, len(beats), 4)]
    return register(m, on, Array(fours)[delay(m, on, index[2:], 1)] if len(fours) > 1 else fours[0])
