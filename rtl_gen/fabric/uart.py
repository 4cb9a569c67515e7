"""Serial port, 8N1."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

FRAME_BITS = 10
"""Start bit, eight data bits, stop bit."""


class Transmitter(wiring.Component):
    """Send bytes on `pin`, `divisor` clock cycles a bit."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "pin": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        """Build the shift register."""
        m = Module()
        bits = Signal(FRAME_BITS, init=1)
        left = Signal(range(FRAME_BITS + 1))
        timer = Signal(range(self.divisor))
        m.d.comb += self.i.ready.eq(left == 0)
        m.d.sync += self.pin.eq((left == 0) | bits[0])
        with m.If(left == 0), m.If(self.i.valid):
            frame = Cat(Const(0, 1), self.i.payload, Const(1, 1))
            m.d.sync += [bits.eq(frame), left.eq(FRAME_BITS), timer.eq(self.divisor - 1)]
        with m.Elif(timer == 0):
            m.d.sync += [bits.eq(bits >> 1), left.eq(left - 1), timer.eq(self.divisor - 1)]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
        return m


class Receiver(wiring.Component):
    """Bytes seen on `pin`; `o` holds one until it is taken, a further one replaces it."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"o": Out(stream.Signature(8)), "pin": In(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        """Build the sampler: each bit is read in its middle."""
        m = Module()
        pin = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.pin, pin, init=1)
        bits = Signal(8)
        left = Signal(range(FRAME_BITS + 1))
        timer = Signal(range(2 * self.divisor))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(left == 0), m.If(~pin):
            m.d.sync += [left.eq(9), timer.eq(self.divisor + self.divisor // 2 - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [left.eq(left - 1), timer.eq(self.divisor - 1)]
            with m.If(left != 1):
                m.d.sync += bits.eq(Cat(bits[1:], pin))
            with m.Elif(pin):
                m.d.sync += [self.o.payload.eq(bits), self.o.valid.eq(1)]
        return m
