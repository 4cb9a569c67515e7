"""Gates of tokens whose expert is full become 0."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Capacity(wiring.Component):
    """A counter per expert; golden model `rtl_gen.golden.capacity`.

    Latency 1 cycle, throughput 1 token per cycle.

    Parameters
    ----------
    experts, limit : int
        An expert takes its first `limit` tokens of a sequence.
    width : int
        Bits of a gate.

    Members
    -------
    i : stream of unsigned(width + expert bits)
        Gate, and above it the expert.
    o : stream of unsigned(width)
        The gate, or 0.
    clear : In(1)
        A sequence begins: all experts are empty. Nothing is offered meanwhile.
    """

    def __init__(self, *, experts: int, limit: int, width: int) -> None:
        self.experts = experts
        self.limit = limit
        self.width = width
        self.expert_bits = max(1, (experts - 1).bit_length())
        super().__init__(
            {
                "i": In(stream.Signature(width + self.expert_bits)),
                "o": Out(stream.Signature(width)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the counters and the stage behind them."""
        m = Module()
        taken = Array(Signal(range(self.limit + 1), name=f"taken{e}") for e in range(self.experts))
        gate, expert = self.i.payload[: self.width], self.i.payload[self.width :]
        full = taken[expert] == self.limit
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(Mux(full, 0, gate))]
            with m.If(self.i.valid & ~full):
                m.d.sync += taken[expert].eq(taken[expert] + 1)
        with m.If(self.clear):
            m.d.sync += [count.eq(0) for count in taken]
        return m
