"""Scores, probabilities and weighted sums of one attention head."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.accumulate import add_or_load
from rtl_gen.fabric.adder import add_pairs
from rtl_gen.fabric.beat import cut
from rtl_gen.fabric.pipeline import MULTIPLY, delay, multiply, register
from rtl_gen.fabric.product import product
from rtl_gen.ir.tables import EXP2_FRACTION_BITS

PROBABILITY_BITS = 16
"""Width of an unnormalized probability; 2**15 at the maximum."""

MAX_EXPONENT = 4095

CACHE_LATENCY = 1
"""Cycles from the address of a cache to its word."""

WEIGHT_LATENCY = 2 + MULTIPLY + 2 + rom.LATENCY + 1
"""Cycles from `weigh` to the probability."""


class AttentionHead(wiring.Component):
    """One head: ``head_dim`` multipliers, used for the scores, then for the weighted sums.

    A position a cycle: `issue` with the key that arrives `CACHE_LATENCY` later, then `weigh` with
    the value that arrives `WEIGHT_LATENCY` later.

    Parameters
    ----------
    head_dim, context, element_bits, elements : int
        As of `rtl_gen.blocks.attention.Attention`.
    sinks : bool
        One score more takes part in the softmax, without a value.

    Members
    -------
    load, query : In
        Shift a beat of the query in.
    clear : In(1)
        Forget the head before.
    issue, weigh, index : In
        The position `index` is scored, or weighed.
    key, value : In
        Words of the caches.
    score_write, written, score : Out
        A score for the memory of all positions' scores, and its position.
    scored_word : In
        That memory's word, a cycle after `index`.
    sink, of_sink : In
        Only with sinks: that score, and whether it is the one that is weighed.
    scored, weighed : Out(1)
        Pulse: the last position's score, or weighted value, is in.
    last : In(1)
        The position issued or weighed is the last one.
    exp2_addr, exp2_data
        Table of powers of two, a reader of the ROM ``exp2``.
    total : Out
        Sum of the probabilities.
    sums : Out
        Weighted sums, element 0 in the low bits.
    shift, behind : In
        Sums move down by a beat in the next cycle, and these move in at the top.
    """

    def __init__(
        self, *, head_dim: int, context: int, element_bits: int, elements: int, sinks: bool = False
    ) -> None:
        self.head_dim = head_dim
        self.context = context
        self.element_bits = element_bits
        self.elements = elements
        self.sinks = sinks
        self.score_bits = 2 * element_bits + (head_dim - 1).bit_length()
        self.sum_bits = PROBABILITY_BITS + context.bit_length()
        self.acc_bits = self.sum_bits + element_bits
        super().__init__(
            {
                "load": In(1),
                "query": In(elements * element_bits),
                "clear": In(1),
                "issue": In(1),
                "weigh": In(1),
                "last": In(1),
                "index": In(range(max(2, context))),
                "key": In(head_dim * element_bits),
                "value": In(head_dim * element_bits),
                "score_multiplier": In(16),
                "score_shift": In(6),
                "exp2_addr": Out(EXP2_FRACTION_BITS),
                "exp2_data": In(PROBABILITY_BITS),
                "score_write": Out(1),
                "written": Out(range(max(2, context))),
                "score": Out(signed(self.score_bits)),
                "scored_word": In(self.score_bits),
                "scored": Out(1),
                "weighed": Out(1),
                "total": Out(self.sum_bits),
                "sums": Out(head_dim * self.acc_bits),
                "shift": In(1),
                "behind": In(elements * self.acc_bits),
            }
            | ({"sink": In(signed(self.score_bits)), "of_sink": In(1)} if sinks else {})
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the query register, the multipliers and the sums."""
        m = Module()
        on = Const(1)
        query = Signal(self.head_dim * self.element_bits, reset_less=True)
        with m.If(self.load):
            m.d.sync += query.eq(Cat(query, self.query)[len(self.query) :])

        p = Signal(PROBABILITY_BITS, reset_less=True)
        p_valid = delay(m, on, self.weigh, WEIGHT_LATENCY, reset=True)
        weighing = delay(m, on, p_valid, 1, reset=True) | p_valid
        products = self._products(m, query, p, weighing)
        self._probability(m, p, self._scores(m, products))

        with m.If(self.clear):
            m.d.sync += self.total.eq(0)
        with m.Elif(p_valid):
            m.d.sync += self.total.eq(self.total + p)
        # The sums leave through one another, so that nothing has to choose among them.
        valued = p_valid
        if self.sinks:
            valued &= ~delay(m, on, self.of_sink, WEIGHT_LATENCY, reset=True)
        # What reaches every bit of every sum comes straight from a register of this head.
        shift = register(m, on, self.shift, reset=True)
        moves = register(m, on, delay(m, on, valued, 1, reset=True) | self.shift, reset=True)
        following = Cat(self.sums, self.behind)[len(self.behind) :]
        parts = cut(self.sums, signed(self.acc_bits), self.head_dim)
        others = cut(following, signed(self.acc_bits), self.head_dim)
        for d, (part, exact, other) in enumerate(zip(parts, products, others, strict=True)):
            total = Signal(signed(self.acc_bits), name=f"sum{d}", reset_less=True)
            term, following_total = Signal.like(total), Signal.like(total)
            m.d.comb += [term.eq(exact), part.eq(total)]
            m.submodules[f"accumulate{d}"] = add_or_load(total, term, shift, other, following_total)
            with m.If(self.clear):
                m.d.sync += total.eq(0)
            with m.Elif(moves):
                m.d.sync += total.eq(following_total)
        final = self.weigh & self.last
        m.d.comb += self.weighed.eq(delay(m, on, final, WEIGHT_LATENCY + 3, reset=True))
        return m

    def _products(self, m: Module, query: Signal, p: Signal, weighing: Value) -> list[Signal]:
        """One product per element: query by key, or probability by value."""
        products = []
        for d in range(self.head_dim):
            q, k, v = (
                word.word_select(d, self.element_bits).as_signed()
                for word in (query, self.key, self.value)
            )
            left = Signal(signed(PROBABILITY_BITS + 1), name=f"left{d}", reset_less=True)
            right = Signal(signed(self.element_bits), name=f"right{d}", reset_less=True)
            exact = Signal(signed(len(left) + len(right)), name=f"exact{d}")
            m.submodules[f"lane{d}"] = product(left, right, exact)
            m.d.sync += [left.eq(Mux(weighing, p, q)), right.eq(Mux(weighing, v, k))]
            products.append(register(m, Const(1), exact))
        return products

    def _scores(self, m: Module, products: list[Signal]) -> Signal:
        """Sum of the products for the memory, and the greatest so far."""
        on = Const(1)
        score, tree_latency = self._tree(m, products)
        latency = CACHE_LATENCY + 2 + tree_latency
        valid = delay(m, on, self.issue, latency, reset=True)
        final = self.issue & self.last
        best = Signal(signed(self.score_bits), reset_less=True)
        m.d.comb += [
            self.scored.eq(delay(m, on, final, latency + 1, reset=True)),
            self.score_write.eq(valid),
            self.score.eq(score),
        ]
        with m.If(self.clear):
            m.d.sync += self.written.eq(0)
            if self.sinks:
                m.d.sync += best.eq(self.sink)
        with m.Elif(valid):
            m.d.sync += self.written.eq(self.written + 1)
            with m.If((Const(0) if self.sinks else self.written == 0) | (score > best)):
                m.d.sync += best.eq(score)
        return best

    def _tree(self, m: Module, products: list[Signal]) -> tuple[Signal, int]:
        """Balanced sum, a register after every second level."""
        terms: list[Value] = [p[: 2 * self.element_bits].as_signed() for p in products]
        level = latency = 0
        while len(terms) > 1:
            terms = add_pairs(m, terms)
            level += 1
            if level % 2 == 0 or len(terms) == 1:
                terms = [delay(m, Const(1), term, 1) for term in terms]
                latency += 1
        score = Signal(signed(self.score_bits))
        m.d.comb += score.eq(terms[0])
        return score, latency

    def _probability(self, m: Module, p: Signal, best: Signal) -> None:
        """Distance from the maximum, scale, table, right shift."""
        on = Const(1)
        difference = Signal(self.score_bits + 1, reset_less=True)
        score = self.scored_word.as_signed()
        if self.sinks:
            score = Mux(delay(m, on, self.of_sink, 1), self.sink, score)
        m.d.sync += difference.eq(best - score)
        scaled = multiply(m, on, difference, self.score_multiplier)
        coarse = Signal.like(scaled, reset_less=True)
        z = Signal(range(MAX_EXPONENT + 1), reset_less=True)
        m.d.sync += coarse.eq(scaled >> Cat(Const(0, 3), self.score_shift[3:]))
        fine = coarse >> self.score_shift[:3]
        m.d.sync += z.eq(Mux(fine > MAX_EXPONENT, MAX_EXPONENT, fine))
        m.d.comb += self.exp2_addr.eq(z[:EXP2_FRACTION_BITS])
        halvings = delay(m, on, z[EXP2_FRACTION_BITS:], rom.LATENCY)
        m.d.sync += p.eq(self.exp2_data >> halvings)
