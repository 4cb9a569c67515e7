"""Constant matrix-vector product, fully parallel: a vector every cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth import ClockSignal, Instance, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.adders import accumulator, parallel_core, refine, share
from rtl_gen.fabric.pipeline import delay
from rtl_gen.ir.types import IntType


class ParallelMatVec(wiring.Component):
    """Pipelined adder graph wired in space; golden model `rtl_gen.golden.parallel_matvec`.

    Latency ``core.latency`` cycles, throughput 1 vector per cycle.

    Parameters
    ----------
    weight : int64, shape (n_out, n_in)
    x : IntType
        Signed type of an element of the input.
    levels : int
        Adders between registers.
    rounds : int
        Of `rtl_gen.adders.refine`.
    name : str
        Name of the Verilog module that holds the adders.

    Attributes
    ----------
    acc : IntType
        Narrowest type that holds every row's sum for all inputs.
    core : rtl_gen.adders.parallel.ParallelCore
        Its ``verilog`` goes beside that of this component.

    Members
    -------
    i : stream of ``n_in * x.width`` bits, element 0 in the low ones
    o : stream of ``n_out * acc.width`` bits, row 0 in the low ones

    Raises
    ------
    ValueError
        If `x` is unsigned.
    """

    def __init__(
        self,
        weight: NDArray[np.int64],
        x: IntType,
        *,
        levels: int = 2,
        rounds: int = 0,
        name: str = "parallel_matvec_core",
    ) -> None:
        if not x.signed:
            raise ValueError(f"elements must be signed, not {x}")
        self.name = name
        self.acc = accumulator(weight, x)
        graph = refine(share(weight), rounds)
        self.core = parallel_core(graph, x, self.acc.width, name, levels=levels)
        rows, columns = weight.shape
        super().__init__(
            {
                "i": In(stream.Signature(columns * x.width)),
                "o": Out(stream.Signature(rows * self.acc.width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the valid bits beside the core; one enable moves both."""
        m = Module()
        en = Signal()
        m.submodules.core = Instance(
            self.name, i_clk=ClockSignal(), i_en=en, i_x=self.i.payload, o_y=self.o.payload
        )
        m.d.comb += [
            en.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(en),
            self.o.valid.eq(delay(m, en, self.i.valid, self.core.latency, reset=True)),
        ]
        return m
