"""Products of two vectors that hold still, element by element."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.ir.types import Dyadic, IntType
from rtl_gen.space.arithmetic import (
    held,
    numbers,
    requantize_cycles,
    requantized,
    signed_value,
)


class SpaceMul(wiring.Component):
    """``requantize(a * b, scale)``; golden model `rtl_gen.golden.mul`. Latency `latency` cycles.

    Parameters
    ----------
    scale : Dyadic
    a, b, y : IntType
    size : int

    Members
    -------
    a, b, o : In, In, Out
        Elements, the first in the low bits.
    """

    def __init__(self, scale: Dyadic, a: IntType, b: IntType, y: IntType, size: int) -> None:
        self.scale, self.types, self.y, self.size = scale, (a, b), y, size
        self.latency = 1 + requantize_cycles(scale.multiplier)
        super().__init__(
            {"a": In(size * a.width), "b": In(size * b.width), "o": Out(size * y.width)}
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the multipliers."""
        m = Module()
        pairs = zip(
            *(numbers(port, kind, self.size)
              for port, kind in zip((self.a, self.b), self.types, strict=True)),
            strict=True,
        )  # fmt: skip
        out = [
            requantized(m, held(m, signed_value(a) * signed_value(b)), self.scale.multiplier,
                        self.scale.shift, self.y)
            for a, b in pairs
        ]  # fmt: skip
        m.d.comb += self.o.eq(Cat(*(value[: self.y.width] for value in out)))
        return m
