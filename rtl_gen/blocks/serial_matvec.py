"""Constant matrix-vector product, bit-serial: a word of every element enters and leaves at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.adders import accumulator, digit_core, search, serial_core
from rtl_gen.ir.types import IntType


def period(acc: IntType, x: IntType, digit: int) -> int:
    """Cycles between two vectors: digits of the longest word."""
    if digit == 1:
        return max(acc.width, x.width + 1)
    return max(2, -(-max(acc.width, x.width) // digit))


def extended(word: Signal, width: int) -> Value:
    """Lowest `width` bits of a signed word, its sign where it has no more."""
    return Cat(word, word[-1].replicate(max(0, width - len(word))))[:width]


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
    rounds : int
        Of `rtl_gen.adders.refine` on the smallest one.
    stages : int
        Of a sum of three, as in `rtl_gen.adders.serial.serial_core`.
    digit : int
        Bits of every element a cycle; above 1 the nodes are carry chains.
    cells : {"portable", "ecp5"}
        What the carry chains are made of, as in `rtl_gen.adders.digit_serial.digit_core`.
    name : str
        Name of the Verilog module that holds the adders.

    Attributes
    ----------
    acc : IntType
        Narrowest type that holds every row's sum for all inputs.
    period : int
        Cycles a word takes: digits of `acc` and of `x`, at least 2. With digits of one bit more
        than the bits of `x`, because an element's last bit is read one cycle after the next vector
        may have come.
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
        rounds: int = 0,
        stages: int = 2,
        digit: int = 1,
        cells: str = "portable",
        name: str = "serial_matvec_core",
    ) -> None:
        if not x.signed or x.width < 2:
            raise ValueError(f"elements must be signed and of at least 2 bits, not {x}")
        self.x = x
        self.name = name
        self.rows, self.columns = weight.shape
        self.acc = accumulator(weight, x)
        self.digit = digit
        self.period = period(self.acc, x, digit)
        graph = search(weight, tries, joined=digit == 1, rounds=rounds)
        if digit == 1:
            self.core = serial_core(graph, self.period, name, stages=stages)
        else:
            self.core = digit_core(graph, self.period, name, digit=digit, cells=cells)
        super().__init__(
            {
                "i": In(stream.Signature(self.columns * x.width)),
                "o": Out(stream.Signature(self.rows * self.acc.width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the control, the serializer, the core and the collector."""
        m = Module()
        bits = Signal(self.columns * self.digit, reset_less=True)
        rows = Signal(self.rows * self.digit)
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
        # A word's first digit is expected `INPUT_TIME` cycles after its phase[0].
        early = Signal.like(bits)
        with m.If(en):
            m.d.sync += bits.eq(early)
        if self.digit == 1:
            self._serialize(m, early, phase, en, accepted)
        else:
            self._digits(m, early, en, accepted)

        word = self.period * self.digit
        collected = [Signal(word, name=f"row{r}", reset_less=True) for r in range(self.rows)]
        with m.If(en):
            m.d.sync += [
                row.eq(Cat(row[self.digit :], rows.word_select(r, self.digit)))
                for r, row in enumerate(collected)
            ]
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
            # Without a word nothing changes, in the adders neither: a graph at rest is still.
            with m.If(inside.any()):
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

    def _digits(self, m: Module, bits: Signal, en: Signal, accepted: Value) -> None:
        """Send the digits of every element by shifting; its sign follows by itself."""
        width, digit = self.x.width, self.digit
        held = [
            Signal(signed(width), name=f"held{k}", reset_less=True) for k in range(self.columns)
        ]
        waiting = Signal.like(bits)
        with m.If(en):
            m.d.sync += [
                waiting.eq(Cat(*(extended(word, digit) for word in held))),
                bits.eq(waiting),
            ]
            m.d.sync += [word.eq(word >> digit) for word in held]
        with m.If(accepted):
            m.d.sync += [
                word.eq(self.i.payload.word_select(k, width)) for k, word in enumerate(held)
            ]
