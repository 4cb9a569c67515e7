"""Choice of experts for a token, and their gates by softmax."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import beat, split
from rtl_gen.fabric.pipeline import MULTIPLY, delay, multiply, register

INDEX_BITS = 10
P_BITS = 16
Z_LIMIT = 4095


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
        taken = self._elements(m, element, collecting | totalling)
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
        self._divide(m, chosen, total, delay(m, on, finished, latency + 1, reset=True))
        return m

    def _elements(self, m: Module, x: Signal, open_: Any) -> Any:
        """Elements of the beats one after another; whether one is taken."""
        place = Signal(range(max(2, self.elements)))
        last = place == self.elements - 1
        m.d.comb += x.eq(Array(split(self.i.payload, self.elements))[place])
        taken = Signal()
        m.d.comb += [taken.eq(self.i.valid & open_), self.i.ready.eq(open_ & last)]
        with m.If(self.start):
            m.d.sync += place.eq(0)
        with m.Elif(taken):
            m.d.sync += place.eq(Mux(last, 0, place + 1))
        return taken

    def _sort(
        self, m: Module, x: Signal, count: Signal, taken: Any
    ) -> tuple[list[Signal], list[Signal], list[Signal]]:
        """Insert into a sorted list of k; a new score goes behind all that it does not exceed."""
        scores = [
            Signal(signed(self.width), name=f"score{s}", reset_less=True) for s in range(self.k)
        ]
        indices = [
            Signal(self.index_bits, name=f"index{s}", reset_less=True) for s in range(self.k)
        ]
        filled = [Signal(name=f"filled{s}") for s in range(self.k)]
        above = [~f | self._exceeds(x, s) for f, s in zip(filled, scores, strict=True)]
        for s in range(self.k):
            with m.If(taken & above[s]):
                if s == 0:
                    m.d.sync += [scores[0].eq(x), indices[0].eq(count), filled[0].eq(1)]
                else:
                    moved = above[s - 1]
                    m.d.sync += [
                        scores[s].eq(Mux(moved, scores[s - 1], x)),
                        indices[s].eq(Mux(moved, indices[s - 1], count)),
                        filled[s].eq(Mux(moved, filled[s - 1], 1)),
                    ]
        return scores, indices, filled

    def _exceeds(self, x: Signal, score: Signal) -> Any:
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

    def _divide(self, m: Module, chosen: Any, total: Signal, begin: Any) -> None:
        """Gates: every chosen p times the reciprocal of the total."""
        on = Const(1)
        bits = len(total)
        aligned = Signal(max(bits, INDEX_BITS), reset_less=True)
        b = Signal(range(bits + 2), reset_less=True)
        shifting = Signal()
        with m.If(begin):
            m.d.sync += [aligned.eq(total << (len(aligned) - bits)), b.eq(bits), shifting.eq(1)]
        with m.Elif(shifting):
            with m.If(aligned[-1]):
                m.d.sync += shifting.eq(0)
            with m.Else():
                m.d.sync += [aligned.eq(aligned << 1), b.eq(b - 1)]
        m.d.comb += self.reciprocal.addr.eq(aligned[-INDEX_BITS:])
        known = delay(m, on, shifting & aligned[-1], rom.LATENCY, reset=True)

        slot = Signal(range(max(2, self.k)))
        step = Signal()
        product = multiply(m, on, register(m, on, chosen[slot]), self.reciprocal.data)
        # Rounding: half of the last place, added after all but one of the shifts.
        halved = Signal(self.width + 1, reset_less=True)
        m.d.sync += halved.eq(product.as_unsigned() >> b)
        gate = Signal(signed(self.width), reset_less=True)
        m.d.sync += gate.eq((halved + 1) >> 1)
        arrived = delay(m, on, step, 1 + MULTIPLY + 2, reset=True)
        m.d.sync += step.eq(known)
        with m.If(known):
            m.d.sync += slot.eq(0)
        with m.If(arrived):
            m.d.sync += self.o.valid.eq(1)
            m.d.sync += self.gates.word_select(slot, self.width - 1).eq(gate)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
            with m.If(slot != self.k - 1):
                m.d.sync += [slot.eq(slot + 1), step.eq(1)]
        m.d.comb += [o.eq(gate) for o in split(self.o.payload, self.elements)]
