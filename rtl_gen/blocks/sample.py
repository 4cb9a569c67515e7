"""Greedy or Gumbel-max choice of a token."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import xor
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import beat, split
from rtl_gen.fabric.pipeline import delay, multiply, register

NOISE_BITS = 16
NOISE_DEPTH = 1024
MAX_SHIFT = 24
RNG_BITS = 32


def _advance(rng: int) -> int:
    """One step of the generator; linear over the state's bits."""
    a = (rng ^ rng << 13) & ((1 << RNG_BITS) - 1)
    b = a ^ a >> 17
    return (b ^ b << 5) & ((1 << RNG_BITS) - 1)


def _linear(rng: Signal, function: Callable[[int], int]) -> Value:
    """A linear function of the state as one exclusive or of state bits per result bit."""
    images = [function(1 << i) for i in range(RNG_BITS)]
    return Cat(
        *(
            reduce(xor, [rng[i] for i in range(RNG_BITS) if images[i] >> j & 1])
            for j in range(RNG_BITS)
        )
    )


class Sample(wiring.Component):
    """Index of the largest score of a vector of logits; golden model `rtl_gen.golden.sample`.

    Latency 7 cycles after the last logit, one more per doubling of `elements`; throughput 1 beat
    per cycle.

    Parameters
    ----------
    width : int
        Signed width of a logit.
    vocabulary : int
        Number of logits.
    elements : int
        Logits of a beat; divides `vocabulary`.

    Members
    -------
    i : stream of beats of signed(width)
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

    def __init__(
        self, *, width: int, vocabulary: int, elements: int = 1, name: str = "gumbel"
    ) -> None:
        self.vocabulary = vocabulary
        self.elements = elements
        self.noises = rom.copies(name, NOISE_DEPTH, NOISE_BITS, elements)
        super().__init__(
            {
                "i": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(16)),
                "start": In(1),
                "beta": In(16),
                "shift": In(range(MAX_SHIFT + 1)),
                "seed": In(RNG_BITS),
                "load": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the random generator, the scores and the running maximum."""
        m = Module()
        on = Const(1)
        greedy = self.beta == 0
        count = Signal(range(self.vocabulary // self.elements + 1))
        taken = self.i.valid & self.i.ready
        m.d.comb += self.i.ready.eq(count != 0)

        rng = Signal(RNG_BITS, init=1)
        states = self._states(m, rng)
        with m.If(self.load):
            m.d.sync += rng.eq(self.seed)
        with m.Elif(taken & ~greedy):
            m.d.sync += rng.eq(states[-1])

        # A candidate per element: whether it beats those before it, its score, its place.
        candidates: list[tuple[Value, Value]] = []
        for k, memory in enumerate(self.noises):
            m.submodules[f"noise{k}"] = memory
        logits, noises = split(self.i.payload, self.elements), rom.readers(self.noises)
        for k, (logit, state, noise) in enumerate(zip(logits, states, noises, strict=True)):
            candidates.append((self._score(m, logit, state, noise, greedy), Const(k, 16)))
        latency = 5
        while len(candidates) > 1:
            candidates = [
                self._better(m, a, b)
                for a, b in zip(candidates[::2], candidates[1::2], strict=True)
            ]
            latency += 1

        # Running maximum; the earliest of equal scores stays.
        valid = delay(m, on, taken, latency, reset=True)
        score, place = candidates[0]
        first = Signal()
        index = Signal(range(max(2, self.vocabulary)))
        best = Signal.like(score, reset_less=True)
        token = Signal(16, reset_less=True)
        with m.If(valid):
            m.d.sync += [index.eq(index + self.elements), first.eq(0)]
            with m.If(first | (score > best)):
                m.d.sync += [best.eq(score), token.eq(index | place)]
        finished = delay(m, on, taken & (count == 1), latency + 1, reset=True)
        with m.If(self.start):
            m.d.sync += [count.eq(self.vocabulary // self.elements), index.eq(0), first.eq(1)]
        with m.Elif(taken):
            m.d.sync += count.eq(count - 1)
        with m.If(finished):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        m.d.comb += self.o.payload.eq(token)
        return m

    def _states(self, m: Module, rng: Signal) -> list[Signal]:
        """The generator's states for the elements of a beat."""
        states = []
        for k in range(self.elements):
            state = Signal(RNG_BITS, name=f"state{k}")

            def steps(value: int, count: int = k + 1) -> int:
                for _ in range(count):
                    value = _advance(value)
                return value

            m.d.comb += state.eq(_linear(rng, steps))
            states.append(state)
        return states

    def _score(self, m: Module, logit: Value, state: Signal, noise: Any, greedy: Value) -> Signal:
        """Scaled logit plus shifted noise, 5 cycles."""
        on = Const(1)
        # Bin of the noise table: leading zeros, then six bits.
        w = state[16:]
        bin_address = Signal(10, reset_less=True)
        m.d.sync += bin_address.eq(Cat(Const(0, 6), Const(15, 4)))
        for zeros in reversed(range(16)):
            with m.If(w[15 - zeros :] == 1):
                mantissa = (w << (zeros + 1))[10:16]
                m.d.sync += bin_address.eq(Cat(mantissa, Const(zeros, 4)))
        m.d.comb += noise.addr.eq(bin_address)

        # Three cycles for the noise, meanwhile the logit is scaled.
        scaled = multiply(m, on, delay(m, on, logit, 1), Mux(greedy, 1, self.beta))
        drawn = Mux(greedy, 0, noise.data).as_signed()
        shifted = Signal(signed(NOISE_BITS + MAX_SHIFT), reset_less=True)
        score = Signal(signed(max(len(scaled), len(shifted)) + 1), reset_less=True)
        m.d.sync += shifted.eq(drawn << self.shift)
        m.d.sync += score.eq(delay(m, on, scaled, 1) + shifted)
        return score

    def _better(
        self, m: Module, a: tuple[Value, Value], b: tuple[Value, Value]
    ) -> tuple[Value, Value]:
        """The larger of two candidates, the first if they are equal."""
        on = Const(1)
        later = b[0] > a[0]
        return (
            register(m, on, Mux(later, b[0], a[0])),
            register(m, on, Mux(later, b[1], a[1])),
        )
