"""Constant matrix-vector product: weights in ROM, one multiply-accumulate lane per row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from amaranth import Array, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.blocks.requantize import Requantize
from rtl_gen.fabric import rom
from rtl_gen.fabric.pipeline import delay, register
from rtl_gen.fabric.product import product

MULTIPLIER_BITS = 16


def weight_words(weight: NDArray[np.int64], lanes: int, width: int) -> list[int]:
    """ROM words of one matrix: word ``g * n_in + k`` holds ``weight[g * lanes + lane, k]``.

    Lane 0 is in the low bits; rows beyond the matrix are zero.

    Parameters
    ----------
    weight : int64, shape (n_out, n_in)
    lanes, width : int
        Rows per group and bits per weight.
    """
    n_out, n_in = weight.shape
    groups = -(-n_out // lanes)
    padded = np.zeros((groups * lanes, n_in), np.int64)
    padded[:n_out] = weight
    columns = padded.reshape(groups, lanes, n_in).transpose(0, 2, 1).reshape(-1, lanes)
    mask = (1 << width) - 1
    return [sum((int(w) & mask) << (width * j) for j, w in enumerate(row)) for row in columns]


def row_words(
    bias: NDArray[np.int64] | None, multiplier: NDArray[np.int64], bias_width: int
) -> list[int]:
    """ROM words of the rows' constants: multiplier in the low 16 bits, bias above."""
    biases = np.zeros_like(multiplier) if bias is None else bias
    mask = (1 << bias_width) - 1
    return [
        int(m) | (int(b) & mask) << MULTIPLIER_BITS for m, b in zip(multiplier, biases, strict=True)
    ]


