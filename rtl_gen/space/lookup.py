"""A table read by every element of a vector that holds still."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.ir.types import IntType
from rtl_gen.space.arithmetic import numbers


class SpaceLookup(wiring.Component):
    """``table[x - x.type.min]``; golden model `rtl_gen.golden.lookup`.

    Two elements share a memory with two ports. Latency 2 cycles.

    Parameters
    ----------
    name : str
        Of the ROM.
    x, y : IntType
    size : int

    Members
    -------
    i, o : In, Out
        Elements, the first in the low bits.
    """

    latency = rom.LATENCY

    def __init__(self, name: str, x: IntType, y: IntType, size: int) -> None:
        self.x, self.size = x, size
        self.memories = rom.copies(name, 1 << x.width, y.width, size)
        super().__init__({"i": In(size * x.width), "o": Out(size * y.width)})

    def elaborate(self, platform: Any) -> Module:
        """Build the memories."""
        m = Module()
        for k, memory in enumerate(self.memories):
            m.submodules[f"table{k}"] = memory
        readers = rom.readers(self.memories)
        for reader, x in zip(readers, numbers(self.i, self.x, self.size), strict=True):
            # The table begins with the smallest x: its sign bit is turned over.
            bits = Cat(x[:-1], ~x[-1]) if self.x.signed else x
            m.d.comb += reader.addr.eq(bits)
        m.d.comb += self.o.eq(Cat(*(reader.data for reader in readers)))
        return m
