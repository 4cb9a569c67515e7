"""RMSNorm and LayerNorm of a vector that holds still."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth import C, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.fabric import rom
from rtl_gen.fabric.adder import tree
from rtl_gen.fabric.pipeline import DSP_BITS, MULTIPLY, delay, multiply
from rtl_gen.ir.integer import Constant, Norm
from rtl_gen.ir.range import norm_widths
from rtl_gen.ir.tables import INDEX_BITS
from rtl_gen.ir.types import IntType
from rtl_gen.space.arithmetic import (
    held,
    multiples,
    numbers,
    requantize_cycles,
    requantized,
    sum_cycles,
    summed,
)

ROOT_BITS = 15
"""Fraction bits of a word of the table of reciprocal square roots."""


class SpaceNorm(wiring.Component):
    """Norm of a vector; names as in ``docs/ir.md``. Golden model `rtl_gen.golden.norm`.

    Latency `latency` cycles. Without a mean, the square and the product with the root of an
    element share a multiplier, and so do `sharing` elements one after another if their gains are
    equal.

    Parameters
    ----------
    op : Norm
        Of one group.
    x, y : IntType
    gain, bias : Constant, Constant or None
    sharing : int

    Members
    -------
    restart : In(1)
        Pulse before `i` arrives.
    start : In(1)
        Pulse in the cycle in which `i` arrives.
    i, o : In, Out
        Elements, the first in the low bits.
    """

    def __init__(
        self, op: Norm, x: IntType, y: IntType, gain: Constant, bias: Constant | None,
        sharing: int = 1,
    ) -> None:  # fmt: skip
        size = gain.data.size
        self.op, self.size, self.x, self.y = op, size, x, y
        self.gain = gain.data
        self.bias: NDArray[np.int64] = np.zeros(size, np.int64) if bias is None else bias.data
        self.widths = norm_widths(size, x, op, gain, bias)
        self.table = rom.Rom("rsqrt", 1 << INDEX_BITS, ROOT_BITS + 1)
        lowest = (op.eps.bit_length() + 1) // 2
        highest = (self.widths.q.max.bit_length() + 1) // 2
        self.halves = range(lowest, highest + 1)
        self.eps_bits = op.eps.bit_length() + 1
        gains = max((requantize_cycles(g) for g in self.gain.tolist() if g), default=0)
        alike = not self.bias.any() and len(set(self.gain.tolist())) == 1 and gains > 0
        self.turns = 1 if op.center or not alike else min(sharing, size)
        self.shares = -(-size // self.turns)
        # Elements n times larger fit the multipliers, or n comes in behind them.
        self.scaled = self.turns > 1 and x.width + size.bit_length() <= DSP_BITS
        if self.turns == 1:
            self.q_latency = sum_cycles(size) + 2 + (MULTIPLY - 1 if op.center else 0)
        else:
            self.q_latency = sum_cycles(self.shares) + 2 + self.turns
        self.root = self.q_latency + 1 + rom.LATENCY
        product = MULTIPLY if op.center else 1
        self.latency = self.root + product + 2 + gains
        if self.turns > 1:
            self.latency += self.turns
        super().__init__(
            {
                "restart": In(1),
                "start": In(1),
                "i": In(size * x.width),
                "o": Out(size * y.width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the sums, the root and the multipliers."""
        m = Module()
        m.submodules.table = self.table
        if self.turns > 1:
            self._by_turns(m)
            return m
        xs = numbers(self.i, self.x, self.size)
        settled = delay(m, Const(1), self.start, self.q_latency - 1, reset=True)
        q = Signal(self.widths.q.width, reset_less=True)
        root = Cat(self.table.data, C(0, 1)).as_signed()
        if self.op.center:
            products = self._centered(m, xs, q, root)
        else:
            products = self._plain(m, xs, q, root, settled)
        amount = self._index(m, q)
        out = []
        for product, gain, bias in zip(products, self.gain, self.bias, strict=True):
            t = self._normalized(m, product, amount)
            if gain:
                y = requantized(m, t, int(gain), self.op.shift, self.y, int(bias))
            else:
                rest = int(bias) + (1 << self.op.shift >> 1) >> self.op.shift
                y = C(min(max(rest, self.y.min), self.y.max), self.y.width)
            out.append(y)
        m.d.comb += self.o.eq(Cat(*(value[: self.y.width] for value in out)))
        return m

    def _by_turns(self, m: Module) -> None:
        """As `_plain`, but a multiplier takes the elements of its share one after another."""
        on = Const(1)
        xs = numbers(self.i, self.x, self.size)
        again = delay(m, on, self.start, self.root - 1, reset=True)
        turn = Signal(range(self.turns))
        with m.If(self.start | again | (turn != 0)):
            m.d.sync += turn.eq(Mux(turn == self.turns - 1, 0, turn + 1))
        shares = [xs[low : low + self.turns] for low in range(0, self.size, self.turns)]
        shares[-1] += [C(0, signed(self.x.width))] * (self.turns - len(shares[-1]))
        before, after = (self.size, 1) if self.scaled else (1, self.size)
        normalizing = Signal()
        root = Cat(self.table.data, C(0, 1)).as_signed()
        products = []
        for share in shares:
            x = Cat(*share).word_select(turn, self.x.width).as_signed()
            factor = held(m, tree(m, multiples(x, before)))
            products.append(held(m, factor * Mux(normalizing, root, held(m, x))))

        square_bits = 2 * self.x.width + (before - 1).bit_length()
        squares, cycles = summed(m, [p[:square_bits].as_signed() for p in products])
        q = Signal(self.widths.q.width, reset_less=True)
        arrived = delay(m, on, self.start, 2 + cycles, reset=True)
        adding = Signal(range(self.turns))
        total = tree(m, [*multiples(squares, after), Mux(arrived, self.op.eps, q)])
        with m.If(arrived | (adding != 0)):
            m.d.sync += [
                q.eq(total),
                adding.eq(Mux(adding == self.turns - 1, 0, adding + 1)),
            ]
        with m.If(self.restart):
            m.d.sync += normalizing.eq(0)
        with m.Elif(again):
            m.d.sync += normalizing.eq(1)

        amount = self._index(m, q)
        gain = int(self.gain[0])
        width = self.y.width
        out = Signal(self.size * width, reset_less=True)
        m.d.comb += self.o.eq(out)
        place = delay(m, on, again, self.latency - self.root - self.turns + 1, reset=True)
        at = Signal(range(self.turns))
        with m.If(place | (at != 0)):
            m.d.sync += at.eq(Mux(at == self.turns - 1, 0, at + 1))
        for low, product in zip(range(0, self.size, self.turns), products, strict=True):
            t = self._normalized(m, tree(m, multiples(product, after)), amount)
            y = requantized(m, t, gain, self.op.shift, self.y)
            for k in range(min(self.turns, self.size - low)):
                with m.If((place | (at != 0)) & (at == k)):
                    m.d.sync += out.word_select(low + k, width).eq(y[:width])

    def _plain(
        self, m: Module, xs: list[Value], q: Signal, root: Value, settled: Value
    ) -> list[Value]:
        """Q from the squares; then n times x by the root, from the same multipliers."""
        normalizing = Signal()
        products = [held(m, x * Mux(normalizing, root, x)) for x in xs]
        squares, _ = summed(m, [p[: 2 * self.x.width].as_signed() for p in products])
        total = tree(m, [*multiples(squares, self.size), C(self.op.eps, signed(self.eps_bits))])
        # Q stays when the multipliers turn to the root, which follows from it.
        with m.If(settled):
            m.d.sync += [q.eq(total), normalizing.eq(1)]
        with m.If(self.restart):
            m.d.sync += normalizing.eq(0)
        return [tree(m, multiples(p, self.size)) for p in products]

    def _centered(self, m: Module, xs: list[Value], q: Signal, root: Value) -> list[Value]:
        """Q from squares and the sum; then deviations by the root."""
        on = Const(1)
        total, _ = summed(m, xs)
        squares, _ = summed(m, [held(m, x * x) for x in xs])
        square = multiply(m, on, total, total[:DSP_BITS].as_signed())
        if len(total) > DSP_BITS:
            low, high = (multiply(m, on, total, part) for part in
                         (total[: DSP_BITS - 1], total[DSP_BITS - 1 :].as_signed()))  # fmt: skip
            square = low + (high << DSP_BITS - 1)
        weighted = held(m, tree(m, multiples(squares, self.size)) + self.op.eps)
        m.d.sync += q.eq(weighted - square)
        deviations = [held(m, tree(m, [*multiples(x, self.size), -total])) for x in xs]
        return [multiply(m, on, d, root) for d in deviations]

    def _index(self, m: Module, q: Signal) -> Signal:
        """Address the table with the leading bits of Q; which half length it has, of those it may.

        The address follows `q` by a cycle.
        """
        chosen = []
        for h in self.halves:
            above = q[2 * h :].any() if 2 * h < len(q) else C(0, 1)
            chosen.append(held(m, q[2 * h - 2 : 2 * h].any() & ~above))
        words = [
            q[2 * h - INDEX_BITS : 2 * h] if 2 * h >= INDEX_BITS
            else q[: 2 * h] << INDEX_BITS - 2 * h
            for h in self.halves
        ]  # fmt: skip
        address = C(0, INDEX_BITS)
        amount = C(0, 1)
        for k, (one, word) in enumerate(zip(chosen, words, strict=True)):
            address = address | Mux(one, word, 0)
            amount = amount | Mux(one, k, 0)
        m.d.comb += self.table.addr.eq(address)
        return held(m, amount)

    def _normalized(self, m: Module, product: Value, amount: Signal) -> Value:
        """``(product + half) >> (15 + h - F)``, two cycles."""
        base = ROOT_BITS + self.halves.start - self.op.fraction
        # ((2v >> s) + 1) >> 1 equals (v + half) >> s for every s >= 0.
        doubled = (product << 1) >> base
        coarse = held(m, doubled >> Cat(C(0, 2), amount[2:]))
        fine = held(m, ((coarse >> amount[:2]) + 1) >> 1)
        return fine[: self.widths.t.width].as_signed()
