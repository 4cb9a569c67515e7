"""Embedding: one row of a constant table, requantized."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.requantize import Requantize
from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import beat, cut, split
from rtl_gen.fabric.pipeline import delay


class Embedding(wiring.Component):
    """Stream the elements of row `index`; golden model `rtl_gen.golden.embedding`.

    Several tables share the two ROMs.

    Latency 10 cycles from `start`, throughput 1 beat per cycle.

    Parameters
    ----------
    table_width, width : int
        Signed widths of table and output.
    table_depth, row_depth : int
        Words of the ROMs ``<name>_table`` (row-major) and ``<name>_row`` (multipliers).
    max_columns, index_bits : int
        Most beats of a row; width of the index.
    elements : int
        Elements of a beat.

    Members
    -------
    o : stream of beats of signed(width)
    start : In(1)
        Pulse; the configuration is stable from then on.
    index, table_base, row_base, columns : In
        Row, first ROM words of its table, beats of a row.
    shift, low, high : In
        As in `Requantize`.
    """

    def __init__(
        self, *, table_width: int, width: int, table_depth: int, row_depth: int,
        max_columns: int, index_bits: int, elements: int = 1, name: str = "embedding",
    ) -> None:  # fmt: skip
        self.table_width = table_width
        self.width = width
        self.elements = elements
        self.table = rom.Rom(f"{name}_table", table_depth, elements * table_width)
        self.multipliers = rom.Rom(f"{name}_row", row_depth, 16)
        super().__init__(
            {
                "o": Out(stream.Signature(beat(width, elements))),
                "start": In(1),
                "index": In(index_bits),
                "table_base": In(range(self.table.depth)),
                "row_base": In(range(self.multipliers.depth)),
                "columns": In(range(max_columns + 1)),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the row walk and the requantizer."""
        m = Module()
        m.submodules.table = self.table
        m.submodules.multipliers = self.multipliers
        en = Signal()

        # The row's first address takes two cycles after `start`: a product, then a sum.
        offset = Signal.like(self.table.addr, reset_less=True)
        starting = Signal(2)
        left = Signal.like(self.columns)
        m.d.sync += [
            offset.eq(self.index * self.columns),
            starting.eq(self.start | starting << 1),
            self.multipliers.addr.eq(self.row_base + self.index),
        ]
        with m.If(starting[1]):
            m.d.sync += [self.table.addr.eq(self.table_base + offset), left.eq(self.columns)]
        with m.Elif(en & (left != 0)):
            m.d.sync += [self.table.addr.eq(self.table.addr + 1), left.eq(left - 1)]

        m.d.comb += self.table.en.eq(en)
        arriving = delay(m, en, left != 0, rom.LATENCY, reset=True)
        for k, x in enumerate(cut(self.table.data, signed(self.table_width), self.elements)):
            unit = m.submodules[f"requantize{k}"] = Requantize(self.table_width, self.width)
            m.d.comb += [
                unit.i.valid.eq(arriving),
                unit.i.payload.acc.eq(x),
                unit.i.payload.multiplier.eq(self.multipliers.data),
                unit.shift.eq(self.shift),
                unit.low.eq(self.low),
                unit.high.eq(self.high),
                unit.o.ready.eq(self.o.ready),
                split(self.o.payload, self.elements)[k].eq(unit.o.payload),
            ]
            if k == 0:
                m.d.comb += [self.o.valid.eq(unit.o.valid), en.eq(unit.i.ready)]
        return m
