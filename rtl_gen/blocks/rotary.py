"""Rotary position embedding."""

from __future__ import annotations

from typing import Any

from amaranth import Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import beat, cut, split
from rtl_gen.fabric.pipeline import MULTIPLY, ROUND_SHIFT, delay, multiply, register, round_shift
from rtl_gen.fabric.queue import Queue

TABLE_BITS = 16


class Rotary(wiring.Component):
    """Rotate pairs by the angle of the position; golden model `rtl_gen.golden.rotary`.

    A beat holds one side of `elements` pairs; the sides ``x[j]`` and ``x[j + D/2]`` of a pair
    follow one another, head by head, and leave in the same order.

    Latency 10 cycles, throughput 1 transfer per cycle.

    Parameters
    ----------
    half : int
        Beats of pairs per head.
    depth : int
        Words of the ROM ``<name>``: per pair of a beat, cosine in the low 16 bits and sine above,
        word ``table_base + position * half + j``.
    context : int
        Number of positions.
    width : int
        Signed width of the streams.
    elements : int
        Elements of a beat.

    Members
    -------
    i, o : streams of beats of signed(width)
    start : In(1)
        Pulse before the first pair.
    position, table_base, shift, low, high : In
        Stable while values are in flight.
    """

    def __init__(
        self, *, half: int, depth: int, context: int, width: int, elements: int = 1,
        name: str = "rotary",
    ) -> None:  # fmt: skip
        self.half = half
        self.elements = elements
        self.queue = Queue(width, elements)
        self.table = rom.Rom(name, depth, elements * 2 * TABLE_BITS)
        super().__init__(
            {
                "i": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(beat(width, elements))),
                "start": In(1),
                "position": In(range(max(2, context))),
                "table_base": In(range(self.table.depth)),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the pairing, the table walk and the two multipliers."""
        m = Module()
        m.submodules.table = self.table
        on = Const(1)
        queue = m.submodules.queue = self.queue
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        taken = self.i.valid & (queue.free != 0)
        m.d.comb += [self.i.ready.eq(queue.free != 0), queue.reserve.eq(taken)]

        # A pair issues twice: when its second side is taken, and in the cycle after.
        second, again = Signal(), Signal()
        waiting = Signal.like(self.i.payload, reset_less=True)
        kept = [Signal.like(self.i.payload, reset_less=True) for _ in range(2)]
        pair = Signal(range(max(2, self.half)))
        row = Signal.like(self.table.addr, reset_less=True)
        m.d.sync += row.eq(self.table_base + self.position * self.half)
        with m.If(self.start):
            m.d.sync += [second.eq(0), again.eq(0), pair.eq(0)]
        with m.Else():
            m.d.sync += again.eq(second & taken)
            with m.If(taken):
                m.d.sync += [second.eq(~second), waiting.eq(self.i.payload)]
                m.d.sync += [kept[0].eq(waiting), kept[1].eq(self.i.payload)]
            with m.If(again):
                m.d.sync += pair.eq(Mux(pair == self.half - 1, 0, pair + 1))
        issued = again | (second & taken)
        m.d.comb += self.table.addr.eq(row + pair)

        # First transfer y[j] = a * cos - b * sin, second y[j + D/2] = b * cos + a * sin.
        plus = delay(m, on, again, rom.LATENCY + MULTIPLY)
        words = cut(self.table.data, unsigned(2 * TABLE_BITS), self.elements)
        sides = [
            split(Mux(again, old, new), self.elements)
            for old, new in ((kept[0], waiting), (kept[1], self.i.payload))
        ]
        outputs = split(queue.data, self.elements)
        for a, b, o, word in zip(*sides, outputs, words, strict=True):
            x_cos = delay(m, on, Mux(again, b, a), rom.LATENCY)
            x_sin = delay(m, on, Mux(again, a, b), rom.LATENCY)
            p_cos = multiply(m, on, x_cos, word[:TABLE_BITS].as_signed())
            p_sin = multiply(m, on, x_sin, word[TABLE_BITS:].as_signed())
            total = register(m, on, Mux(plus, p_cos + p_sin, p_cos - p_sin))
            m.d.comb += o.eq(round_shift(m, on, total, self.shift, self.low, self.high))
        latency = rom.LATENCY + MULTIPLY + 1 + ROUND_SHIFT
        m.d.comb += queue.write.eq(delay(m, on, issued, latency, reset=True))
        return m
