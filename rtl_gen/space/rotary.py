"""Rotation of the pairs of a vector that holds still by the position's angles."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.ir.integer import Rotary
from rtl_gen.ir.types import IntType
from rtl_gen.space.arithmetic import clipped, held, numbers, rounded

ANGLE = IntType(16)


class SpaceRotary(wiring.Component):
    """Names as in ``docs/ir.md``; golden model `rtl_gen.golden.rotary`.

    Latency 2 cycles; the table of angles is right `rtl_gen.fabric.rom.LATENCY` cycles after
    `position`.

    Parameters
    ----------
    name : str
        Of the ROM, one word a position: cosines, then sines.
    op : Rotary
    x, y : IntType
    context : int

    Members
    -------
    position : In
    i, o : In, Out
        Elements, the first in the low bits.
    """

    latency = 2

    def __init__(self, name: str, op: Rotary, x: IntType, y: IntType, context: int) -> None:
        self.op, self.x, self.y = op, x, y
        self.size = op.heads * op.head_dim
        self.table = rom.Rom(name, context, op.head_dim * ANGLE.width)
        super().__init__(
            {
                "position": In(range(max(2, context))),
                "i": In(self.size * x.width),
                "o": Out(self.size * y.width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build table and multipliers."""
        m = Module()
        m.submodules.table = self.table
        m.d.comb += self.table.addr.eq(self.position)
        half = self.op.head_dim // 2
        angles = numbers(self.table.data, ANGLE, 2 * half)
        xs = numbers(self.i, self.x, self.size)
        out = []
        for head in range(self.op.heads):
            first = xs[head * 2 * half : head * 2 * half + half]
            second = xs[head * 2 * half + half : (head + 1) * 2 * half]
            pairs = list(zip(first, second, angles[:half], angles[half:], strict=True))
            sums = [held(m, a * c) - held(m, b * s) for a, b, c, s in pairs]
            sums += [held(m, b * c) + held(m, a * s) for a, b, c, s in pairs]
            out += [held(m, clipped(m, rounded(value, self.op.shift), self.y)) for value in sums]
        m.d.comb += self.o.eq(Cat(*(value[: self.y.width] for value in out)))
        return m
