"""Constant matrix times a vector that holds still: adder graph, then a requantizer a row."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from amaranth import C, Cat, ClockSignal, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.adders import AdderGraph, share
from rtl_gen.adders.held import HeldCore, held_core
from rtl_gen.ir.types import IntType
from rtl_gen.space.arithmetic import numbers, requantize_cycles, requantized, signed_value

LEVELS = 3
"""Adders between registers."""


@lru_cache(maxsize=64)
def _graph(content: bytes, shape: tuple[int, int]) -> AdderGraph:
    return share(np.frombuffer(content, np.int64).reshape(shape))


class Product(wiring.Component):
    """``y[j] = requantize(sum_k weight[j, k] * x[k] + bias[j], multiplier[j], shift)``.

    Golden model `rtl_gen.golden.const_matvec`. Latency `latency` cycles after `i` has arrived.

    Parameters
    ----------
    weight : int64, shape (n_out, n_in)
    bias : int64, shape (n_out,), or None
    multiplier : int64, shape (n_out,)
        Powers of two cost nothing, others adders.
    shift : int
    x, y : IntType
        Of the elements in and out.
    name : str
        Of the Verilog module that holds the adders.

    Members
    -------
    start : In(1)
        Not needed: for the sake of `rtl_gen.space.serial_product.SerialProduct`.
    i : In, ``n_in`` elements, the first in the low bits
    o : Out, ``n_out`` elements
    """

    def __init__(
        self, weight: NDArray[np.int64], bias: NDArray[np.int64] | None,
        multiplier: NDArray[np.int64], shift: int, x: IntType, y: IntType, *, name: str,
    ) -> None:  # fmt: skip
        self.name = name
        self.x, self.y = x, y
        self.rows, self.columns = weight.shape
        self.bias = np.zeros(self.rows, np.int64) if bias is None else bias
        self.multiplier, self.shift = multiplier, shift
        content = np.ascontiguousarray(weight, np.int64)
        self.graph = _graph(content.tobytes(), content.shape)
        self.core: HeldCore = held_core(
            self.graph, IntType(x.width + (not x.signed)), name, levels=LEVELS
        )
        self.verilog = self.core.verilog
        self.latency = self.core.latency + max(map(requantize_cycles, multiplier.tolist()))
        super().__init__(
            {"start": In(1), "i": In(self.columns * x.width), "o": Out(self.rows * y.width)}
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the instance and the requantizers."""
        m = Module()
        sums = Signal(max(self.core.width, 1))
        elements = [signed_value(x) for x in numbers(self.i, self.x, self.columns)]
        m.submodules.core = Instance(self.name, i_clk=ClockSignal(), i_x=Cat(*elements), o_y=sums)
        results = []
        rows = zip(self.core.places, self.graph.outputs, strict=True)
        for row, (place, output) in enumerate(rows):
            value, factor = C(0, signed(1)), int(self.multiplier[row])
            offset = int(self.bias[row]) * factor
            if place is not None and output is not None:
                low, size = place
                value = sums[low : low + size].as_signed() << output.shift
                factor *= output.sign
            results.append(requantized(m, value, factor, self.shift, self.y, offset))
        m.d.comb += self.o.eq(Cat(*(y[: self.y.width] for y in results)))
        return m
