"""Constant matrix times a vector that holds still, two bits of every element a cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth import C, Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.adders import digit_core, search
from rtl_gen.blocks.serial_matvec import SerialMatVec
from rtl_gen.ir.types import IntType
from rtl_gen.space.arithmetic import numbers, requantize_cycles, requantized, signed_value

DIGIT = 2


class SerialProduct(wiring.Component):
    """As `rtl_gen.space.product.Product`, in a third of the area and more cycles.

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
        self.matvec = SerialMatVec(
            weight, IntType(x.width + (not x.signed)), digit=DIGIT, name=name
        )
        chains = digit_core(
            search(weight, 1, joined=False), self.matvec.period, name, digit=DIGIT, cells="ecp5"
        )
        self.verilog = (
            f"`ifdef CARRY_CELLS\n{chains.verilog}`else\n{self.matvec.core.verilog}`endif\n"
        )
        summed = self.matvec.period + self.matvec.core.latency + 2
        self.latency = summed + max(map(requantize_cycles, multiplier.tolist()))
        super().__init__(
            {"start": In(1), "i": In(self.columns * x.width), "o": Out(self.rows * y.width)}
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the digit-serial product and the requantizers."""
        m = Module()
        matvec = m.submodules.matvec = self.matvec
        elements = [signed_value(x) for x in numbers(self.i, self.x, self.columns)]
        m.d.comb += [
            matvec.i.payload.eq(Cat(*elements)),
            matvec.i.valid.eq(self.start),
            matvec.o.ready.eq(C(1, 1)),
        ]
        sums = numbers(matvec.o.payload, matvec.acc, self.rows)
        results = [
            requantized(m, value, factor, self.shift, self.y, bias * factor)
            for value, factor, bias in zip(
                sums, self.multiplier.tolist(), self.bias.tolist(), strict=True
            )
        ]
        m.d.comb += self.o.eq(Cat(*(y[: self.y.width] for y in results)))
        return m
