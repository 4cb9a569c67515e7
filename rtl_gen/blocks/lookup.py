"""Table lookup: any function of one narrow activation."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import beat, split
from rtl_gen.fabric.pipeline import delay


class Lookup(wiring.Component):
    """Read a table at ``x + offset``; golden model `rtl_gen.golden.lookup`.

    Several tables share one ROM: `offset` is the table's first word minus the smallest x.

    Latency 3 cycles, throughput 1 transfer per cycle.

    Parameters
    ----------
    depth : int
        Words of the ROM ``<name>``.
    width : int
        Signed width of the streams and of the table.
    elements : int
        Elements of a beat; two read one copy of the ROM.

    Members
    -------
    i, o : streams of beats of signed(width)
    offset : In
        Stable while values are in flight.
    """

    def __init__(self, *, depth: int, width: int, elements: int = 1, name: str = "lookup") -> None:
        self.elements = elements
        self.tables = rom.copies(name, depth, width, elements)
        super().__init__(
            {
                "i": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(beat(width, elements))),
                "offset": In(range(self.tables[0].depth)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the address adders and the ROMs."""
        m = Module()
        en = ~self.o.valid | self.o.ready
        m.d.comb += [
            self.i.ready.eq(en),
            self.o.valid.eq(delay(m, en, self.i.valid, 1 + rom.LATENCY, reset=True)),
        ]
        for k, table in enumerate(self.tables):
            m.submodules[f"table{k}"] = table
        xs, ys = (split(side.payload, self.elements) for side in (self.i, self.o))
        for x, y, port in zip(xs, ys, rom.readers(self.tables), strict=True):
            address = Signal.like(port.addr)
            with m.If(en):
                m.d.sync += address.eq(x + self.offset)
            m.d.comb += [port.addr.eq(address), port.en.eq(en), y.eq(port.data.as_signed())]
        return m
