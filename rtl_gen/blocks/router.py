"""Choice of experts for a token, and their gates by softmax."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import gating, rom
from rtl_gen.fabric.beat import beat
from rtl_gen.fabric.gating import INDEX_BITS, P_BITS
from rtl_gen.fabric.pipeline import MULTIPLY, delay, multiply, register

Z_LIMIT = 4095
BIAS_BITS = 16


class Router(wiring.Component):
    """The k largest of a vector of logits, and their weights; golden model `rtl_gen.golden.router`.

    The logits arrive once, or twice if gates are parts of the sum over all experts. Every gate
    leaves as a beat of its own, the same number in all elements. Latency ``size + 2 k + 25`` cycles
    about (``2 size`` in the second form), throughput 1 element per cycle in, 1 gate in 7 cycles.
    Elements pass a register on their way to the comparisons, so the choice stands two cycles after
    the last one is taken, which is when the chip's next instruction starts.

    Parameters
    ----------
    width, elements : int
        Signed width of an element; elements of a beat.
    experts, k : int
        Number of logits, and of chosen experts.
    normalize : bool
        Gates sum to one; if not, they are parts of the sum over all experts.

    Members
    -------
    i, o : streams of beats
    start : In(1)
        Pulse before the first logit.
    multiplier, shift : In
        From steps of the logits to 2**-8 units of log2.
    choice, gates : Out
        The chosen experts and their gates, the first in the lowest bits. The choice stands from
        before the first gate to the next `start`, the gates from the last one on.
    """

    def __init__(
        self, *, width: int, experts: int, k: int, normalize: bool, elements: int = 1
    ) -> None:
        self.width = width
        self.experts = experts
        self.k = k
        self.normalize = normalize
        self.elements = elements
        self.index_bits = max(1, (experts - 1).bit_length())
        self.exp2 = rom.Rom("exp2", 256, P_BITS)
        self.reciprocal = rom.Rom("reciprocal", 1 << INDEX_BITS, 16)
        super().__init__(
            {
                "i": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(beat(width, elements))),
                "start": In(1),
                "multiplier": In(16),
                "shift": In(6),
                "choice": Out(k * self.index_bits),
                "gates": Out(k * (width - 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the sorter, the exponentials, their sum and the division."""
        m = Module()
        m.submodules.exp2 = self.exp2
        m.submodules.reciprocal = self.reciprocal
        on = Const(1)
        element = Signal(signed(self.width))
        count = Signal(range(self.experts + 1))
        collecting, totalling, weighing = Signal(), Signal(), Signal()
        taken = gating.serial(m, self, element, collecting | totalling)
        last = taken & (count == self.experts - 1)
        with m.If(taken):
            m.d.sync += count.eq(Mux(last, 0, count + 1))
        with m.If(last):
            m.d.sync += [collecting.eq(0), totalling.eq(0)]

        x, index = register(m, on, element), register(m, on, count)
        scored = register(m, on, taken & collecting, reset=True)
        summed = register(m, on, taken & totalling, reset=True)
        ended = register(m, on, last, reset=True)
        scores, indices, filled = self._sort(m, x, index, scored)
        m.d.comb += self.choice.eq(Cat(*indices))

        slot = Signal(range(max(2, self.k)))
        with m.If(ended & scored):
            m.d.sync += [weighing.eq(1), slot.eq(0)]
        with m.If(weighing):
            m.d.sync += slot.eq(slot + 1)
            with m.If(slot == self.k - 1):
                m.d.sync += weighing.eq(0)
                if not self.normalize:
                    m.d.sync += totalling.eq(1)
        with m.If(self.start):
            m.d.sync += [collecting.eq(1), totalling.eq(0), weighing.eq(0), count.eq(0)]
            m.d.sync += [f.eq(0) for f in filled]

        entering = Mux(weighing, Array(scores)[slot], x)
        p, p_valid, latency = self._exponential(m, scores[0], entering, weighing | summed)
        of_choice = delay(m, on, weighing, latency, reset=True)
        p_slot = delay(m, on, slot, latency)
        chosen = Array(Signal(P_BITS, name=f"p{s}", reset_less=True) for s in range(self.k))
        with m.If(of_choice):
            m.d.sync += chosen[p_slot].eq(p)
        counted = of_choice if self.normalize else p_valid & ~of_choice
        terms = self.k if self.normalize else self.experts
        total = Signal((terms << (P_BITS - 1)).bit_length())
        with m.If(self.start):
            m.d.sync += total.eq(0)
        with m.Elif(counted):
            m.d.sync += total.eq(total + p)
        finished = weighing & (slot == self.k - 1) if self.normalize else ended & summed
        begin = delay(m, on, finished, latency + 1, reset=True)
        gating.gates(m, self, chosen, total, begin, self.reciprocal)
        return m

    def _sort(
        self, m: Module, x: Signal, count: Signal, taken: Any
    ) -> tuple[list[Signal], list[Signal], list[Signal]]:
        """The k largest scores, their experts, and which places are in use."""
        new = {"score": (x.shape(), x), "index": (self.index_bits, count)}
        (scores, indices), filled = gating.ranked(m, new, taken, self.k, self._exceeds)
        return scores, indices, filled

    def _exceeds(self, x: Any, score: Any) -> Any:
        """Whether a new score goes before an old one; of equal scores the first one stays ahead."""
        return x > score

    def _exponential(self, m: Module, top: Signal, x: Any, valid: Any) -> tuple[Signal, Any, int]:
        """P of ``docs/ir.md``, its valid bit, and the cycles it takes."""
        on = Const(1)
        below = Signal(self.width + 1, reset_less=True)
        m.d.sync += below.eq(top - x)
        scaled = multiply(m, on, below, self.multiplier)
        shifted = Signal(len(scaled), reset_less=True)
        m.d.sync += shifted.eq(scaled.as_unsigned() >> self.shift)
        z = Signal(12, reset_less=True)
        m.d.sync += z.eq(Mux(shifted > Z_LIMIT, Z_LIMIT, shifted))
        m.d.comb += self.exp2.addr.eq(z[:8])
        p = Signal(P_BITS, reset_less=True)
        m.d.sync += p.eq(self.exp2.data >> delay(m, on, z[8:], rom.LATENCY))
        latency = 1 + MULTIPLY + 2 + rom.LATENCY + 1
        return p, delay(m, on, valid, latency, reset=True), latency


