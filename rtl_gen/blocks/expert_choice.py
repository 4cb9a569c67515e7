"""Experts choose the tokens of a block."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class ExpertChoice(wiring.Component):
    """A sorted list per expert; golden model `rtl_gen.golden.expert_choice`.

    Takes the scores of a block, token by token, and gives every expert's choice. Latency 1 cycle
    after the last score, throughput 1 score per cycle in, 1 choice per cycle out.

    Parameters
    ----------
    tokens, experts, k : int
        Tokens of a block; experts; tokens that each takes.
    width : int
        Bits of a score.

    Members
    -------
    i : stream of unsigned(width)
        Scores; all experts' of a token before the next token's.
    o : stream of unsigned(width + token bits)
        Score, and above it the token: all of an expert's, the largest score first, before the next
        expert's. The next block begins with the last one taken.
    """

    def __init__(self, *, tokens: int, experts: int, k: int, width: int) -> None:
        self.tokens = tokens
        self.experts = experts
        self.k = k
        self.width = width
        self.token_bits = max(1, (tokens - 1).bit_length())
        super().__init__(
            {
                "i": In(stream.Signature(width)),
                "o": Out(stream.Signature(width + self.token_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the lists, the two counters and the way out."""
        m = Module()
        token = Signal(range(max(2, self.tokens)))
        expert = Signal(range(max(2, self.experts)))
        slot = Signal(range(max(2, self.k)))
        leaving = Signal()
        last_expert = expert == self.experts - 1
        m.d.comb += [self.i.ready.eq(~leaving), self.o.valid.eq(leaving)]
        taken = self.i.valid & ~leaving
        lists = [self._list(m, e, token, taken & (expert == e)) for e in range(self.experts)]
        entries = Array(Array(entry for entry, _ in rows) for rows in lists)
        m.d.comb += self.o.payload.eq(entries[expert][slot])
        with m.If(taken):
            m.d.sync += expert.eq(Mux(last_expert, 0, expert + 1))
            with m.If(last_expert):
                m.d.sync += token.eq(token + 1)
                with m.If(token == self.tokens - 1):
                    m.d.sync += [leaving.eq(1), token.eq(0)]
        with m.If(leaving & self.o.ready):
            m.d.sync += slot.eq(slot + 1)
            with m.If(slot == self.k - 1):
                m.d.sync += [slot.eq(0), expert.eq(Mux(last_expert, 0, expert + 1))]
                with m.If(last_expert):
                    m.d.sync += leaving.eq(0)
                    m.d.sync += [filled.eq(0) for rows in lists for _, filled in rows]
        return m

    def _list(
        self, m: Module, expert: int, token: Signal, taken: Any
    ) -> list[tuple[Signal, Signal]]:
        """Entries (score, token above) in order, and whether each is in use."""
        rows = [
            (
                Signal(self.width + self.token_bits, name=f"entry{expert}_{s}", reset_less=True),
                Signal(name=f"filled{expert}_{s}"),
            )
            for s in range(self.k)
        ]
        new = Cat(self.i.payload, token)
        above = [~filled | (self.i.payload > entry[: self.width]) for entry, filled in rows]
        for s, (entry, filled) in enumerate(rows):
            with m.If(taken & above[s]):
                if s == 0:
                    m.d.sync += [entry.eq(new), filled.eq(1)]
                else:
                    before, used = rows[s - 1]
                    m.d.sync += [
                        entry.eq(Mux(above[s - 1], before, new)),
                        filled.eq(Mux(above[s - 1], used, 1)),
                    ]
        return rows
