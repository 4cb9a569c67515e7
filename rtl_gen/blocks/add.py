"""Saturating addition of two streams."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.pipeline import delay, saturate


class Add(wiring.Component):
    """``sat(a + b)``; golden model `rtl_gen.golden.add`.

    Latency 2 cycles, throughput 1 transfer per cycle.

    Parameters
    ----------
    width : int
        Signed width of the streams.

    Members
    -------
    a, b, o : streams of signed(width)
        A transfer happens on `a` and `b` together.
    low, high : In
        Bounds of the output type; stable while values are in flight.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__(
            {
                "a": In(stream.Signature(signed(width))),
                "b": In(stream.Signature(signed(width))),
                "o": Out(stream.Signature(signed(width))),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the adder and the clip."""
        m = Module()
        en = ~self.o.valid | self.o.ready
        both = self.a.valid & self.b.valid
        total = Signal(signed(len(self.a.payload) + 1), reset_less=True)
        with m.If(en):
            m.d.sync += total.eq(self.a.payload + self.b.payload)
        clipped = Signal.like(self.o.payload, reset_less=True)
        with m.If(en):
            m.d.sync += clipped.eq(saturate(total, self.low, self.high))
        m.d.comb += [
            self.a.ready.eq(en & self.b.valid),
            self.b.ready.eq(en & self.a.valid),
            self.o.valid.eq(delay(m, en, both, 2, reset=True)),
            self.o.payload.eq(clipped),
        ]
        return m