class ScoredRouter(wiring.Component):
    """The k largest of a vector of scores that are weights themselves (sigmoids, of DeepSeek).

    Golden model `rtl_gen.golden.router`. A bias may be added for the choice alone, and all but the
    `kept` best of `groups` equal groups may be left out: the scores arrive twice then, first for
    the groups. Latency ``size + 2 k + 22`` cycles about (``2 size`` with groups), without
    `normalize` 12 less; throughput 1 element per cycle in, 1 gate in 7 cycles.

    Parameters
    ----------
    width, elements : int
        Signed width of an element; elements of a beat. Scores are not negative.
    experts, k : int
        Number of scores, and of chosen experts.
    normalize : bool
        Gates sum to one; if not, they are the scores.
    groups, kept, best : int
        Groups stay by the sum of their `best` largest scores.
    bias_depth : int
        Words of the ROM ``router_bias``; 0 without biases.

    Members
    -------
    i, o, start, choice, gates
        As those of `Router`.
    bias_base : In
        With biases: the first one's word; stable from `start` to the last element taken.
    settling : Out(1)
        Elements that were taken are on their way to the comparisons: the choice stands two cycles
        after it falls.
    """

    def __init__(
        self, *, width: int, experts: int, k: int, normalize: bool, elements: int = 1,
        groups: int = 1, kept: int = 1, best: int = 2, bias_depth: int = 0,
    ) -> None:  # fmt: skip
        self.width = width
        self.experts = experts
        self.k = k
        self.normalize = normalize
        self.elements = elements
        self.size = experts // groups
        self.groups = groups
        self.kept = kept
        self.best = min(best, self.size)
        self.grouped = kept < groups
        self.index_bits = max(1, (experts - 1).bit_length())
        self.reciprocal = rom.Rom("reciprocal", 1 << INDEX_BITS, 16) if normalize else None
        self.bias = rom.Rom("router_bias", bias_depth, BIAS_BITS) if bias_depth else None
        biased = {} if self.bias is None else {"bias_base": In(range(self.bias.depth))}
        super().__init__(
            {
                "i": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(beat(width, elements))),
                "start": In(1),
                "choice": Out(k * self.index_bits),
                "gates": Out(k * (width - 1)),
                "settling": Out(1),
                **biased,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the biases, the lists of groups and of experts, and the gates."""
        m = Module()
        on = Const(1)
        element = Signal(signed(self.width))
        count = Signal(range(self.experts + 1))
        grouping, collecting, weighing = Signal(), Signal(), Signal()
        taken = gating.serial(m, self, element, grouping | collecting)
        last = taken & (count == self.experts - 1)
        with m.If(taken):
            m.d.sync += count.eq(Mux(last, 0, count + 1))
        with m.If(last):
            m.d.sync += [grouping.eq(0), collecting.eq(0)]

        # Three stages: the bias out of its ROM, and the sum.
        ranked = biased = delay(m, on, element, rom.LATENCY)
        if self.bias is not None:
            m.submodules.bias = self.bias
            m.d.comb += self.bias.addr.eq(self.bias_base + count)
            biased = ranked + self.bias.data.as_signed()
        u, score = register(m, on, biased), register(m, on, ranked)
        judged, scored, ended = (
            delay(m, on, flag, rom.LATENCY + 1, reset=True)
            for flag in (taken & grouping, taken & collecting, last)
        )
        soon = register(m, on, taken, reset=True)
        m.d.comb += self.settling.eq(soon | register(m, on, soon, reset=True))
        index = Signal.like(count)
        filled: list[Signal] = []
        with m.If(judged | scored):
            m.d.sync += index.eq(Mux(ended, 0, index + 1))
        stays: Any = Const(1)
        if self.grouped:
            stays, filled = self._groups(m, u, judged, scored, ended)
            with m.If(register(m, on, last & grouping, reset=True)):
                m.d.sync += collecting.eq(1)
        new = {
            "key": (u.shape(), u), "index": (self.index_bits, index),
            "score": (self.width - 1, score[: self.width - 1]),
        }  # fmt: skip
        (_, indices, scores), used = gating.ranked(m, new, scored & stays, self.k, self._exceeds)
        m.d.comb += self.choice.eq(Cat(*indices))
        self._weigh(m, scores, ended & scored, weighing)
        with m.If(self.start):
            m.d.sync += [grouping.eq(int(self.grouped)), collecting.eq(int(not self.grouped))]
            m.d.sync += [weighing.eq(0), count.eq(0), index.eq(0)]
            m.d.sync += [f.eq(0) for f in [*used, *filled]]
        return m

    def _exceeds(self, x: Any, score: Any) -> Any:
        """Whether a new score goes before an old one; of equal scores the first one stays ahead."""
        return x > score

    def _groups(
        self, m: Module, u: Signal, judged: Any, scored: Any, ended: Any
    ) -> tuple[Any, list[Signal]]:
        """Whether the group of the score at hand stays, and the places of groups in use."""
        on = Const(1)
        place, group = Signal(range(max(2, self.size))), Signal(range(self.groups))
        closes = place == self.size - 1
        with m.If(judged | scored):
            m.d.sync += place.eq(Mux(closes, 0, place + 1))
            with m.If(closes):
                m.d.sync += group.eq(Mux(ended, 0, group + 1))
        (largest,), _ = gating.ranked(
            m, {"best": (u.shape(), u)}, judged, self.best, self._exceeds,
            fresh=place == 0, filled="best_filled",
        )  # fmt: skip
        total = sum(largest[1:], largest[0])
        new = {
            "sum": (total.shape(), total),
            "group": (len(group), register(m, on, group)),
        }
        closed = register(m, on, judged & closes, reset=True)
        (_, groups), filled = gating.ranked(
            m, new, closed, self.kept, self._exceeds, filled="group_filled"
        )
        with m.If(self.start):
            m.d.sync += [place.eq(0), group.eq(0)]
        return Cat(*(known == group for known in groups)).any(), filled

    def _weigh(self, m: Module, scores: list[Signal], chosen_all: Any, weighing: Signal) -> None:
        """The chosen scores one by one, their sum, and the gates."""
        on = Const(1)
        slot = Signal(range(max(2, self.k)))
        final = slot == self.k - 1
        with m.If(chosen_all):
            m.d.sync += [weighing.eq(1), slot.eq(0)]
        with m.If(weighing):
            m.d.sync += slot.eq(slot + 1)
            with m.If(final):
                m.d.sync += weighing.eq(0)
        p, p_slot = register(m, on, Array(scores)[slot]), register(m, on, slot)
        counted = register(m, on, weighing, reset=True)
        chosen = Array(Signal(P_BITS, name=f"p{s}", reset_less=True) for s in range(self.k))
        total = Signal((self.k << (P_BITS - 1)).bit_length())
        with m.If(counted):
            m.d.sync += [chosen[p_slot].eq(p), total.eq(total + p)]
        with m.If(self.start):
            m.d.sync += total.eq(0)
        begin = delay(m, on, weighing & final, 2, reset=True)
        if self.reciprocal is not None:
            m.submodules.reciprocal = self.reciprocal
        # A sum of no weight at all counts as 1.
        divisor = Mux(total == 0, 1, total)
        gating.gates(m, self, chosen, divisor, begin, self.reciprocal)
