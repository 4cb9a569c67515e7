"""Greedy or Gumbel-max choice of a token."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.pipeline import delay, multiply

NOISE_BITS = 16
NOISE_DEPTH = 1024
MAX_SHIFT = 24


class Sample(wiring.Component):
    """Index of the largest score of a vector of logits; golden model `rtl_gen.golden.sample`.

    Latency 7 cycles after the last logit, throughput 1 logit per cycle.

    Parameters
    ----------
    width : int
        Signed width of a logit.
    vocabulary : int
        Number of logits.

    Members
    -------
    i : stream of signed(width)
        Logits, token 0 first.
    o : stream of unsigned(16)
        The token.
    start : In(1)
        Pulse before the first logit.
    beta : In(16)
        Inverse temperature, 0 for greedy.
    shift : In
        Left shift of the noise.
    seed, load : In
        Random state taken while `load` is high.
    """

    def __init__(self, *, width: int, vocabulary: int, name: str = "gumbel") -> None:
        self.vocabulary = vocabulary
        self.noise = rom.Rom(name, NOISE_DEPTH, NOISE_BITS)
        super().__init__(
            {
                "i": In(stream.Signature(signed(width))),
                "o": Out(stream.Signature(16)),
                "start": In(1),
                "beta": In(16),
                "shift": In(range(MAX_SHIFT + 1)),
                "seed": In(32),
                "load": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the random generator, the scores and the running maximum."""
        m = Module()
        m.submodules.noise = self.noise
        on = Const(1)
        greedy = self.beta == 0
        count = Signal(range(self.vocabulary + 1))
        taken = self.i.valid & self.i.ready
        m.d.comb += self.i.ready.eq(count != 0)

        rng = Signal(32, init=1)
        a, b, following = Signal(32), Signal(32), Signal(32)
        m.d.comb += [a.eq(rng ^ rng << 13), b.eq(a ^ a >> 17), following.eq(b ^ b << 5)]
        with m.If(self.load):
            m.d.sync += rng.eq(self.seed)
        with m.Elif(taken & ~greedy):
            m.d.sync += rng.eq(following)

        # Bin of the noise table: leading zeros, then six bits.
        w = following[16:]
        bin_address = Signal(10, reset_less=True)
        m.d.sync += bin_address.eq(Cat(Const(0, 6), Const(15, 4)))
        for zeros in reversed(range(16)):
            with m.If(w[15 - zeros :] == 1):
                mantissa = (w << (zeros + 1))[10:16]
                m.d.sync += bin_address.eq(Cat(mantissa, Const(zeros, 4)))
        m.d.comb += self.noise.addr.eq(bin_address)

        # Scores: three cycles for the noise, meanwhile the logit is scaled.
        logit = delay(m, on, self.i.payload, 1)
        scaled = multiply(m, on, logit, Mux(greedy, 1, self.beta))
        noise = Mux(greedy, 0, self.noise.data).as_signed()
        shifted = Signal(signed(NOISE_BITS + MAX_SHIFT), reset_less=True)
        score = Signal(signed(max(len(scaled), len(shifted)) + 1), reset_less=True)
        m.d.sync += shifted.eq(noise << self.shift)
        m.d.sync += score.eq(delay(m, on, scaled, 1) + shifted)

        # Running maximum; the earliest of equal scores stays.
        valid = delay(m, on, taken, 5, reset=True)
        index = Signal(range(max(2, self.vocabulary)))
        best = Signal.like(score, reset_less=True)
        token = Signal(16, reset_less=True)
        with m.If(valid):
            m.d.sync += index.eq(index + 1)
            with m.If((index == 0) | (score > best)):
                m.d.sync += [best.eq(score), token.eq(index)]
        finished = delay(m, on, taken & (count == 1), 6, reset=True)
        with m.If(self.start):
            m.d.sync += [count.eq(self.vocabulary), index.eq(0)]
        with m.Elif(taken):
            m.d.sync += count.eq(count - 1)
        with m.If(finished):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        m.d.comb += self.o.payload.eq(token)
        return m
