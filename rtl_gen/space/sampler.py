"""Token drawn from logits that are all there at once; its noise is made while the network works."""

from __future__ import annotations

from typing import Any

from amaranth import C, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.pipeline import delay, register
from rtl_gen.ir.types import IntType
from rtl_gen.space.arithmetic import held, numbers

RNG_BITS = 32
WORD_BITS = 16
NOISE_BITS = 16
NOISE_DEPTH = 1024

LEVELS = 2
"""Comparisons between registers."""


class SpaceSampler(wiring.Component):
    """Index of the largest score; golden model `rtl_gen.golden.sample`.

    A drawing step needs `vocabulary` + 5 cycles from `restart` for its noise, and `latency` from
    the later of that and `start`.

    Parameters
    ----------
    logits : IntType
    vocabulary : int
    shift : int
        Left shift of the noise.

    Members
    -------
    load, seed, beta : In
        Random state and inverse temperature (0 is greedy), taken while `load` is high.
    restart, draws : In
        Pulse at the start of a step, and whether it draws a token.
    start : In(1)
        Pulse in the cycle in which `i` arrives.
    i : In
        Logits, token 0 in the low bits.
    done : Out(1)
        Pulse in the cycle in which `token` arrives; of every step.
    token : Out
    """

    def __init__(self, logits: IntType, vocabulary: int, shift: int) -> None:
        self.logits = logits
        self.vocabulary = vocabulary
        self.shift = shift
        self.table = rom.Rom("gumbel", NOISE_DEPTH, NOISE_BITS)
        self.latency = 2 + -(-(vocabulary - 1).bit_length() // LEVELS)
        super().__init__(
            {
                "load": In(1),
                "seed": In(RNG_BITS),
                "beta": In(16),
                "restart": In(1),
                "draws": In(1),
                "start": In(1),
                "i": In(vocabulary * logits.width),
                "done": Out(1),
                "token": Out(16),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the random generator, the scores and the tree of comparisons."""
        m = Module()
        m.submodules.table = self.table
        on = Const(1)
        beta = register(m, self.load, self.beta)
        greedy = held(m, beta == 0)
        factor = held(m, Cat(Mux(greedy, 1, beta), C(0, 1)).as_signed())
        noises, filled = self._noises(m, greedy)
        waiting, go = Signal(), Signal()
        m.d.comb += go.eq((self.start | waiting) & filled)
        with m.If(go):
            m.d.sync += waiting.eq(0)
        with m.Elif(self.start):
            m.d.sync += waiting.eq(1)

        candidates: list[tuple[Value, Value]] = []
        for k, (logit, noise) in enumerate(
            zip(numbers(self.i, self.logits, self.vocabulary), noises, strict=True)
        ):
            drawn = held(m, Mux(greedy, 0, noise).as_signed())
            score = held(m, held(m, logit * factor) + (drawn << self.shift))
            candidates.append((score, C(k, 16)))
        level = 0
        while len(candidates) > 1:
            level += 1
            pairs = zip(candidates[::2], candidates[1::2], strict=False)
            rest = candidates[len(candidates) & ~1 :]
            candidates = [_larger(a, b) for a, b in pairs] + rest
            if level % LEVELS == 0 or len(candidates) == 1:
                candidates = [(held(m, score), held(m, token)) for score, token in candidates]
        m.d.comb += [
            self.token.eq(candidates[0][1]),
            self.done.eq(delay(m, on, go, self.latency, reset=True)),
        ]
        return m

    def _noises(self, m: Module, greedy: Value) -> tuple[list[Value], Value]:
        """A word of noise for every logit, and whether all are there."""
        on = Const(1)
        rng = Signal(RNG_BITS, init=1)
        left = Signal(range(self.vocabulary + 1))
        making = Signal()
        m.d.comb += making.eq(left != 0)
        state: Value = rng
        for step in (13, -17, 5):
            moved = (state << step)[:RNG_BITS] if step > 0 else state >> -step
            state = state ^ moved
        with m.If(self.load):
            m.d.sync += rng.eq(self.seed)
        with m.Elif(making):
            m.d.sync += rng.eq(state)
        word = held(m, state[RNG_BITS - WORD_BITS :])
        m.d.comb += self.table.addr.eq(_bin(m, word))
        arriving = delay(m, on, making, 2 + rom.LATENCY, reset=True)
        filled = Signal()
        ends = making & (left == 1)
        with m.If(self.restart):
            m.d.sync += left.eq(Mux(self.draws & ~greedy, self.vocabulary, 0))
            m.d.sync += filled.eq(~(self.draws & ~greedy))
        with m.Elif(making):
            m.d.sync += left.eq(left - 1)
        with m.If(delay(m, on, ends, 2 + rom.LATENCY, reset=True)):
            m.d.sync += filled.eq(1)
        noises = [Signal(NOISE_BITS, name=f"noise{k}", reset_less=True)
                  for k in range(self.vocabulary)]  # fmt: skip
        with m.If(arriving):
            for here, after in zip(noises, [*noises[1:], self.table.data], strict=True):
                m.d.sync += here.eq(after)
        return [noise.as_signed() for noise in noises], filled


def _bin(m: Module, word: Value) -> Signal:
    """Bin of the noise table of a random word: its leading zeros, then six bits."""
    address = Signal(10, reset_less=True)
    m.d.sync += address.eq(Cat(C(0, 6), C(15, 4)))
    for zeros in reversed(range(WORD_BITS)):
        with m.If(word[WORD_BITS - 1 - zeros :] == 1):
            mantissa = (word << (zeros + 1))[10:16]
            m.d.sync += address.eq(Cat(mantissa, C(zeros, 4)))
    return address


def _larger(a: tuple[Value, Value], b: tuple[Value, Value]) -> tuple[Value, Value]:
    """The candidate with the larger score, the first of equal ones."""
    later = b[0] > a[0]
    score = Mux(later, b[0], a[0])
    return (score.as_signed(), Mux(later, b[1], a[1]))
