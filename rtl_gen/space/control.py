"""Steps and sequences of a chip in space; ``docs/ir.md``, "A sequence"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import C, Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.sequencer import REFUSED

SETTLING = 2
"""Cycles between `loading` and the first step."""


class Control(wiring.Component):
    """Gives tokens to the network, takes those it draws, and hands them out.

    A step follows the one before by a cycle, unless the token before still waits at `o`.

    Parameters
    ----------
    context : int
    bos, eos : sequence of int

    Members
    -------
    i, o : streams of 17 bits
    begin, limit : In
        Start pulse; largest number of generated tokens, 0 for no limit.
    step : Out(1)
        Pulse in the first cycle of a step.
    done, drawn : In
        Pulse at the end of a step, with the token it drew.
    token, position, last, loading : Out
        Inputs of the step, `last` if it draws; `loading` pulses when a sequence starts.
    busy, cycles, reached : Out
        Cycles of the last step, and its position.
    """

    def __init__(self, *, context: int, bos: Sequence[int], eos: Sequence[int]) -> None:
        self.context = context
        self.bos = tuple(bos)
        self.eos = tuple(eos)
        super().__init__(
            {
                "i": In(stream.Signature(17)),
                "o": Out(stream.Signature(17)),
                "begin": In(1),
                "limit": In(16),
                "step": Out(1),
                "done": In(1),
                "drawn": In(16),
                "token": Out(16),
                "position": Out(16),
                "last": Out(1),
                "loading": Out(1),
                "busy": Out(1),
                "cycles": Out(32),
                "reached": Out(16),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the controller."""
        m = Module()
        idle, settled = Signal(), Signal(range(SETTLING + 1))
        elapsed, generated = Signal(32), Signal(16)
        free = ~self.o.valid | self.o.ready
        full = self.position == self.context - 1
        m.d.comb += self.busy.eq(~idle)
        m.d.sync += elapsed.eq(elapsed + 1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM(name="control"):
            with m.State("IDLE"):
                m.d.comb += [idle.eq(1), self.i.ready.eq(1)]
                m.d.sync += [self.position.eq(0), generated.eq(0), elapsed.eq(0), settled.eq(0)]
                self._accept(m, "LOAD")
                if self.bos:
                    with m.If(self.begin):
                        m.d.comb += self.i.ready.eq(0)
                        m.d.sync += [self.token.eq(self.bos[0]), self.last.eq(1)]
                        m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += self.loading.eq(settled == 0)
                m.d.sync += settled.eq(settled + 1)
                with m.If(settled == SETTLING):
                    m.next = "STEP"
            with m.State("STEP"):
                m.d.comb += self.step.eq(1)
                m.next = "RUN"
            with m.State("RUN"), m.If(self.done):
                m.d.sync += [self.cycles.eq(elapsed), self.reached.eq(self.position)]
                with m.If(self.last):
                    self._give(m, free, full, generated, elapsed)
                with m.Elif(full):
                    m.next = "DROP"
                with m.Else():
                    m.d.sync += self.position.eq(self.position + 1)
                    m.next = "PROMPT"
            with m.State("PROMPT"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += elapsed.eq(0)
                self._accept(m, "STEP")
            with m.State("WAIT"):
                self._give(m, free, full, generated, elapsed)
            with m.State("LEAVE"), m.If(free):
                m.next = "IDLE"
            with m.State("DROP"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.payload[16]):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(C(1 << 16 | REFUSED, 17))]
                    m.next = "LEAVE"
        return m

    def _accept(self, m: Module, then: str) -> None:
        """Take a prompt token when one is offered."""
        with m.If(self.i.valid):
            m.d.sync += [self.token.eq(self.i.payload[:16]), self.last.eq(self.i.payload[16])]
            m.next = then

    def _give(self, m: Module, free: Any, full: Any, generated: Signal, elapsed: Signal) -> None:
        """Hand the drawn token out and begin the next step, when the one before has left."""
        final = full | (generated + 1 == self.limit)
        for end in self.eos:
            final = final | (self.drawn == end)
        with m.If(free):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(Cat(self.drawn, final))]
            m.d.sync += [self.token.eq(self.drawn), generated.eq(generated + 1), elapsed.eq(0)]
            with m.If(final):
                m.next = "LEAVE"
            with m.Else():
                m.d.sync += self.position.eq(self.position + 1)
                m.next = "STEP"
        with m.Else():
            m.next = "WAIT"
