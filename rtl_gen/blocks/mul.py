"""Requantized product of two streams."""

from __future__ import annotations

from typing import Any

from amaranth import Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.pipeline import MULTIPLY, ROUND_SHIFT, delay, multiply, round_shift


class Mul(wiring.Component):
    """``requantize(a * b)``; golden model `rtl_gen.golden.mul`.

    Latency 7 cycles, throughput 1 transfer per cycle.

    Parameters
    ----------
    width : int
        Signed width of the streams.

    Members
    -------
    a, b, o : streams of signed(width)
        A transfer happens on `a` and `b` together.
    multiplier, shift, low, high : In
        The scale and the bounds of the output type; stable while values are in flight.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__(
            {
                "a": In(stream.Signature(signed(width))),
                "b": In(stream.Signature(signed(width))),
                "o": Out(stream.Signature(signed(width))),
                "multiplier": In(16),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the two multipliers and the rounding shift."""
        m = Module()
        en = ~self.o.valid | self.o.ready
        product = multiply(m, en, self.a.payload, self.b.payload)
        scaled = multiply(m, en, product, self.multiplier)
        valid = delay(m, en, self.a.valid & self.b.valid, 2 * MULTIPLY + ROUND_SHIFT, reset=True)
        m.d.comb += [
            self.a.ready.eq(en & self.b.valid),
            self.b.ready.eq(en & self.a.valid),
            self.o.valid.eq(valid),
            self.o.payload.eq(round_shift(m, en, scaled, self.shift, self.low, self.high)),
        ]
        return m
