"""Causal attention over an on-chip KV cache."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import beat, split
from rtl_gen.fabric.pipeline import MULTIPLY, ROUND_SHIFT, delay, multiply, register, round_shift
from rtl_gen.fabric.product import product
from rtl_gen.fabric.ram import Ram
from rtl_gen.ir.tables import EXP2_FRACTION_BITS, INDEX_BITS

PROBABILITY_BITS = 16
"""Width of an unnormalized probability; 2**15 at the maximum."""

MAX_EXPONENT = 4095


class Attention(wiring.Component):
    """Attention of all heads of one layer; golden model `rtl_gen.golden.attention`.

    Keys and values arrive beat by beat on `k` and `v` and are kept one head vector a word.
    Queries arrive on `q`; a head reads one position per cycle, once for the scores and once for
    the weighted sum, on the same `head_dim` multipliers.

    Cycles per head: ``2 * head_dim / elements + 2 * (position + 1) + 32`` about.

    Parameters
    ----------
    heads, kv_heads, head_dim, context, layers : int
        Shape of the attention; `layers` caches of `context` positions.
    width : int
        Signed width of the streams.
    element_bits : int
        Signed width of q, k and v, which use the low bits of their streams.
    elements : int
        Elements of a beat; divides `head_dim`.

    Members
    -------
    q, k, v : In streams of beats of signed(width)
    o : Out stream of beats of signed(width)
    start : In(1)
        Pulse before the first element on any of the inputs.
    attend : In(1)
        The operation started reads queries (else it stores keys or values).
    position, cache_base : In
        Current position; first cache word of the layer, ``layer * kv_heads * context``.
    score_multiplier, score_shift, shift, low, high : In
        As in ``docs/ir.md``; stable from `start` on.
    """

    def __init__(
        self, *, heads: int, kv_heads: int, head_dim: int, context: int, layers: int, width: int,
        element_bits: int = 8, elements: int = 1, name: str = "attention",
    ) -> None:  # fmt: skip
        self.heads = heads
        self.kv_heads = kv_heads
        self.head_dim = head_dim
        self.context = context
        self.element_bits = element_bits
        self.elements = elements
        self.beats = head_dim // elements
        self.words = layers * kv_heads * context
        self.exp2 = rom.Rom("exp2", 1 << EXP2_FRACTION_BITS, PROBABILITY_BITS)
        self.reciprocal = rom.Rom("reciprocal", 1 << INDEX_BITS, 16)
        grow = (head_dim - 1).bit_length()
        self.score_bits = 2 * self.element_bits + grow
        self.sum_bits = PROBABILITY_BITS + context.bit_length()
        self.acc_bits = self.sum_bits + self.element_bits
        super().__init__(
            {
                "q": In(stream.Signature(beat(width, elements))),
                "k": In(stream.Signature(beat(width, elements))),
                "v": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(beat(width, elements))),
                "start": In(1),
                "attend": In(1),
                "position": In(range(max(2, context))),
                "cache_base": In(range(max(2, self.words))),
                "score_multiplier": In(16),
                "score_shift": In(6),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the caches, the shared multipliers and the controller."""
        m = Module()
        on = Const(1)
        m.submodules.exp2 = self.exp2
        m.submodules.reciprocal = self.reciprocal
        k_word = self._cache(m, "k", self.k)
        v_word = self._cache(m, "v", self.v)

        # Controller: collect a query, score every position, weigh every position, emit.
        head = Signal(range(self.heads + 1))
        in_group = Signal(range(max(2, self.heads // self.kv_heads)))
        element = Signal(range(self.beats + 1))
        index = Signal.like(self.position)
        base = Signal.like(self.cache_base)
        issue, weigh, out_phase = Signal(), Signal(), Signal()
        query = [
            Signal(signed(self.element_bits), name=f"query{d}", reset_less=True)
            for d in range(self.head_dim)
        ]
        scored, weighed, divided, emitted = Signal(), Signal(), Signal(), Signal()
        clear = Signal()
        idle = Signal()  # no result of the previous head is still on its way out
        with m.FSM(name="attention"):
            with m.State("IDLE"), m.If(self.start & self.attend):
                m.d.sync += [base.eq(self.cache_base), head.eq(0), in_group.eq(0), element.eq(0)]
                m.next = "QUERY"
            with m.State("QUERY"):
                m.d.comb += [self.q.ready.eq(1), clear.eq(1)]
                with m.If(self.q.valid):
                    following = [*query[self.elements :], *self._narrow(self.q)]
                    m.d.sync += [a.eq(b) for a, b in zip(query, following, strict=True)]
                    m.d.sync += element.eq(element + 1)
                    with m.If(element == self.beats - 1):
                        m.d.sync += [element.eq(0), index.eq(0)]
                        m.next = "SCORE"
            with m.State("SCORE"):
                m.d.comb += issue.eq(1)
                m.d.sync += index.eq(index + 1)
                with m.If(index == self.position):
                    m.next = "SCORED"
            with m.State("SCORED"), m.If(scored):
                m.d.sync += index.eq(0)
                m.next = "HOLD"
            with m.State("HOLD"), m.If(idle):
                m.next = "WEIGH"
            with m.State("WEIGH"):
                m.d.comb += weigh.eq(1)
                m.d.sync += index.eq(index + 1)
                with m.If(index == self.position):
                    m.next = "WEIGHED"
            with m.State("WEIGHED"), m.If(weighed):
                m.next = "DIVIDE"
            with m.State("DIVIDE"), m.If(divided):
                m.next = "EMIT"
            with m.State("EMIT"):
                m.d.comb += out_phase.eq(1)
                with m.If(emitted):
                    m.d.sync += [element.eq(0), head.eq(head + 1)]
                    with m.If(in_group == self.heads // self.kv_heads - 1):
                        m.d.sync += [in_group.eq(0), base.eq(base + self.context)]
                    with m.Else():
                        m.d.sync += in_group.eq(in_group + 1)
                    with m.If(head == self.heads - 1):
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "QUERY"
        last_index = index == self.position

        # Scores: cache word (2 cycles), product, adder tree.
        m.d.comb += k_word.addr.eq(base + index)
        p = Signal(PROBABILITY_BITS, reset_less=True)
        weighing = Signal()
        products = self._products(m, query, p, weighing, k_word.data, v_word.data)
        score, tree_latency = self._tree(m, products)
        score_latency = 3 + tree_latency
        score_valid = delay(m, on, issue, score_latency, reset=True)
        m.d.comb += scored.eq(delay(m, on, issue & last_index, score_latency + 2, reset=True))

        scores = m.submodules.scores = Ram(self.context, self.score_bits)
        written = Signal.like(self.position)
        best = Signal(signed(self.score_bits), reset_less=True)
        m.d.comb += [scores.write.eq(score_valid), scores.write_data.eq(score)]
        m.d.comb += scores.write_addr.eq(written)
        with m.If(clear):
            m.d.sync += written.eq(0)
        with m.Elif(score_valid):
            m.d.sync += written.eq(written + 1)
            with m.If((written == 0) | (score > best)):
                m.d.sync += best.eq(score)

        # Probabilities: difference, scale, table, right shift.
        m.d.comb += scores.addr.eq(index)
        difference = Signal(self.score_bits + 1, reset_less=True)
        m.d.sync += difference.eq(best - scores.data.as_signed())
        scaled = multiply(m, on, difference, self.score_multiplier)
        coarse = Signal.like(scaled, reset_less=True)
        z = Signal(range(MAX_EXPONENT + 1), reset_less=True)
        m.d.sync += coarse.eq(scaled >> Cat(Const(0, 3), self.score_shift[3:]))
        fine = coarse >> self.score_shift[:3]
        m.d.sync += z.eq(Mux(fine > MAX_EXPONENT, MAX_EXPONENT, fine))
        m.d.comb += self.exp2.addr.eq(z[:EXP2_FRACTION_BITS])
        halvings = delay(m, on, z[EXP2_FRACTION_BITS:], rom.LATENCY)
        m.d.sync += p.eq(self.exp2.data >> halvings)
        p_latency = 2 + MULTIPLY + 2 + rom.LATENCY + 1

        # Values: the word meets p in the multipliers, so its address follows two cycles before.
        v_index = Signal.like(self.position)
        v_issue = delay(m, on, weigh, p_latency - 2 + 1, reset=True)
        with m.If(clear):
            m.d.sync += v_index.eq(0)
        with m.Elif(v_issue):
            m.d.sync += v_index.eq(v_index + 1)
        m.d.comb += v_word.addr.eq(base + v_index)
        p_valid = delay(m, on, weigh, p_latency, reset=True)
        m.d.comb += weighing.eq(delay(m, on, p_valid, 1, reset=True) | p_valid)
        accumulate = delay(m, on, p_valid, 2, reset=True)
        total = Signal(self.sum_bits, reset_less=True)
        with m.If(clear):
            m.d.sync += total.eq(0)
        with m.Elif(p_valid):
            m.d.sync += total.eq(total + p)
        m.d.comb += weighed.eq(delay(m, on, weigh & last_index, p_latency + 4, reset=True))

        self._emit(
            m, products, accumulate, clear, total, weighed, divided, out_phase, emitted, idle
        )
        return m

    def _narrow(self, i: Any) -> list[Value]:
        """Elements of a stream's beat in the width of q, k and v."""
        return [x[: self.element_bits].as_signed() for x in split(i.payload, self.elements)]

    def _cache(self, m: Module, name: str, i: Any) -> Ram:
        """Cache filled by stream `i`; returns the memory."""
        cache = m.submodules[f"{name}_cache"] = Ram(self.words, self.head_dim * self.element_bits)
        element = Signal(range(self.beats + 1), name=f"{name}_element")
        group = Signal.like(self.cache_base, name=f"{name}_group")
        word = Signal(self.head_dim * self.element_bits, name=f"{name}_word", reset_less=True)
        full = Signal(name=f"{name}_full")
        m.d.comb += [i.ready.eq(1), cache.write.eq(full), cache.write_data.eq(word)]
        m.d.comb += cache.write_addr.eq(group + self.position)
        m.d.sync += full.eq(0)
        with m.If(full):
            m.d.sync += group.eq(group + self.context)
        with m.If(i.valid):
            m.d.sync += word.eq(Cat(word, *self._narrow(i))[self.elements * self.element_bits :])
            m.d.sync += element.eq(Mux(element == self.beats - 1, 0, element + 1))
            m.d.sync += full.eq(element == self.beats - 1)
        with m.If(self.start):
            m.d.sync += [element.eq(0), group.eq(self.cache_base)]
        return cache

    def _products(
        self, m: Module, query: list[Signal], p: Signal, weighing: Signal, k: Value, v: Value
    ) -> list[Signal]:
        """One product per element: query by key, or probability by value."""
        products = []
        for d, q in enumerate(query):
            left = Signal(signed(PROBABILITY_BITS + 1), name=f"left{d}", reset_less=True)
            right = Signal(signed(self.element_bits), name=f"right{d}", reset_less=True)
            exact = Signal(signed(len(left) + len(right)), name=f"exact{d}")
            m.submodules[f"lane{d}"] = product(left, right, exact)
            m.d.sync += [
                left.eq(Mux(weighing, p, q)),
                right.eq(Mux(weighing, v, k).word_select(d, self.element_bits)),
            ]
            products.append(register(m, Const(1), exact))
        return products

    def _tree(self, m: Module, products: list[Signal]) -> tuple[Signal, int]:
        """Balanced sum, a register after every second level."""
        terms: list[Value] = [p[: 2 * self.element_bits].as_signed() for p in products]
        level = latency = 0
        while len(terms) > 1:
            pairs = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)]
            terms = pairs + terms[len(terms) & ~1 :]
            level += 1
            if level % 2 == 0 or len(terms) == 1:
                terms = [delay(m, Const(1), term, 1) for term in terms]
                latency += 1
        score = Signal(signed(self.score_bits))
        m.d.comb += score.eq(terms[0])
        return score, latency

    def _emit(
        self, m: Module, products: list[Signal], accumulate: Value, clear: Value, total: Signal,
        weighed: Value, divided: Signal, out_phase: Signal, emitted: Signal, idle: Signal,
    ) -> None:  # fmt: skip
        """Accumulate the weighted values, then divide them by the sum of probabilities."""
        on = Const(1)
        en = ~self.o.valid | self.o.ready
        left = Signal(range(self.beats + 1))
        pending = Signal(range(self.beats + 1))
        shift_out = out_phase & en & (left != 0)
        accumulators = [
            Signal(signed(self.acc_bits), name=f"sum{d}", reset_less=True)
            for d in range(self.head_dim)
        ]
        for d, acc in enumerate(accumulators):
            following = accumulators[(d + self.elements) % self.head_dim]
            with m.If(clear):
                m.d.sync += acc.eq(0)
            with m.Elif(accumulate):
                m.d.sync += acc.eq(acc + products[d])
            with m.Elif(shift_out):
                m.d.sync += acc.eq(following)

        # total has 16 + excess bits; shift it down to 16 one bit a cycle.
        excess = Signal(range(self.sum_bits - PROBABILITY_BITS + 1), reset_less=True)
        normal = Signal.like(total, reset_less=True)
        reducing = Signal()
        over = normal[PROBABILITY_BITS:] != 0
        with m.If(weighed):
            m.d.sync += [normal.eq(total), excess.eq(0), reducing.eq(1), left.eq(self.beats)]
        with m.Elif(reducing):
            m.d.sync += reducing.eq(over)
            with m.If(over):
                m.d.sync += [normal.eq(normal >> 1), excess.eq(excess + 1)]
        m.d.comb += self.reciprocal.addr.eq(
            normal[PROBABILITY_BITS - INDEX_BITS : PROBABILITY_BITS]
        )
        m.d.comb += divided.eq(delay(m, on, reducing & ~over, rom.LATENCY, reset=True))

        with m.If(shift_out):
            m.d.sync += left.eq(left - 1)
        for acc, o in zip(accumulators, split(self.o.payload, self.elements), strict=False):
            narrow = Signal(signed(PROBABILITY_BITS + self.element_bits + 1), reset_less=True)
            with m.If(en):
                m.d.sync += narrow.eq(acc >> excess)
            quotient = multiply(m, en, narrow, self.reciprocal.data)
            m.d.comb += o.eq(round_shift(m, en, quotient, self.shift, self.low, self.high))
        latency = 1 + MULTIPLY + ROUND_SHIFT
        m.d.comb += [
            self.o.valid.eq(delay(m, en, shift_out, latency, reset=True)),
            emitted.eq(out_phase & (left == 0)),
            idle.eq(pending == 0),
        ]
        m.d.sync += pending.eq(pending + shift_out - (self.o.valid & self.o.ready))
