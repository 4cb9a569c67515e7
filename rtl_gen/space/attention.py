"""Attention over a cache in LUTs, several positions a cycle, all heads at once."""

from __future__ import annotations

from typing import Any

from amaranth import C, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from rtl_gen.fabric import rom
from rtl_gen.fabric.adder import tree
from rtl_gen.fabric.pipeline import MULTIPLY, delay, multiply
from rtl_gen.fabric.ram import Ram
from rtl_gen.ir.integer import Attention
from rtl_gen.ir.range import attention_widths
from rtl_gen.ir.tables import EXP2_FRACTION_BITS, INDEX_BITS
from rtl_gen.ir.types import IntType
from rtl_gen.space.arithmetic import (
    clipped,
    digits,
    held,
    multiples,
    numbers,
    rounded,
    sum_cycles,
    summed,
)

PROBABILITY_BITS = 16
MAX_EXPONENT = 4095

DIVISION = 4 + MULTIPLY
"""Cycles from the last sum to a head's results: shift, product, rounding."""

SCORE_LEVELS = 3
"""Adders of a score between registers."""


class SpaceAttention(wiring.Component):
    """Attention of one layer; names as in ``docs/ir.md``. Golden model `rtl_gen.golden.attention`.

    With G groups of `positions` positions, ``latency(G)`` cycles from `start` to `done`.

    Parameters
    ----------
    op : Attention
    q, k, v, y : IntType
        Of the elements; the first three signed.
    positions : int
        Scored, and weighed, at once.

    Members
    -------
    start : In(1)
        Pulse in the cycle in which `q`, `k` and `v` arrive; they stay until `done`.
    q, k, v : In
    position : In
    done : Out(1)
        Pulse in the cycle in which `o` arrives.
    o : Out
    """

    def __init__(
        self, op: Attention, q: IntType, k: IntType, v: IntType, y: IntType, *, positions: int
    ) -> None:
        self.op = op
        self.types = (q, k, v)
        self.y = y
        self.widths = attention_widths(op, q, k, v)
        self.positions = positions
        self.groups = -(-op.context // positions)
        self.element = max(k.width, v.width)
        count = op.kv_heads * op.head_dim
        # Keys in the lower half, values in the upper one.
        self.half = 1 << (self.groups - 1).bit_length()
        self.caches = [Ram(2 * self.half, count * self.element) for _ in range(positions)]
        self.score_bits = self.widths.s.width
        self.scores = Ram(max(2, self.groups), positions * op.heads * self.score_bits)
        readers = positions * op.heads
        self.powers = rom.copies("exp2", 1 << EXP2_FRACTION_BITS, PROBABILITY_BITS, readers)
        self.reciprocal = rom.Rom("reciprocal", 1 << INDEX_BITS, PROBABILITY_BITS)
        super().__init__(
            {
                "start": In(1),
                "q": In(op.heads * op.head_dim * q.width),
                "k": In(count * k.width),
                "v": In(count * v.width),
                "position": In(range(max(2, op.context))),
                "done": Out(1),
                "o": Out(op.heads * op.head_dim * y.width),
            }
        )

    def latency(self, groups: int) -> int:
        """Cycles from `start` to `done` when `groups` groups of positions are read."""
        weighed = 2 * groups + 9 + self._score_cycles + self._scale_cycles
        return weighed + DIVISION + self.op.heads

    @property
    def _score_cycles(self) -> int:
        return sum_cycles(self.op.head_dim, SCORE_LEVELS)

    @property
    def _scale_cycles(self) -> int:
        return sum_cycles(len(digits(self.op.score.multiplier)))

    def elaborate(self, platform: Any) -> Module:
        """Build caches, products, softmax and sums."""
        m = Module()
        for k, cache in enumerate(self.caches):
            m.submodules[f"cache{k}"] = cache
        m.submodules.scores = self.scores
        for k, memory in enumerate([*self.powers, self.reciprocal]):
            m.submodules[f"table{k}"] = memory
        self._store(m)
        scan, issue, final = self._scan(m, "score", self.start)
        scored = delay(m, Const(1), final, 2 + self._score_cycles, reset=True)
        weigh_scan, weigh, last = self._scan(m, "weigh", scored)

        lag = 4 + self._scale_cycles
        value_scan = delay(m, Const(1), weigh_scan, lag)
        valuing = Signal()
        with m.If(self.start):
            m.d.sync += valuing.eq(0)
        with m.Elif(scored):
            m.d.sync += valuing.eq(1)
        for cache in self.caches:
            m.d.comb += cache.addr.eq(Mux(valuing, value_scan | self.half, scan))

        best = Signal(self.op.heads * self.score_bits, reset_less=True)
        seen = delay(m, Const(1), self._seen(weigh_scan) & weigh.replicate(self.positions), lag)
        p, total = self._probabilities(m, weigh_scan, weigh, seen, best)
        products = self._products(m, p, valuing, held(m, ~seen))
        self._maximum(m, products, scan, issue, best)
        self._mean(m, products, total, weigh, last)
        return m

    def _store(self, m: Module) -> None:
        """Write a position's key, a cycle later its value."""
        _q, k, v = self.types
        low = exact_log2(self.positions)
        bank, place = self.position[:low], self.position[low:]
        count = self.op.kv_heads * self.op.head_dim
        words = [
            Cat(*(_wide(x, self.element) for x in numbers(port, kind, count)))
            for port, kind in ((self.k, k), (self.v, v))
        ]
        then = Signal()
        m.d.sync += then.eq(self.start)
        for number, cache in enumerate(self.caches):
            m.d.comb += [
                cache.write.eq((self.start | then) & (bank == number)),
                cache.write_addr.eq(Mux(then, place | self.half, place)),
                cache.write_data.eq(Mux(then, words[1], words[0])),
            ]

    def _scan(self, m: Module, name: str, begin: Value) -> tuple[Signal, Signal, Value]:
        """Count through the groups seen so far, from the cycle after `begin` on."""
        scan = Signal(range(max(2, self.groups)), name=f"{name}_scan")
        going = Signal(name=f"{name}_going")
        final = going & (scan == self.position[exact_log2(self.positions) :])
        with m.If(begin):
            m.d.sync += [scan.eq(0), going.eq(1)]
        with m.Elif(going):
            m.d.sync += [scan.eq(scan + 1), going.eq(~final)]
        return scan, going, final

    def _seen(self, scan: Value) -> Value:
        """Which of a group's positions there are, one bit each."""
        low = exact_log2(self.positions)
        full = scan != self.position[low:]
        return Cat(full | (self.position[:low] >= t) for t in range(self.positions))

    def _products(
        self, m: Module, p: list[list[Value]], valuing: Value, absent: Value
    ) -> list[list[list[Value]]]:
        """Position by head by element: query by key, or probability by value.

        A value that was never written is no number yet, and 0 in its place.
        """
        op = self.op
        group = op.heads // op.kv_heads
        queries = numbers(self.q, self.types[0], op.heads * op.head_dim)
        found = []
        for t, cache in enumerate(self.caches):
            blank = (valuing & absent[t]).replicate(len(cache.data))
            words = numbers(cache.data & ~blank, IntType(self.element), op.kv_heads * op.head_dim)
            heads = []
            for h in range(op.heads):
                weight = Cat(p[t][h], C(0, 1)).as_signed()
                row = []
                for d in range(op.head_dim):
                    factor = Mux(valuing, weight, queries[h * op.head_dim + d])
                    row.append(held(m, factor * words[h // group * op.head_dim + d]))
                heads.append(row)
            found.append(heads)
        return found

    def _maximum(
        self, m: Module, products: list[list[list[Value]]], scan: Value, issue: Value, best: Signal
    ) -> None:
        """Scores into their memory, and the largest so far of every head."""
        on = Const(1)
        width = self.types[0].width + self.element
        sums = [
            [
                summed(m, [part[:width].as_signed() for part in products[t][h]], SCORE_LEVELS)[0]
                for h in range(self.op.heads)
            ]
            for t in range(self.positions)
        ]
        arrived = 2 + self._score_cycles
        there = delay(m, on, issue, arrived, reset=True)
        group = delay(m, on, scan, arrived)
        m.d.comb += [
            self.scores.write.eq(there),
            self.scores.write_addr.eq(group),
            self.scores.write_data.eq(
                Cat(*(_wide(s, self.score_bits) for position in sums for s in position))
            ),
        ]
        seen = delay(m, on, self._seen(scan), arrived)
        first = delay(m, on, scan == 0, arrived + 1)
        offered = delay(m, on, there, 1, reset=True)
        for h in range(self.op.heads):
            largest: Value = sums[0][h]
            for t in range(1, self.positions):
                larger = seen[t] & (sums[t][h] > largest)
                largest = Mux(larger, sums[t][h], largest).as_signed()
            largest = held(m, largest)
            slot = best.word_select(h, self.score_bits)
            with m.If(offered & (first | (largest > slot.as_signed()))):
                m.d.sync += slot.eq(largest)

    def _probabilities(
        self, m: Module, scan: Value, weigh: Value, seen: Value, best: Signal
    ) -> tuple[list[list[Value]], Signal]:
        """p, a cycle's positions by heads, zero where there is none; and L."""
        on = Const(1)
        op = self.op
        m.d.comb += self.scores.addr.eq(scan)
        before = 4 + self._scale_cycles
        readers = iter(rom.readers(self.powers))
        words = numbers(self.scores.data, IntType(self.score_bits), self.positions * op.heads)
        p = []
        for t in range(self.positions):
            row = []
            for h in range(op.heads):
                top = best.word_select(h, self.score_bits).as_signed()
                below = held(m, (top - words[t * op.heads + h])[: self.widths.below.width])
                distance = summed(m, multiples(below, op.score.multiplier))[0] >> op.score.shift
                bits = MAX_EXPONENT.bit_length()
                over = distance[bits:].any() if len(distance) > bits else C(0, 1)
                z = Mux(over, MAX_EXPONENT, distance[:bits])
                reader = next(readers)
                m.d.comb += reader.addr.eq(z[:EXP2_FRACTION_BITS])
                halvings = delay(m, on, z[EXP2_FRACTION_BITS:], rom.LATENCY)
                row.append(held(m, Mux(seen[t], reader.data >> halvings, 0)))
            p.append(row)
        total = Signal(op.heads * self.widths.total.width, reset_less=True)
        some = delay(m, on, weigh, before + 1, reset=True)
        first = delay(m, on, scan == 0, before + 1)
        for h in range(op.heads):
            slot = total.word_select(h, self.widths.total.width)
            terms = [p[t][h] for t in range(self.positions)]
            with m.If(some):
                m.d.sync += slot.eq(sum(terms, Mux(first, 0, slot)))
        return p, total

    def _mean(
        self, m: Module, products: list[list[list[Value]]], total: Signal, weigh: Value, last: Value
    ) -> None:
        """A, divided by L."""
        on = Const(1)
        op = self.op
        before = 6 + self._scale_cycles
        some = delay(m, on, weigh, before, reset=True)
        sums = []
        for h in range(op.heads):
            for d in range(op.head_dim):
                acc = Signal(signed(self.widths.a.width), name=f"sum{h}_{d}", reset_less=True)
                terms = [products[t][h][d] for t in range(self.positions)]
                more = tree(m, [acc, *terms])
                with m.If(self.start):
                    m.d.sync += acc.eq(0)
                with m.Elif(some):
                    m.d.sync += acc.eq(more)
                sums.append(acc)
        # One head after another: the divider's parts are there once.
        ready = delay(m, on, last, before + 1, reset=True)
        head = Signal(range(max(2, op.heads)))
        with m.If(ready):
            m.d.sync += head.eq(min(1, op.heads - 1))
        with m.Elif(head != 0):
            m.d.sync += head.eq(Mux(head == op.heads - 1, 0, head + 1))
        bits = self.widths.total.width
        length = held(m, total.word_select(head, bits))
        chosen = [
            (b, length[b - 1] & ~length[b:].any() if b < bits else length[b - 1])
            for b in range(PROBABILITY_BITS, bits + 1)
        ]
        index = C(0, INDEX_BITS)
        for b, one in chosen:
            index = index | Mux(one, length[b - INDEX_BITS : b], 0)
        m.d.comb += self.reciprocal.addr.eq(index)
        which = [(b, held(m, one)) for b, one in chosen]
        quotients = []
        for d in range(op.head_dim):
            column = Cat(*(sums[h * op.head_dim + d] for h in range(op.heads)))
            acc = delay(m, on, column.word_select(head, self.widths.a.width), 2).as_signed()
            shifted = C(0, self.widths.shifted.width)
            for b, one in which:
                low = acc >> b - PROBABILITY_BITS
                shifted = shifted | Mux(one, _wide(low, self.widths.shifted.width), 0)
            shifted = held(m, shifted.as_signed())
            quotient = multiply(m, on, shifted, self.reciprocal.data)
            quotients.append(held(m, clipped(m, rounded(quotient, op.shift), self.y)))
        row = Cat(*(value[: self.y.width] for value in quotients))
        arrived = delay(m, on, ready, DIVISION, reset=True)
        places = [arrived]
        for _ in range(op.heads - 1):
            places.append(delay(m, on, places[-1], 1, reset=True))
        for h, place in enumerate(places):
            with m.If(place):
                m.d.sync += self.o.word_select(h, len(row)).eq(row)
        m.d.comb += self.done.eq(delay(m, on, places[-1], 1, reset=True))


def _wide(value: Value, width: int) -> Value:
    """The low `width` bits of a signed value, its sign in those it does not have."""
    return Cat(value, value[-1].replicate(max(0, width - len(value))))[:width]
