"""Multiply-shift-round-saturate: accumulator to activation."""

from __future__ import annotations

from typing import Any

from amaranth import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.pipeline import MULTIPLY, ROUND_SHIFT, delay, multiply, round_shift


class Requantize(wiring.Component):
    """Rescale one accumulator per transfer; golden model `rtl_gen.golden.requantize`.

    Latency 5 cycles, throughput 1 transfer per cycle.

    Parameters
    ----------
    acc_width : int
        Signed width of the accumulator.
    width : int
        Signed width of the result and of its bounds.

    Members
    -------
    i : In(stream.Signature({acc: signed(acc_width), multiplier: 16}))
    o : Out(stream.Signature(signed(width)))
    shift, low, high : In
        Right shift and bounds of the output type; stable while values are in flight.
    """

    def __init__(self, acc_width: int, width: int) -> None:
        layout = data.StructLayout({"acc": signed(acc_width), "multiplier": 16})
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "o": Out(stream.Signature(signed(width))),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the pipeline."""
        m = Module()
        en = ~self.o.valid | self.o.ready
        product = multiply(m, en, self.i.payload.acc, self.i.payload.multiplier)
        m.d.comb += [
            self.i.ready.eq(en),
            self.o.valid.eq(delay(m, en, self.i.valid, MULTIPLY + ROUND_SHIFT, reset=True)),
            self.o.payload.eq(round_shift(m, en, product, self.shift, self.low, self.high)),
        ]
        return m
