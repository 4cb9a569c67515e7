"""Two-place buffer that cuts the combinational path of `ready`."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.beat import beat


class Skid(wiring.Component):
    """Stream register; `i.ready`, `o.valid` and `o.payload` all come from flip-flops.

    Latency 1 cycle, throughput 1 transfer per cycle.

    Parameters
    ----------
    width, elements : int
        Signed width of an element; elements of a beat.
    """

    def __init__(self, width: int, elements: int = 1) -> None:
        self.shape = beat(width, elements)
        super().__init__(
            {"i": In(stream.Signature(self.shape)), "o": Out(stream.Signature(self.shape))}
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the output register and the place behind it."""
        m = Module()
        spare = Signal(self.shape, reset_less=True)
        spare_valid = Signal()
        moves = ~self.o.valid | self.o.ready
        m.d.comb += self.i.ready.eq(~spare_valid)
        with m.If(moves):
            m.d.sync += self.o.valid.eq(self.i.valid | spare_valid)
            m.d.sync += spare_valid.eq(0)
            with m.If(spare_valid):
                m.d.sync += self.o.payload.eq(spare)
            with m.Else():
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Elif(self.i.valid & ~spare_valid):
            m.d.sync += [spare.eq(self.i.payload), spare_valid.eq(1)]
        return m
