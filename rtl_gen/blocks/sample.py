"""Greedy or Gumbel-max choice of a token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import beat, split
from rtl_gen.fabric.largest import Largest
from rtl_gen.fabric.pipeline import delay, multiply, register
from rtl_gen.fabric.skid import Skid

NOISE_BITS = 16
NOISE_DEPTH = 1024
MAX_SHIFT = 24
RNG_BITS = 32
WORD_BITS = 16
"""Random bits of one draw."""

TOP_K_BITS = 8
SCORE_CYCLES = 5
"""From a logit to its score."""


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


@dataclass(frozen=True, slots=True)
class _Draw:
    """A logit and its random word."""

    logit: Value
    word: Value


@dataclass(frozen=True, slots=True)
class _Picked:
    """The largest logits, smallest first: one while `popping`, of which `counts` takes part."""

    popping: Value
    counts: Value
    last: Value
    draw: _Draw
    token: Value


class Sample(wiring.Component):
    """Index of the largest score of a vector of logits; golden model `rtl_gen.golden.sample`.

    Latency 7 cycles after the last logit, one more per doubling of `elements`; throughput 1 beat
    per cycle. With `places` one cycle more. While `top_k` counts, a beat takes a cycle for each of
    its logits that may be among the largest so far, and the latency is `places` + 9 cycles.

    Parameters
    ----------
    width : int
        Signed width of a logit.
    vocabulary : int
        Number of logits.
    elements : int
        Logits of a beat; what the last one has beyond `vocabulary` is ignored.
    places : int
        Largest `top_k`; 0 leaves the choice among the largest logits out of the hardware.

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
    top_k : In(8)
        Only if there are `places`: how many of the largest logits take part, 0 for all; more than
        `places` counts as `places`.
    shift : In
        Left shift of the noise.
    seed, load : In
        Random state taken while `load` is high.
    """

    def __init__(
        self, *, width: int, vocabulary: int, elements: int = 1, places: int = 0,
        name: str = "gumbel",
    ) -> None:  # fmt: skip
        self.width = width
        self.vocabulary = vocabulary
        self.elements = elements
        self.beats = -(-vocabulary // elements)
        self.last_logits = vocabulary - (self.beats - 1) * elements
        self.places = places
        self.noises = rom.copies(name, NOISE_DEPTH, NOISE_BITS, elements)
        if places:
            self.token_bits = max(1, (vocabulary - 1).bit_length())
            self.largest = Largest(places, width, WORD_BITS + self.token_bits)
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
            | ({"top_k": In(TOP_K_BITS)} if places else {})
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the random generator, the scores and the running maximum."""
        m = Module()
        on = Const(1)
        # They change between sequences only.
        greedy = register(m, on, self.beta == 0)
        factor = register(m, on, Mux(self.beta == 0, 1, self.beta))
        count = Signal(range(self.beats + 1))
        beats: Any = self.i
        if self.places:
            # Whether a beat leaves depends on its logits; the buffer keeps that off `i.ready`.
            beats = self._buffered(m)
        taken = beats.valid & beats.ready

        rng = Signal(RNG_BITS, init=1)
        states = self._states(m, rng)
        with m.If(self.load):
            m.d.sync += rng.eq(self.seed)
        with m.Elif(taken & ~greedy):
            m.d.sync += rng.eq(Mux(count == 1, states[self.last_logits - 1], states[-1]))
        logits = split(beats.payload, self.elements)
        draws = [
            _Draw(logit, state[-WORD_BITS:]) for logit, state in zip(logits, states, strict=True)
        ]

        m.d.comb += beats.ready.eq(count != 0)
        ends, all_take_part = taken & (count == 1), Const(1)
        if self.places:
            select = self.top_k.any() & ~greedy
            offered = beats.valid & (count != 0)
            present = [Const(1) if k < self.last_logits else count != 1
                       for k in range(self.elements)]  # fmt: skip
            picked = self._select(m, draws, present, offered, select, beats.ready, ends)
            draws[0] = _Draw(
                Mux(picked.popping, picked.draw.logit, draws[0].logit),
                Mux(picked.popping, picked.draw.word, draws[0].word),
            )
            all_take_part = ~select

        # A candidate per element: its score, its place; of two the larger, the first if equal.
        for k, memory in enumerate(self.noises):
            m.submodules[f"noise{k}"] = memory
        candidates: list[tuple[Value, Value]] = [
            (self._offered(m, k, count, self._score(m, draw, noise, greedy, factor)), Const(k, 16))
            for k, (draw, noise) in enumerate(zip(draws, rom.readers(self.noises), strict=True))
        ]
        first_score = candidates[0][0]
        latency = SCORE_CYCLES
        while len(candidates) > 1:
            candidates = [
                self._better(m, a, b)
                for a, b in zip(candidates[::2], candidates[1::2], strict=True)
            ]
            latency += 1

        # Running maximum; the earliest of equal scores stays.
        valid = delay(m, on, taken & all_take_part, latency, reset=True)
        finished = delay(m, on, ends & all_take_part, latency + 1, reset=True)
        score, place = candidates[0]
        first = Signal()
        index = Signal(range(max(2, self.vocabulary)))
        best = Signal.like(score, reset_less=True)
        token = Signal(16, reset_less=True)
        found: Value = index | place
        better = score > best
        with m.If(valid):
            m.d.sync += index.eq(index + self.elements)
        if self.places:
            # Entries come in the order of their logits, so equal scores are told apart by token.
            alone = delay(m, on, picked.popping & picked.counts, SCORE_CYCLES, reset=True)
            alone_token = delay(m, on, picked.token, SCORE_CYCLES)
            score, found = Mux(alone, first_score, score), Mux(alone, alone_token, found)
            better = (score > best) | (alone & (score == best) & (alone_token < token))
            valid = valid | alone
            finished = finished | delay(m, on, picked.last, SCORE_CYCLES + 1, reset=True)
        with m.If(valid):
            m.d.sync += first.eq(0)
            with m.If(first | better):
                m.d.sync += [best.eq(score), token.eq(found)]
        with m.If(self.start):
            m.d.sync += [count.eq(self.beats), index.eq(0), first.eq(1)]
        with m.Elif(taken):
            m.d.sync += count.eq(count - 1)
        with m.If(finished):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        m.d.comb += self.o.payload.eq(token)
        return m

    def _buffered(self, m: Module) -> Any:
        """The input behind a buffer."""
        skid = m.submodules.skid = Skid(self.width, self.elements)
        wiring.connect(m, wiring.flipped(self.i), skid.i)
        return skid.o

    def _select(
        self,
        m: Module,
        draws: list[_Draw],
        present: list[Value],
        offered: Value,
        select: Value,
        ready: Value,
        ends: Value,
    ) -> _Picked:
        """Keep the largest logits with their random words, then give them one by one.

        While a beat has more than one logit that may be among the largest it stays: `ready` is
        low, one of them is entered a cycle.
        """
        on = Const(1)
        token_bits = self.token_bits
        largest = m.submodules.largest = self.largest
        arrived, gone = Signal(token_bits), Signal(self.elements)
        # The last place is one entry behind; it only grows, so at worst an entry too many is tried.
        wanted = Signal(self.elements)
        m.d.comb += wanted.eq(
            Cat(
                offered & select & ~gone[k] & (draw.logit > largest.last_key) & present[k]
                for k, draw in enumerate(draws)
            )
        )
        lowest = Signal(self.elements)
        m.d.comb += lowest.eq(wanted & -wanted)
        with m.If(wanted != lowest):
            m.d.comb += ready.eq(0)
            m.d.sync += gone.eq(gone | lowest)
        with m.Elif(offered):
            m.d.sync += [gone.eq(0), arrived.eq(arrived + self.elements)]
        with m.If(self.start):
            m.d.sync += arrived.eq(0)
        entry = Signal(self.width + WORD_BITS + token_bits)
        for k, draw in enumerate(draws):
            with m.If(lowest[k]):
                token = (arrived | k)[:token_bits]
                m.d.comb += entry.eq(Cat(draw.logit, draw.word, token))
        pops = Signal(range(self.places + 1))
        m.d.comb += [
            largest.clear.eq(self.start),
            largest.insert.eq(register(m, on, wanted.any(), reset=True)),
            Cat(largest.key, largest.rest).eq(register(m, on, entry)),
            largest.pop.eq(pops != 0),
        ]
        # The last entry is in its place two cycles after its beat has left.
        with m.If(register(m, on, ends & select, reset=True)):
            m.d.sync += pops.eq(self.places)
        with m.Elif(largest.pop):
            m.d.sync += pops.eq(pops - 1)
        return _Picked(
            popping=largest.pop,
            counts=largest.held & (pops <= self.top_k),
            last=pops == 1,
            draw=_Draw(largest.last_key[:-1].as_signed(), largest.last_rest[:WORD_BITS]),
            token=largest.last_rest[WORD_BITS:],
        )

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

    def _score(self, m: Module, draw: _Draw, noise: Any, greedy: Value, factor: Value) -> Signal:
        """Scaled logit plus shifted noise, `SCORE_CYCLES`."""
        on = Const(1)
        # Bin of the noise table: leading zeros, then six bits.
        w = draw.word
        bin_address = Signal(10, reset_less=True)
        m.d.sync += bin_address.eq(Cat(Const(0, 6), Const(15, 4)))
        for zeros in reversed(range(16)):
            with m.If(w[15 - zeros :] == 1):
                mantissa = (w << (zeros + 1))[10:16]
                m.d.sync += bin_address.eq(Cat(mantissa, Const(zeros, 4)))
        m.d.comb += noise.addr.eq(bin_address)

        # Three cycles for the noise, meanwhile the logit is scaled.
        scaled = multiply(m, on, delay(m, on, draw.logit, 1), factor)
        drawn = Mux(greedy, 0, noise.data).as_signed()
        shifted = Signal(signed(NOISE_BITS + MAX_SHIFT), reset_less=True)
        score = Signal(signed(max(len(scaled), len(shifted)) + 1), reset_less=True)
        m.d.sync += shifted.eq(drawn << self.shift)
        m.d.sync += score.eq(delay(m, on, scaled, 1) + shifted)
        return score

    def _offered(self, m: Module, k: int, count: Signal, score: Signal) -> Value:
        """The score of element `k`, least of all where the last beat has no such element."""
        if k < self.last_logits:
            return score
        absent = delay(m, Const(1), count == 1, SCORE_CYCLES)
        least = Const(-1 << len(score), signed(len(score) + 1))
        return Mux(absent, least, score)

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
