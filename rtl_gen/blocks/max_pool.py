"""Maximum over consecutive elements."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class MaxPool(wiring.Component):
    """Largest of every ``last + 1`` consecutive elements; golden model `rtl_gen.golden.max_pool`.

    Latency 1 cycle after a window's last element, throughput 1 element per cycle.

    Parameters
    ----------
    width : int
        Signed width of the streams.
    max_window : int
        Largest number of elements of a window.

    Members
    -------
    i, o : streams of signed(width)
    start : In(1)
        Pulse before the first element.
    last : In
        Window length less one.
    """

    def __init__(self, *, width: int, max_window: int) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(signed(width))),
                "o": Out(stream.Signature(signed(width))),
                "start": In(1),
                "last": In(range(max(2, max_window))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the comparator and the window counter."""
        m = Module()
        en = ~self.o.valid | self.o.ready
        count = Signal.like(self.last)
        best = Signal.like(self.o.payload, reset_less=True)
        x = self.i.payload
        m.d.comb += [self.i.ready.eq(en), self.o.payload.eq(best)]
        with m.If(en):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & en):
            m.d.sync += best.eq(Mux((count == 0) | (x > best), x, best))
            m.d.sync += count.eq(Mux(count == self.last, 0, count + 1))
            m.d.sync += self.o.valid.eq(count == self.last)
        with m.If(self.start):
            m.d.sync += count.eq(0)
        return m
