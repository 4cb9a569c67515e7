"""Beats of several elements to beats of one."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.beat import beat, split


class Serializer(wiring.Component):
    """Emit the elements of every beat in order, first element first.

    Latency 0 cycles, throughput 1 element per cycle. The input beat is taken with its last element.
    """

    def __init__(self, width: int, elements: int) -> None:
        self.elements = elements
        super().__init__(
            {
                "i": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(signed(width))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the element counter."""
        m = Module()
        index = Signal(range(max(2, self.elements)))
        last = index == self.elements - 1
        m.d.comb += [
            self.o.payload.eq(Array(split(self.i.payload, self.elements))[index]),
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        return m
