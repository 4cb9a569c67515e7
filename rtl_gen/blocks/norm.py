"""RMSNorm and LayerNorm."""

from __future__ import annotations

from typing import Any

from amaranth import Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from rtl_gen.fabric import rom
from rtl_gen.fabric.adder import tree
from rtl_gen.fabric.beat import beat, cut, split
from rtl_gen.fabric.pipeline import (
    DSP_BITS,
    MULTIPLY,
    ROUND_SHIFT,
    delay,
    multiply,
    register,
    round_shift,
)
from rtl_gen.fabric.queue import Queue
from rtl_gen.ir.tables import INDEX_BITS

NORMAL_BITS = 18
"""Signed width of a normalized element (t in docs/ir.md)."""

GAIN_BITS = 16


class Norm(wiring.Component):
    """Normalize a vector, then gain and bias; golden model `rtl_gen.golden.norm`.

    The vector arrives twice: the first pass sums, the second is normalized. Between them the sum
    of squares is brought to the top of its register, at most four bit pairs a cycle.

    Between the passes lie 11 cycles and the search for the leading bit (``docs/blocks.md``);
    throughput 1 beat per cycle.

    Parameters
    ----------
    width : int
        Signed width of the streams.
    max_size : int
        Longest vector.
    depth : int
        Words of the ROM ``<name>_gain``: gain in the low 16 bits, bias above.
    bias_width, eps_width : int
        Widths of bias and epsilon.
    elements : int
        Elements of a beat, a power of two that divides every size.

    Members
    -------
    i, o : streams of beats of signed(width)
    start : In(1)
        Pulse before the first element.
    size, center, eps, fraction, gain_base, shift, low, high : In
        Stable from `start` on; meanings as in ``docs/ir.md``.
    """

    def __init__(
        self, *, width: int, max_size: int, depth: int, bias_width: int, eps_width: int,
        elements: int = 1, name: str = "norm",
    ) -> None:  # fmt: skip
        self.bias_width = bias_width
        self.elements = elements
        self.size_bits = max_size.bit_length()
        square = 2 * (width - 1) + self.size_bits + 1
        total = max(square + self.size_bits, eps_width) + 1
        self.half_bits = max((total + 1) // 2, INDEX_BITS // 2)
        self.square_bits = square
        self.table = rom.Rom("rsqrt", 1 << INDEX_BITS, 16)
        self.queue = Queue(width, elements)
        self.gains = rom.Rom(f"{name}_gain", depth, elements * (GAIN_BITS + bias_width))
        super().__init__(
            {
                "i": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(beat(width, elements))),
                "start": In(1),
                "size": In(range(max_size + 1)),
                "center": In(1),
                "eps": In(eps_width),
                "fraction": In(4),
                "gain_base": In(range(self.gains.depth)),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the sums, the normalizer and the second pass."""
        m = Module()
        m.submodules.table = self.table
        m.submodules.gains = self.gains
        on = Const(1)
        xs = split(self.i.payload, self.elements)

        # First pass: S and the sum of squares.
        total = Signal(signed(len(xs[0]) + self.size_bits))
        squares = Signal(self.square_bits)
        count = Signal.like(self.size)
        summing = Signal()
        # Second pass.
        normalizing = Signal()
        queue = m.submodules.queue = self.queue
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        m.d.comb += self.i.ready.eq(Mux(normalizing, queue.free != 0, summing))
        taken = summing & self.i.valid
        # The elements of a beat are summed in a stage of their own, then added to the totals.
        beat_sum = register(m, on, tree(m, xs))
        summed = delay(m, on, taken, 1, reset=True)
        beat_squares = register(m, on, tree(m, [multiply(m, on, x, x) for x in xs]))
        squared = delay(m, on, taken, MULTIPLY + 1, reset=True)
        with m.If(taken):
            m.d.sync += count.eq(count - 1)
            with m.If(count == 1):
                m.d.sync += summing.eq(0)
        with m.If(summed):
            m.d.sync += total.eq(total + beat_sum)
        with m.If(squared):
            m.d.sync += squares.eq(squares + beat_squares[: self.square_bits])
        with m.If(self.start):
            m.d.sync += [total.eq(0), squares.eq(0)]
            m.d.sync += count.eq(self.size >> exact_log2(self.elements))
            m.d.sync += [summing.eq(1), normalizing.eq(0)]

        h, ready = self._normalize(m, taken & (count == 1), total, squares)
        with m.If(ready):
            m.d.sync += normalizing.eq(1)

        accepted = normalizing & self.i.valid & (queue.free != 0)
        m.d.comb += queue.reserve.eq(accepted)
        self._second_pass(m, accepted, xs, total, h)
        return m

    def _normalize(
        self, m: Module, summed: Value, total: Signal, squares: Signal
    ) -> tuple[Signal, Value]:
        """Q and its half length h; the returned pulse says that the table's word is out."""
        q_bits = 2 * self.half_bits
        n_squares = Signal(q_bits, reset_less=True)
        on = Const(1)
        s = Mux(self.center, total, 0)
        square_total = Signal(q_bits, reset_less=True)
        if len(s) <= DSP_BITS:
            m.d.sync += square_total.eq(multiply(m, on, s, s.as_signed()))
        else:
            # S is wider than a multiplier operand: square it in two digits.
            digit = DSP_BITS - 1
            low = multiply(m, on, s, s[:digit])
            high = multiply(m, on, s, s[digit:].as_signed())
            m.d.sync += square_total.eq(low + (high << digit))
        scaled = multiply(m, on, squares, self.size)
        m.d.sync += n_squares.eq(scaled + self.eps)
        settled = delay(m, on, summed, 2 * MULTIPLY + 3, reset=True)
        q = Signal(q_bits, reset_less=True)
        h = Signal(range(self.half_bits + 1), reset_less=True)
        shifting = Signal()
        with m.If(settled):
            m.d.sync += [q.eq(n_squares - square_total), h.eq(self.half_bits), shifting.eq(1)]
        with m.Elif(shifting):
            with m.If(q[-8:] == 0):
                m.d.sync += [q.eq(q << 8), h.eq(h - 4)]
            with m.Elif(q[-2:] == 0):
                m.d.sync += [q.eq(q << 2), h.eq(h - 1)]
            with m.Else():
                m.d.sync += shifting.eq(0)
        aligned = shifting & (q[-2:] != 0)
        m.d.comb += self.table.addr.eq(q[-INDEX_BITS:])
        return h, delay(m, on, aligned, rom.LATENCY, reset=True)

    def _second_pass(
        self, m: Module, accepted: Value, xs: list[Value], total: Signal, h: Signal
    ) -> None:
        """d, t and y of ``docs/ir.md``, for every element of a beat."""
        on = Const(1)
        before_gain = 1 + MULTIPLY + ROUND_SHIFT
        # The gain's address leads so that its word meets t.
        gain_address = Signal.like(self.gains.addr)
        advance = delay(m, on, accepted, before_gain - rom.LATENCY, reset=True)
        with m.If(self.start):
            m.d.sync += gain_address.eq(self.gain_base)
        with m.Elif(advance):
            m.d.sync += gain_address.eq(gain_address + 1)
        m.d.comb += self.gains.addr.eq(gain_address)

        mean = Mux(self.center, total, 0)
        t_shift = Signal(6, reset_less=True)
        m.d.sync += t_shift.eq(15 + h - self.fraction)
        bound = (1 << (NORMAL_BITS - 1)) - 1
        bounds = (Const(-bound - 1, signed(NORMAL_BITS)), Const(bound, signed(NORMAL_BITS)))
        words = cut(self.gains.data, unsigned(GAIN_BITS + self.bias_width), self.elements)
        for x, o, word in zip(xs, split(self.queue.data, self.elements), words, strict=True):
            d = Signal(signed(len(x) + self.size_bits + 2), reset_less=True)
            m.d.sync += d.eq(x * self.size - mean)
            t = round_shift(m, on, multiply(m, on, d, self.table.data), t_shift, *bounds)
            scaled = multiply(m, on, t, word[:GAIN_BITS].as_signed())
            bias = delay(m, on, word[GAIN_BITS:].as_signed(), MULTIPLY)
            biased = register(m, on, scaled + bias)
            m.d.comb += o.eq(round_shift(m, on, biased, self.shift, self.low, self.high))
        latency = before_gain + MULTIPLY + 1 + ROUND_SHIFT
        m.d.comb += self.queue.write.eq(delay(m, on, accepted, latency, reset=True))
