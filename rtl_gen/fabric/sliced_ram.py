"""Large memory whose words are written slice by slice."""

from __future__ import annotations

from typing import Any

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.pipeline import register
from rtl_gen.fabric.ram import Ram

STEP = 512
"""Depth of a block RAM at its widest."""

DEEPEST = 2048
"""Depth of a block RAM that still uses its parity bits."""


def bank_depths(depth: int) -> list[int]:
    """Depths of the banks of `depth` words, powers of two but for the last one.

    Every block of a bank then holds all words of the bank, and few banks are left to choose from:
    2560 words are 2048 and 512, where five times 512 take as many blocks.
    """
    found: list[int] = []
    left = depth
    while left > 0:
        steps = min(-(-left // STEP), DEEPEST // STEP)
        found.append(min(left, STEP << (steps.bit_length() - 1)))
        left -= found[-1]
    return found


class SlicedRam(wiring.Component):
    """Simple dual-port memory of `depth` words of `slices` slices of `width` bits.

    Latency 1 cycle, throughput 1 read of a word and 1 write of a slice per cycle.
    """

    def __init__(self, depth: int, width: int, slices: int) -> None:
        self.depth = max(2, depth)
        self.width = width
        self.slices = slices
        self.banks = bank_depths(self.depth)
        super().__init__(
            {
                "write": In(slices),
                "write_addr": In(range(self.depth)),
                "write_data": In(width),
                "addr": In(range(self.depth)),
                "data": Out(width * slices),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the banks and the choice between them."""
        m = Module()
        words: list[list[Signal]] = [[] for _ in range(self.slices)]
        start = 0
        chosen, written = [], []
        for depth in self.banks:
            # A bank starts at a multiple of its depth, rounded up to a power of two.
            chosen.append(register(m, Const(1), self.addr >= start))
            written.append((self.write_addr >= start) & (self.write_addr < start + depth))
            start += depth
        for place in range(self.slices):
            for number, depth in enumerate(self.banks):
                ram = m.submodules[f"slice{place}_{number}"] = Ram(depth, self.width)
                m.d.comb += [
                    ram.write.eq(self.write[place] & written[number]),
                    ram.write_addr.eq(self.write_addr),
                    ram.write_data.eq(self.write_data),
                    ram.addr.eq(self.addr),
                ]
                words[place].append(ram.data)
        for place, banks in enumerate(words):
            word = banks[0]
            for here, data in zip(chosen[1:], banks[1:], strict=True):
                word = Mux(here, data, word)
            m.d.comb += self.data.word_select(place, self.width).eq(word)
        return m
