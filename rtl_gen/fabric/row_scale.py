"""Sums of a matrix's rows to activations: bias, multiplier, shift, saturation."""

from __future__ import annotations

from typing import Any

from amaranth import Const, Module, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.requantize import Requantize
from rtl_gen.fabric.beat import beat, cut, split
from rtl_gen.fabric.pipeline import register
from rtl_gen.fabric.queue import Queue

MULTIPLIER_BITS = 16

PLACES, PLACES_ALONE = 16, 4
"""Of the queue where beats may follow each other, and where at most one comes every eight cycles:
two of those are on their way at once."""


class RowScale(wiring.Component):
    """Requantizers side by side, one per element of a beat, that never stall.

    A beat may enter while `free` is not 0: a place in the queue at the end is then its own.
    Latency 7 cycles, throughput 1 beat per cycle.

    Parameters
    ----------
    acc_width, bias_width, width : int
        Signed widths of a sum, a bias and a result.
    elements : int
        Elements of a beat.
    places : int
        Beats that may be on their way or wait at the end, a power of two.

    Members
    -------
    reserve : In(1)
        A beat will enter; only while `free` is not 0.
    free : Out
        Beats that may still be reserved.
    valid : In(1)
        The oldest reserved beat enters.
    sums : In
        Its sums, element 0 in the low bits.
    rows : In
        Its rows' constants: multiplier in the low 16 bits, bias above, for every element.
    shift, low, high : In
        As in `Requantize`; stable until the last beat has left.
    o : Out stream of beats of signed(width)
    """

    def __init__(
        self, *, acc_width: int, bias_width: int, width: int, elements: int, places: int = PLACES
    ) -> None:
        self.acc_width = acc_width
        self.bias_width = bias_width
        self.elements = elements
        self.row_bits = MULTIPLIER_BITS + bias_width
        self.width = width
        self.queue = Queue(width, elements, places)
        super().__init__(
            {
                "reserve": In(1),
                "free": Out(range(self.queue.depth + 1)),
                "valid": In(1),
                "sums": In(elements * acc_width),
                "rows": In(elements * self.row_bits),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
                "o": Out(stream.Signature(beat(width, elements))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the requantizers and the queue."""
        m = Module()
        on = Const(1)
        queue = m.submodules.queue = self.queue
        m.d.comb += [queue.reserve.eq(self.reserve), self.free.eq(queue.free)]
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        valid = register(m, on, self.valid, reset=True)
        sums = cut(self.sums, signed(self.acc_width), self.elements)
        constants = cut(self.rows, unsigned(self.row_bits), self.elements)
        results = split(queue.data, self.elements)
        for k, (acc, constant) in enumerate(zip(sums, constants, strict=True)):
            unit = Requantize(max(self.acc_width, self.bias_width) + 1, self.width)
            m.submodules[f"requantize{k}"] = unit
            bias = constant[MULTIPLIER_BITS:].as_signed()
            m.d.comb += [
                unit.i.valid.eq(valid),
                unit.i.payload.acc.eq(register(m, on, acc + bias)),
                unit.i.payload.multiplier.eq(register(m, on, constant[:MULTIPLIER_BITS])),
                unit.shift.eq(self.shift),
                unit.low.eq(self.low),
                unit.high.eq(self.high),
                unit.o.ready.eq(1),
                results[k].eq(unit.o.payload),
            ]
            if k == 0:
                m.d.comb += queue.write.eq(unit.o.valid)
        return m
