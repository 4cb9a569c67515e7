"""Constant matrix times a vector that holds still, two bits of every element a cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.adders import accumulator, digit_core, search
from rtl_gen.adders.serial_text import INPUT_TIME
from rtl_gen.blocks.serial_matvec import period
from rtl_gen.fabric.pipeline import delay
from rtl_gen.ir.types import IntType
from rtl_gen.space.arithmetic import held, numbers, requantize_cycles, requantized, signed_value

DIGIT = 2

LOAD = 2
"""Cycles from `start` to the first digits at the adders."""


class SerialProduct(wiring.Component):
    """As `rtl_gen.space.product.Product`, in half of the area and more cycles.

    Latency `latency` cycles after `start`. Parameters as of `Product`.

    Members
    -------
    start : In(1)
        Pulse in the cycle in which `i` arrives.
    i, o : In, Out
        Elements, the first in the low bits.
    """

    def __init__(
        self, weight: NDArray[np.int64], bias: NDArray[np.int64] | None,
        multiplier: NDArray[np.int64], shift: int, x: IntType, y: IntType, *, name: str,
    ) -> None:  # fmt: skip
        self.x, self.y = x, y
        self.rows, self.columns = weight.shape
        self.bias = np.zeros(self.rows, np.int64) if bias is None else bias
        self.multiplier, self.shift = multiplier, shift
        signed_x = IntType(x.width + (not x.signed))
        self.acc = accumulator(weight, signed_x)
        graph = search(weight, 1, joined=False)
        self.period = period(self.acc, signed_x, DIGIT)
        self.name = name
        self.core, chains = (
            digit_core(graph, self.period, name, digit=DIGIT, cells=cells)
            for cells in ("portable", "ecp5")
        )
        self.verilog = f"`ifdef CARRY_CELLS\n{chains.verilog}`else\n{self.core.verilog}`endif\n"
        summed = self.core.latency - INPUT_TIME + LOAD + self.period
        self.latency = summed + max(map(requantize_cycles, multiplier.tolist()))
        super().__init__(
            {"start": In(1), "i": In(self.columns * x.width), "o": Out(self.rows * y.width)}
        )

    def elaborate(self, platform: Any) -> Module:
        """Build serializers, adders, collectors and requantizers; nothing ever waits."""
        m = Module()
        on = Const(1)
        word_bits = self.period * DIGIT
        digits = []
        for k, x in enumerate(numbers(self.i, self.x, self.columns)):
            element = signed_value(x)
            word = Signal(element.shape(), name=f"element{k}", reset_less=True)
            m.d.sync += word.eq(Mux(self.start, element, word >> DIGIT))
            digits.append(Cat(word, word[-1])[:DIGIT])
        # The phase that is INPUT_TIME cycles behind its start when the first digit arrives.
        phase = Signal(self.period, init=1)
        begun = 1 << (INPUT_TIME - LOAD + 1) % self.period
        m.d.sync += phase.eq(Mux(self.start, begun, phase.rotate_left(1)))
        sums = Signal(self.rows * DIGIT)
        m.submodules.core = Instance(
            self.name, i_clk=ClockSignal(), i_en=on, i_en_next=on, i_phase=phase,
            i_x=held(m, Cat(*digits)), o_y=sums,
        )  # fmt: skip

        first = delay(m, on, self.start, self.core.latency - INPUT_TIME + LOAD - 1, reset=True)
        past = delay(m, on, first, self.period, reset=True)
        collecting = Signal()
        with m.If(first):
            m.d.sync += collecting.eq(1)
        with m.Elif(past):
            m.d.sync += collecting.eq(0)
        results = []
        rows = zip(self.multiplier.tolist(), self.bias.tolist(), strict=True)
        for row, (factor, bias) in enumerate(rows):
            word = Signal(word_bits, name=f"sum{row}", reset_less=True)
            with m.If(collecting):
                m.d.sync += word.eq(Cat(word[DIGIT:], sums.word_select(row, DIGIT)))
            value = word[: self.acc.width].as_signed()
            results.append(requantized(m, value, factor, self.shift, self.y, bias * factor))
        m.d.comb += self.o.eq(Cat(*(y[: self.y.width] for y in results)))
        return m
