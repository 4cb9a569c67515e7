"""Runs the microprogram once per step and carries tokens from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.ram import Ram

REFUSED = 0xFFFF
"""Data of the one beat that answers a prompt longer than the context."""


class Sequencer(wiring.Component):
    """Microprogram counter and sequence control; ``docs/ir.md``, "A sequence".

    Two instructions are under way: `front` reads its operand while `back`, the one before, lets
    its results out. An instruction enters `front` when the one before has moved to `back` and has
    read its operand, and moves to `back` when that is done.

    Parameters
    ----------
    depth, width : int
        Words of the ROM ``program``. Bit 0 of a word marks the last instruction of a step; bit 1
        marks an instruction from which on a step that draws no token does nothing.
    tokens : bool
        Steps are tokens (else frames: a step begins when a frame is offered).
    context : int
        Largest number of steps of one sequence.
    bos, eos : sequence of int
        Token that `begin` starts with (at most one); tokens that end a sequence.
    replay : int
        Tokens read anew when the context is full; 0 ends the sequence there.
    adapted_start : int
        First word of the program of steps with an active adapter; 0 if there is no such program.

    Members
    -------
    i, o : streams of 17 bits
        Tokens: data in the low 16 bits, `last` above.
    drawn : In stream of 16 bits
        The sampled token.
    begin, limit : In
        Start pulse; largest number of generated tokens, 0 for no limit.
    front, start, unit_free, reading
        Instruction that reads; its start pulse, given when `unit_free`; it has operands to take.
    back, running, commit, done
        Instruction that writes, if `running`; the pulse that it is a new one; it is finished.
    together : Out(1)
        Both are the same instruction.
    adapted, boundary
        An adapter is active; no step is under way, so that this may change.
    token, position, last, loading, busy, cycles : Out
        Inputs of the step; `loading` pulses when a sequence starts; cycles of the last step.
    """

    def __init__(
        self, *, depth: int, width: int, tokens: bool, context: int, bos: Sequence[int],
        eos: Sequence[int], replay: int = 0, adapted_start: int = 0,
    ) -> None:  # fmt: skip
        self.adapted_start = adapted_start
        self.replay = replay
        self.history = Ram(context, 16) if replay else None
        self.tokens = tokens
        self.context = context
        self.bos = tuple(bos)
        self.eos = tuple(eos)
        self.program = rom.Rom("program", depth, width)
        super().__init__(
            {
                "i": In(stream.Signature(17)),
                "o": Out(stream.Signature(17)),
                "drawn": In(stream.Signature(16)),
                "begin": In(1),
                "limit": In(16),
                "front": Out(width),
                "start": Out(1),
                "unit_free": In(1),
                "reading": In(1),
                "back": Out(width),
                "running": Out(1),
                "commit": Out(1),
                "done": In(1),
                "together": Out(1),
                "adapted": In(1),
                "boundary": Out(1),
                "token": Out(16),
                "position": Out(16),
                "loading": Out(1),
                "busy": Out(1),
                "cycles": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the controller."""
        m = Module()
        m.submodules.program = self.program
        counter = self.program.addr
        wait = Signal(range(rom.LATENCY + 1))
        elapsed = Signal(32)
        last = Signal()
        again, replaying, drawn = Signal(), Signal(), Signal(16)
        generated = Signal(16)
        idle, ended = Signal(), Signal()
        m.d.comb += self.busy.eq(~idle)
        m.d.sync += elapsed.eq(elapsed + 1)

        with m.FSM(name="sequencer"):
            with m.State("IDLE"):
                m.d.comb += [idle.eq(1), self.boundary.eq(1)]
                m.d.sync += [elapsed.eq(0), self.position.eq(0), generated.eq(0), wait.eq(0)]
                if self.history is not None:
                    m.d.sync += again.eq(0)
                if self.tokens:
                    self._accept(m, last)
                    if self.bos:
                        with m.If(self.begin):
                            m.d.comb += self.i.ready.eq(0)
                            m.d.sync += [self.token.eq(self.bos[0]), last.eq(1)]
                            m.next = "FETCH"
                else:
                    m.d.sync += last.eq(1)
                    with m.If(self.i.valid):
                        m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.loading.eq(
                    (self.position == 0) & ~again if self.history else self.position == 0
                )
                m.d.sync += ended.eq(0)
                if self.history is not None:
                    m.d.comb += self.history.write.eq(1)
                if self.adapted_start:
                    m.d.sync += counter.eq(Mux(self.adapted, self.adapted_start, 0))
                m.next = "RUN"
            with m.State("RUN"):
                self._issue(m, last, wait, ended)
                with m.If(ended & ~self.running & ~self.together):
                    m.next = "STEPPED"
            with m.State("STEPPED"):
                m.d.comb += self.boundary.eq(1)
                m.d.sync += [counter.eq(0), self.cycles.eq(elapsed), wait.eq(0)]
                if self.tokens:
                    with m.If(last):
                        m.next = "EMIT"
                    if self.history is not None:
                        with m.Elif(replaying):
                            m.d.sync += self.position.eq(self.position + 1)
                            m.next = "REPLAY"
                    with m.Elif(self.position == self.context - 1):
                        m.next = "DROP"
                    with m.Else():
                        m.d.sync += self.position.eq(self.position + 1)
                        m.next = "PROMPT"
                else:
                    m.next = "IDLE"
            if self.tokens:
                self._sequence_states(m, last, generated, elapsed, again, replaying)
                if self.history is not None:
                    self._replay_states(m, self.history, last, elapsed, replaying, drawn)
        if self.history is not None:
            m.submodules.history = self.history
            m.d.comb += [
                self.history.write_addr.eq(self.position),
                self.history.write_data.eq(self.token),
                self.history.addr.eq(self.position + (self.context + 1 - self.replay)),
            ]
            # A drawn token stays until the next one, past the steps that read the ones before it.
            with m.If(self.drawn.valid & self.drawn.ready):
                m.d.sync += drawn.eq(self.drawn.payload)
        return m

    def _issue(self, m: Module, last: Signal, wait: Signal, ended: Signal) -> None:
        """Move instructions from the ROM to `front`, from there to `back`."""
        valid, started = Signal(), Signal()
        stop = self.front[1] & ~last
        leave = valid & self.together & ~self.reading
        with m.If(wait != rom.LATENCY):
            m.d.sync += wait.eq(wait + 1)

        m.d.comb += self.start.eq(valid & ~started & ~stop & self.unit_free)
        with m.If(self.start):
            m.d.sync += started.eq(1)
        moves = (self.start | (valid & started & ~self.together)) & (~self.running | self.done)
        m.d.sync += self.commit.eq(moves)
        with m.If(moves):
            m.d.sync += [self.back.eq(self.front), self.running.eq(1), self.together.eq(1)]
            m.d.sync += ended.eq(self.front[0])
        with m.Elif(self.done):
            m.d.sync += self.running.eq(0)

        with m.If(valid & ~started & stop):
            m.d.sync += [ended.eq(1), valid.eq(0)]
        with m.Elif(leave):
            m.d.sync += [valid.eq(0), self.together.eq(0)]
        with m.If((~valid | leave) & (wait == rom.LATENCY) & ~ended):
            m.d.sync += [self.program.addr.eq(self.program.addr + 1), wait.eq(0)]
            m.d.sync += [self.front.eq(self.program.data), valid.eq(1), started.eq(0)]

    def _accept(self, m: Module, last: Signal) -> None:
        """Take a prompt token when one is offered."""
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.i.valid):
            m.d.sync += [self.token.eq(self.i.payload[:16]), last.eq(self.i.payload[16])]
            m.next = "FETCH"

    def _replay_states(
        self, m: Module, history: Ram, last: Signal, elapsed: Signal, replaying: Signal,
        drawn: Signal,
    ) -> None:  # fmt: skip
        """Read the tokens at the end of the full context anew, the one just drawn last."""
        final = self.position == self.replay - 1
        with m.State("REPLAY"):
            m.d.comb += self.boundary.eq(1)
            m.d.sync += elapsed.eq(0)
            m.next = "REPLAYED"
        with m.State("REPLAYED"):
            m.d.sync += self.token.eq(Mux(final, drawn, history.data))
            m.d.sync += [last.eq(final), replaying.eq(~final)]
            m.next = "FETCH"

    def _sequence_states(
        self, m: Module, last: Signal, generated: Signal, elapsed: Signal, again: Signal,
        replaying: Signal,
    ) -> None:  # fmt: skip
        """Prompt tokens, generated tokens, and prompts longer than the context."""
        with m.State("PROMPT"):
            m.d.comb += self.boundary.eq(1)
            m.d.sync += elapsed.eq(0)
            self._accept(m, last)
        with m.State("EMIT"):
            token = self.drawn.payload
            full = self.position == self.context - 1
            limited = generated + 1 == self.limit
            final = full | limited if self.history is None else limited
            for end in self.eos:
                final = final | (token == end)
            m.d.comb += [
                self.boundary.eq(1),
                self.o.valid.eq(self.drawn.valid),
                self.o.payload.eq(Cat(token, final)),
                self.drawn.ready.eq(self.o.ready),
            ]
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += [self.token.eq(token), generated.eq(generated + 1), elapsed.eq(0)]
                m.d.sync += self.position.eq(self.position + 1)
                m.next = "FETCH"
                with m.If(final):
                    m.next = "IDLE"
                if self.history is not None:
                    with m.Elif(full):
                        m.d.sync += [self.position.eq(0), again.eq(1), replaying.eq(1)]
                        m.next = "REPLAY"
        with m.State("DROP"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid & self.i.payload[16]):
                m.next = "REFUSE"
        with m.State("REFUSE"):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(C(1 << 16 | REFUSED, 17))]
            with m.If(self.o.ready):
                m.next = "IDLE"
