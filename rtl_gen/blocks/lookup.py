"""Table lookup: any function of one narrow activation."""

from __future__ import annotations

from typing import Any

from amaranth import Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
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

    Members
    -------
    i, o : streams of signed(width)
    offset : In
        Stable while values are in flight.
    """

    def __init__(self, *, depth: int, width: int, name: str = "lookup") -> None:
        self.table = rom.Rom(name, depth, width)
        super().__init__(
            {
                "i": In(stream.Signature(signed(width))),
                "o": Out(stream.Signature(signed(width))),
                "offset": In(range(self.table.depth)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the address adder and the ROM."""
        m = Module()
        m.submodules.table = self.table
        en = ~self.o.valid | self.o.ready
        address = self.table.addr
        with m.If(en):
            m.d.sync += address.eq(self.i.payload + self.offset)
        m.d.comb += [
            self.i.ready.eq(en),
            self.table.en.eq(en),
            self.o.valid.eq(delay(m, en, self.i.valid, 1 + rom.LATENCY, reset=True)),
            self.o.payload.eq(self.table.data.as_signed()),
        ]
        return m
