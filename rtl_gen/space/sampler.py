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
    sharing : int
        Logits that are scored one after another by the same multiplier.

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

    def __init__(self, logits: IntType, vocabulary: int, shift: int, sharing: int = 1) -> None:
        self.logits = logits
        self.vocabulary = vocabulary
        self.shift = shift
        self.table = rom.Rom("gumbel", NOISE_DEPTH, NOISE_BITS)
        self.turns = min(sharing, vocabulary)
        shares = -(-vocabulary // self.turns)
        self.latency = 2 + (shares - 1).bit_length()
        if self.turns > 1:
            self.latency += self.turns + 1
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

        logits = numbers(self.i, self.logits, self.vocabulary)
        if self.turns == 1:
            scores = [self._score(m, *pair, factor, greedy)
                      for pair in zip(logits, noises, strict=True)]  # fmt: skip
            candidates = [(score, C(k, 16)) for k, score in enumerate(scores)]
        else:
            candidates = self._best_of_shares(m, logits, noises, factor, greedy, go)
        while len(candidates) > 1:
            pairs = zip(candidates[::2], candidates[1::2], strict=False)
            rest = candidates[len(candidates) & ~1 :]
            candidates = [
                (held(m, score), held(m, token))
                for score, token in [*(_larger(a, b) for a, b in pairs), *rest]
            ]
        m.d.comb += [
            self.token.eq(candidates[0][1]),
            self.done.eq(delay(m, on, go, self.latency, reset=True)),
        ]
        return m

    def _score(self, m: Module, logit: Value, noise: Value, factor: Value, greedy: Value) -> Signal:
        drawn = held(m, Mux(greedy, 0, noise).as_signed())
        return held(m, held(m, logit * factor) + (drawn << self.shift))

    def _best_of_shares(
        self, m: Module, logits: list[Value], noises: list[Value], factor: Value, greedy: Value,
        go: Value,
    ) -> list[tuple[Value, Value]]:  # fmt: skip
        """The best of every `turns` logits that lie side by side."""
        on = Const(1)
        turn = Signal(range(self.turns))
        with m.If(go | (turn != 0)):
            m.d.sync += turn.eq(Mux(turn == self.turns - 1, 0, turn + 1))
        scored = [delay(m, on, (go if k == 0 else turn == k), 3, reset=True)
                  for k in range(self.turns)]  # fmt: skip
        found = []
        for low in range(0, self.vocabulary, self.turns):
            count = min(self.turns, self.vocabulary - low)
            logit, noise = (
                held(m, _chosen(values[low : low + count], turn)) for values in (logits, noises)
            )
            score = self._score(m, logit, noise, factor, greedy)
            best = Signal(score.shape(), reset_less=True)
            token = Signal(16, reset_less=True)
            for k in range(count):
                better = scored[k] & (C(1, 1) if k == 0 else score > best)
                with m.If(better):
                    m.d.sync += [best.eq(score), token.eq(low + k)]
            found.append((best, token))
        return found

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


def _chosen(values: list[Value], turn: Value) -> Value:
    """The value whose turn it is; any of them where it is none's."""
    width = len(values[0])
    chosen = Cat(*values).word_select(turn, width) if len(values) > 1 else values[0]
    return chosen.as_signed() if values[0].shape().signed else chosen


def _larger(a: tuple[Value, Value], b: tuple[Value, Value]) -> tuple[Value, Value]:
    """The candidate with the larger score, the first of equal ones."""
    later = b[0] > a[0]
    score = Mux(later, b[0], a[0])
    return (score.as_signed(), Mux(later, b[1], a[1]))
