"""Constant matrices wired in space, each an adder graph of its own, behind one head unit.

The sums leave through a queue, biases and requantizers as those of the ROM-fed lanes do
(`rtl_gen.blocks.const_matvec`); the rows' constants stay in a ROM, the weights are adders.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.blocks.parallel_matvec import ParallelMatVec
from rtl_gen.blocks.serial_matvec import SerialMatVec
from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import beat, cut, split
from rtl_gen.fabric.pipeline import delay
from rtl_gen.fabric.row_scale import RowScale
from rtl_gen.ir.types import IntType

STYLES = {"serial": SerialMatVec, "parallel": ParallelMatVec}


def core(weight: NDArray[np.int64], x: IntType, style: str, name: str) -> Any:
    """Adder graph of a matrix.

    Parameters
    ----------
    weight : int64, shape (n_out, n_in)
    x : IntType
        Signed type of the vector's elements.
    style : {"serial", "parallel"}
    name : str
        Of its Verilog module.
    """
    content = np.ascontiguousarray(weight, np.int64)
    return _core(content.tobytes(), content.shape, x, style, name)


@lru_cache(maxsize=64)
def _core(content: bytes, shape: tuple[int, int], x: IntType, style: str, name: str) -> Any:
    weight = np.frombuffer(content, np.int64).reshape(shape)
    return STYLES[style](weight, x, name=name)


class Etched(wiring.Component):
    """One vector at a time through one of several adder graphs.

    Latency from the last beat in to the first out: that of the graph and 12 cycles; throughput one
    product of a matrix and a vector at a time.

    Parameters
    ----------
    cores : sequence of SerialMatVec or ParallelMatVec
    shapes : sequence of (int, int, IntType)
        Rows, columns and type of an element of each.
    width : int
        Signed width of the streams.
    bias_width : int
        Signed width of a bias, 1 without.
    row_depth : int
        Words of the ROM ``etched_row``, as those of `rtl_gen.blocks.const_matvec.row_words`.
    elements : int
        Elements of a beat.

    Members
    -------
    i, o : streams of beats of signed(width)
    start : In(1)
        Pulse before the first beat.
    core, last_column : In
        Which graph, and beats of its vector less one; stable from `start` to the last beat taken.
        The other graphs are at rest: nothing in them changes.
    drain : In(1)
        Pulse: let the results leave.
    row_base, rows, shift, low, high : In
        First ROM word, beats of results, and as in `Requantize`; stable until the last has left.
    """

    def __init__(
        self, *, cores: Sequence[Any], shapes: Sequence[tuple[int, int, IntType]], width: int,
        bias_width: int, row_depth: int, elements: int = 1,
    ) -> None:  # fmt: skip
        self.cores = list(cores)
        self.shapes = list(shapes)
        self.width = width
        self.elements = elements
        self.bias_width = bias_width
        self.x_width = max(x.width for _, _, x in shapes)
        self.acc_width = max(item.acc.width for item in cores)
        self.columns = max(columns for _, columns, _ in shapes)
        self.rows_held = max(rows for rows, _, _ in shapes)
        self.scale = RowScale(
            acc_width=self.acc_width, bias_width=bias_width, width=width, elements=elements
        )
        self.queue = self.scale.queue
        self.row_constants = rom.Rom("etched_row", row_depth, len(self.scale.rows))
        super().__init__(
            {
                "i": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(beat(width, elements))),
                "start": In(1),
                "core": In(range(max(2, len(cores)))),
                "last_column": In(range(max(2, self.columns // elements))),
                "drain": In(1),
                "row_base": In(range(self.row_constants.depth)),
                "rows": In(range(-(-self.rows_held // elements) + 1)),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the vector's register, the graphs, the queue and the requantizers."""
        m = Module()
        m.submodules.row_constants = self.row_constants
        scale = m.submodules.scale = self.scale
        wiring.connect(m, scale.o, wiring.flipped(self.o))
        step = self.elements * self.x_width
        vector = Signal(self.columns * self.x_width, reset_less=True)
        queue = Signal(self.rows_held * self.acc_width, reset_less=True)
        column = Signal.like(self.last_column)
        left = Signal.like(self.rows)
        allowed, offering, done = Signal(), Signal(), Signal()
        ready, arrived = Signal(), Signal()
        results = self._cores(m, vector, offering, ready, arrived)
        valid = Signal()
        take = valid & (scale.free != 0)
        beats = [x[: self.x_width] for x in split(self.i.payload, self.elements)]
        with m.FSM(name="etched"):
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += column.eq(0)
                m.next = "COLLECT"
            with m.State("COLLECT"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [vector.eq(Cat(vector, *beats)[step:]), column.eq(column + 1)]
                    with m.If(column == self.last_column):
                        m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += offering.eq(1)
                with m.If(ready):
                    m.next = "COMPUTE"
            with m.State("COMPUTE"), m.If(arrived):
                m.d.sync += queue.eq(results)
                m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.comb += valid.eq(allowed & (left != 0))
                with m.If(take):
                    m.d.sync += queue.eq(queue >> self.elements * self.acc_width)
                    with m.If(left == 1):
                        m.d.comb += done.eq(1)
                        m.next = "IDLE"
        address = self.row_constants.addr
        with m.If(self.drain):
            m.d.sync += [allowed.eq(1), left.eq(self.rows), address.eq(self.row_base)]
        with m.Elif(take):
            m.d.sync += [left.eq(left - 1), address.eq(address + 1)]
            with m.If(done):
                m.d.sync += allowed.eq(0)
        m.d.comb += [
            scale.reserve.eq(take),
            scale.valid.eq(delay(m, Const(1), take, rom.LATENCY, reset=True)),
            scale.sums.eq(delay(m, Const(1), queue[: len(scale.sums)], rom.LATENCY)),
            scale.rows.eq(self.row_constants.data),
            scale.shift.eq(self.shift),
            scale.low.eq(self.low),
            scale.high.eq(self.high),
        ]
        return m

    def _cores(
        self, m: Module, vector: Signal, offering: Signal, ready: Signal, arrived: Signal
    ) -> Signal:
        """The graphs; the chosen one's sums, row 0 lowest."""
        results = Signal(self.rows_held * self.acc_width)
        elements = cut(vector, unsigned(self.x_width), self.columns)
        for k, (graph, (rows, columns, x)) in enumerate(zip(self.cores, self.shapes, strict=True)):
            m.submodules[f"core{k}"] = graph
            # A shorter vector has only reached the upper end of the register.
            own = Cat(*(element[: x.width] for element in elements[self.columns - columns :]))
            # A pipeline sees zeros while it is not asked; a serial graph rests without a word.
            asked = offering & (self.core == k)
            gated = len(self.cores) > 1 and not isinstance(graph, SerialMatVec)
            m.d.comb += graph.i.payload.eq(Mux(asked, own, 0) if gated else own)
            sums = cut(graph.o.payload, signed(graph.acc.width), rows)
            wide = [Signal(signed(self.acc_width), name=f"sum{k}_{r}") for r in range(rows)]
            m.d.comb += [sign.eq(value) for sign, value in zip(wide, sums, strict=True)]
            with m.If(self.core == k):
                m.d.comb += [
                    graph.i.valid.eq(offering),
                    ready.eq(graph.i.ready),
                    graph.o.ready.eq(1),
                    arrived.eq(graph.o.valid),
                    results.eq(Cat(*wide)),
                ]
        return results
