"""Constant matrix-vector product, bit-serial: a word of every element enters and leaves at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.adders import accumulator, search, serial_core
from rtl_gen.ir.types import IntType


class SerialMatVec(wiring.Component):
    """Adder graph wired in space, one bit a cycle; golden model `rtl_gen.golden.serial_matvec`.

    Latency ``period + core.latency + 2`` cycles, throughput one vector every `period` cycles.

    Parameters
    ----------
    weight : int64, shape (n_out, n_in)
    x : IntType
        Signed type of an element of the input.
    tries : int
        Adder graphs to choose the smallest from.
    name : str
        Name of the Verilog module that holds the adders.

    Attributes
    ----------
    acc : IntType
        Narrowest type that holds every row's sum for all inputs.
    period : int
        Cycles a word takes: the width of `acc`, but more than that of `x`, because the last bit of
        an element is read one cycle after the next vector may have come.
    core : rtl_gen.adders.serial.SerialCore
        Its ``verilog`` goes beside that of this component.

    Members
    -------
    i : stream of ``n_in * x.width`` bits, element 0 in the low ones
    o : stream of ``n_out * acc.width`` bits, row 0 in the low ones

    Raises
    ------
    ValueError
        If `x` is unsigned or has one bit.
    """

    def __init__(
        self,
        weight: NDArray[np.int64],
        x: IntType,
        *,
        tries: int = 1,
        name: str = "serial_matvec_core",
    ) -> None:
        if not x.signed or x.width < 2:
            raise ValueError(f"elements must be signed and of at least 2 bits, not {x}")
        self.x = x
        self.name = name
        self.rows, self.columns = weight.shape
        self.acc = accumulator(weight, x)
        self.period = max(self.acc.width, x.width + 1)
        self.core = serial_core(search(weight, tries), self.period, name)
        super().__init__(
            {
                "i": In(stream.Signature(self.columns * x.width)),
                "o": Out(stream.Signature(self.rows * self.acc.width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the control, the serializer, the core and the collector."""
        m = Module()
        bits, rows = Signal(self.columns, reset_less=True), Signal(self.rows)
        phase = Signal(self.period, init=1 << self.period - 1)
        en, en_next = Signal(init=1), Signal()
        m.submodules.core = Instance(
            self.name,
            i_clk=ClockSignal(),
            i_en=en,
            i_en_next=en_next,
            i_phase=phase,
            i_x=bits,
            o_y=rows,
        )
        accepted = self.i.valid & self.i.ready
        finished = self._control(m, phase, en, en_next, accepted)
        self._serialize(m, bits, phase, en, accepted)

        collected = [Signal(self.period, name=f"row{r}", reset_less=True) for r in range(self.rows)]
        with m.If(en):
            m.d.sync += [row.eq(Cat(row[1:], rows[r])) for r, row in enumerate(collected)]
        with m.If(finished & en):
            m.d.sync += self.o.payload.eq(Cat(*(row[: self.acc.width] for row in collected)))
        return m

    def _control(
        self, m: Module, phase: Signal, en: Signal, en_next: Signal, accepted: Value
    ) -> Signal:
        """Follow the words; returns a signal high while a finished one is in the collector.

        The pipeline stands still only when a word is collected and the one before has not left.
        `en` is a flip-flop: whether the pipeline will have to wait is known a cycle ahead.
        """
        # The collector is complete `full` cycles after phase[0] of its word; `finished` is set
        # one cycle earlier, when the word is number `words - 1` of those in the pipeline.
        full = self.core.latency + self.period
        words, place = (full - 1) // self.period + 1, (full - 1) % self.period
        inside = Signal(words)
        finished, finished_next, valid_next, wrap = Signal(), Signal(), Signal(), Signal()
        leaves = phase[place] & inside[words - 1]
        m.d.comb += [
            wrap.eq(phase[-1]),
            self.i.ready.eq(en & (wrap | ~(inside.any() | finished))),
            finished_next.eq(Mux(en, leaves, finished)),
            valid_next.eq((finished & en) | (self.o.valid & ~self.o.ready)),
            en_next.eq(~(finished_next & valid_next)),
        ]
        m.d.sync += [en.eq(en_next), finished.eq(finished_next), self.o.valid.eq(valid_next)]
        with m.If(en):
            m.d.sync += phase.eq(Cat(phase[-1], phase[:-1]))
            with m.If(leaves):
                m.d.sync += inside[words - 1].eq(0)
            with m.If(wrap):
                m.d.sync += inside.eq(Cat(Const(0, 1), inside)[:words])
            # An empty pipeline begins a word at once, wherever its phase is.
            with m.If(accepted):
                m.d.sync += phase.eq(1)
                m.d.sync += inside.eq(Cat(Const(1, 1), Mux(wrap, inside, 0))[:words])
        return finished

    def _serialize(
        self, m: Module, bits: Signal, phase: Signal, en: Signal, accepted: Value
    ) -> None:
        """Send the bits of every element, then its sign for the rest of the period."""
        width = self.x.width
        held = Signal(self.columns * width, reset_less=True)
        index = Signal(range(width))
        shifting = Signal()
        with m.If(accepted):
            m.d.sync += held.eq(self.i.payload)
        with m.If(en):
            m.d.sync += index.eq(Mux(phase[0], 0, index + 1))
            with m.If(phase[0]):
                m.d.sync += shifting.eq(1)
            with m.Elif(index == width - 1):
                m.d.sync += shifting.eq(0)
        with m.If(en & shifting):
            m.d.sync += [
                bits[k].eq(held.word_select(k, width).bit_select(index, 1))
                for k in range(self.columns)
            ]