class ConstMatVec(wiring.Component):
    """ROM-fed lanes; golden model `rtl_gen.golden.const_matvec`.

    The input vector arrives once per group of `lanes` rows, one element per cycle. While a group
    is multiplied, the accumulators of the one before leave through one requantizer, one row per
    cycle, so a group takes ``max(n_in, lanes)`` cycles and there is no bubble between groups.

    Latency 13 cycles after a group's last element; throughput `lanes` products per cycle.

    Parameters
    ----------
    lanes : int
        Rows computed at once.
    x_width, weight_width, acc_width, bias_width, width : int
        Signed widths of input, weight, accumulator, bias and output.
    weight_depth, row_depth : int
        Words of the two ROMs.
    name : str
        Prefix of the ROM images ``<name>_weight`` and ``<name>_row``.

    Members
    -------
    i, o : streams of signed(width)
    start : In(1)
        Pulse before the first element; the configuration below is stable from then on.
    weight_base, row_base, last_column, rows : In
        First ROM words, number of columns less one, number of rows.
    shift, low, high : In
        As in `Requantize`.
    """

    def __init__(
        self, *, lanes: int, x_width: int, weight_width: int, acc_width: int, bias_width: int,
        width: int, weight_depth: int, row_depth: int, max_columns: int, max_rows: int,
        name: str = "matvec",
    ) -> None:  # fmt: skip
        self.lanes = lanes
        self.x_width = x_width
        self.weight_width = weight_width
        self.acc_width = acc_width
        self.bias_width = bias_width
        self.weights = rom.Rom(f"{name}_weight", weight_depth, lanes * weight_width)
        self.row_constants = rom.Rom(f"{name}_row", row_depth, MULTIPLIER_BITS + bias_width)
        super().__init__(
            {
                "i": In(stream.Signature(signed(width))),
                "o": Out(stream.Signature(signed(width))),
                "start": In(1),
                "weight_base": In(range(self.weights.depth)),
                "row_base": In(range(self.row_constants.depth)),
                "last_column": In(range(max(2, max_columns))),
                "rows": In(range(max_rows + 1)),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the lanes, the drain and the requantizer."""
        m = Module()
        m.submodules.weights = self.weights
        m.submodules.row_constants = self.row_constants

        # Multiply-accumulate. `en` stops every lane while a finished group waits for the drain.
        done = Signal()
        drain_free = Signal()
        en = ~done | drain_free
        column = Signal.like(self.last_column)
        accepted = Signal()
        last = column == self.last_column
        m.d.comb += [self.i.ready.eq(en), accepted.eq(self.i.valid & en), self.weights.en.eq(en)]
        with m.If(self.start):
            m.d.sync += [column.eq(0), self.weights.addr.eq(self.weight_base)]
        with m.Elif(accepted):
            m.d.sync += column.eq(Mux(last, 0, column + 1))
            m.d.sync += self.weights.addr.eq(self.weights.addr + 1)

        x = delay(m, en, self.i.payload[: self.x_width].as_signed(), rom.LATENCY)
        valid = delay(m, en, accepted, rom.LATENCY + 1, reset=True)
        first = delay(m, en, column == 0, rom.LATENCY + 1)
        final = delay(m, en, last, rom.LATENCY + 1)
        accumulators = Array(
            Signal(signed(self.acc_width), name=f"acc{j}", reset_less=True)
            for j in range(self.lanes)
        )
        for j, acc in enumerate(accumulators):
            weight = self.weights.data.word_select(j, self.weight_width).as_signed()
            exact = Signal(signed(self.x_width + self.weight_width), name=f"exact{j}")
            m.submodules[f"lane{j}"] = product(x, weight, exact)
            held = register(m, en, exact)
            with m.If(en & valid):
                m.d.sync += acc.eq(Mux(first, 0, acc) + held)
        with m.If(en):
            m.d.sync += done.eq(valid & final)

        # Drain: a shift register, filled by a finished group and emptied one row per cycle.
        head = self._drain(m, done, drain_free, accumulators)

        # Add the bias, requantize.
        requantize = Requantize(max(self.acc_width, self.bias_width) + 1, len(self.low))
        m.submodules.requantize = requantize
        en_row = requantize.i.ready
        acc, acc_valid = head
        m.d.comb += self.row_constants.en.eq(en_row)
        constants = self.row_constants.data
        multiplier = constants[:MULTIPLIER_BITS]
        bias = constants[MULTIPLIER_BITS:].as_signed()
        delayed = delay(m, en_row, acc, rom.LATENCY)
        biased = Signal(signed(len(requantize.i.payload.acc)), reset_less=True)
        delayed_multiplier = Signal(MULTIPLIER_BITS, reset_less=True)
        with m.If(en_row):
            m.d.sync += biased.eq(delayed + bias)
            m.d.sync += delayed_multiplier.eq(multiplier)
        m.d.comb += [
            requantize.i.valid.eq(delay(m, en_row, acc_valid, rom.LATENCY + 1, reset=True)),
            requantize.i.payload.acc.eq(biased),
            requantize.i.payload.multiplier.eq(delayed_multiplier),
            requantize.shift.eq(self.shift),
            requantize.low.eq(self.low),
            requantize.high.eq(self.high),
        ]
        wiring.connect(m, requantize.o, wiring.flipped(self.o))
        return m

    def _drain(
        self, m: Module, done: Signal, drain_free: Signal, accumulators: Sequence[Signal]
    ) -> tuple[Signal, Signal]:
        """Shift register of finished accumulators; returns its head and the head's valid bit."""
        queue = [
            Signal(signed(self.acc_width), name=f"drain{j}", reset_less=True)
            for j in range(self.lanes)
        ]
        filled = Signal(range(self.lanes + 1))
        rows_left = Signal.like(self.rows)
        valid, take = Signal(), Signal()
        load = done & drain_free
        m.d.comb += [
            valid.eq(filled != 0),
            take.eq(valid & self.row_constants.en),
            drain_free.eq(~valid | (take & (filled == 1))),
        ]
        rows_here = Mux(rows_left > self.lanes, self.lanes, rows_left)
        with m.If(self.start):
            m.d.sync += [rows_left.eq(self.rows), self.row_constants.addr.eq(self.row_base)]
        with m.If(take):
            m.d.sync += self.row_constants.addr.eq(self.row_constants.addr + 1)
        with m.If(load):
            m.d.sync += [rows_left.eq(rows_left - rows_here), filled.eq(rows_here)]
            m.d.sync += [q.eq(a) for q, a in zip(queue, accumulators, strict=True)]
        with m.Elif(take):
            m.d.sync += filled.eq(filled - 1)
            m.d.sync += [q.eq(n) for q, n in pairwise(queue)]
        return queue[0], valid
