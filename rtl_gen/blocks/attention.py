"""Causal attention over an on-chip KV cache."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.errors import UnsupportedError
from rtl_gen.fabric import rom
from rtl_gen.fabric.attention_head import (
    CACHE_LATENCY,
    PROBABILITY_BITS,
    WEIGHT_LATENCY,
    AttentionHead,
)
from rtl_gen.fabric.beat import beat, cut, split
from rtl_gen.fabric.pipeline import MULTIPLY, ROUND_SHIFT, delay, multiply, register, round_shift
from rtl_gen.fabric.queue import Queue
from rtl_gen.fabric.ram import Ram
from rtl_gen.fabric.sliced_ram import SlicedRam
from rtl_gen.ir.tables import EXP2_FRACTION_BITS, INDEX_BITS

SLICE_BITS = 32
"""Bits of a cache word written at once, at least: fewer would fill a block RAM badly."""


class Attention(wiring.Component):
    """Attention of all heads of one layer; golden model `rtl_gen.golden.attention`.

    Keys and values arrive beat by beat on `k` and `v`. A cache word holds, for one position, the
    head vectors that are read at once; it is written in slices. Queries arrive on `q`; `parallel`
    heads read one position per cycle, once for the scores and once for the weighted sum.

    Cycles per `parallel` heads: ``2 * parallel * head_dim / elements + 2 * (position + 1) + 34``
    about.

    Parameters
    ----------
    heads, kv_heads, head_dim, context, layers : int
        Shape of the attention; `layers` caches of `context` positions.
    width : int
        Signed width of the streams.
    element_bits : int
        Signed width of q, k and v, which use the low bits of their streams.
    elements : int
        Elements of a beat; divides `head_dim`.
    parallel : int
        Heads computed at once; see `cache_heads`.
    windowed : bool
        Layers may see only some positions, see `reach`.
    sinks : int
        Words of the ROM ``attention_sink``, 0 without: a word holds the scores that the heads
        computed at once take into their softmax without a value.

    Members
    -------
    q, k, v : In streams of beats of signed(width)
    o : Out stream of beats of signed(width)
    start : In(1)
        Pulse before the first query; scores begin when `go` is high too.
    go : In(1)
        Keys and values of this position are in.
    store, store_base : In
        Pulse before the first key or value; first cache word of its layer.
    position, cache_base : In
        Current position; first cache word of the layer, see `layer_words`.
    scoring, waiting : Out(1)
        Queries arrive or positions are scored; the last score, or the last sum and its divisor,
        are on their way.
    reach : In
        Only if windowed: positions before its own that a query sees at most; stable as the next.
    sink_base : In
        Only with sinks: first word of the layer; stable as the next.
    score_multiplier, score_shift, shift, low, high : In
        As in ``docs/ir.md``; stable from `start` on.

    Raises
    ------
    UnsupportedError
        If `parallel` heads do not share whole cache words.
    """

    def __init__(
        self, *, heads: int, kv_heads: int, head_dim: int, context: int, layers: int, width: int,
        element_bits: int = 8, elements: int = 1, parallel: int = 1, windowed: bool = False,
        sinks: int = 0, name: str = "attention",
    ) -> None:  # fmt: skip
        self.heads = heads
        self.group = heads // kv_heads
        self.head_dim = head_dim
        self.context = context
        self.element_bits = element_bits
        self.elements = elements
        self.parallel = parallel
        self.beats = head_dim // elements
        self.together = cache_heads(heads, kv_heads, parallel)
        self.word_bits = self.together * head_dim * element_bits
        words = self.together * self.beats
        self.slice_beats = slice_beats(words, elements * element_bits)
        self.slices = words // self.slice_beats
        self.words = layers * layer_words(heads, kv_heads, parallel, context)
        self.queue = Queue(width, elements)
        self.reciprocal = rom.Rom("reciprocal", 1 << INDEX_BITS, 16)
        self.exp2 = rom.copies("exp2", 1 << EXP2_FRACTION_BITS, PROBABILITY_BITS, parallel)
        self.units = [
            AttentionHead(
                head_dim=head_dim, context=context, element_bits=element_bits,
                elements=elements, sinks=sinks > 0,
            )
            for _ in range(parallel)
        ]  # fmt: skip
        self.scores = Ram(context, parallel * self.units[0].score_bits)
        self.windowed = windowed
        self.sinks = None
        if sinks:
            self.sinks = rom.Rom(f"{name}_sink", sinks, parallel * self.units[0].score_bits)
        super().__init__(
            {
                "q": In(stream.Signature(beat(width, elements))),
                "k": In(stream.Signature(beat(width, elements))),
                "v": In(stream.Signature(beat(width, elements))),
                "o": Out(stream.Signature(beat(width, elements))),
                "start": In(1),
                "go": In(1),
                "store": In(1),
                "store_base": In(range(max(2, self.words))),
                "position": In(range(max(2, context))),
                "cache_base": In(range(max(2, self.words))),
                "scoring": Out(1),
                "waiting": Out(1),
                "score_multiplier": In(16),
                "score_shift": In(6),
                "shift": In(6),
                "low": In(signed(width)),
                "high": In(signed(width)),
            }
            | ({"reach": In(range(max(2, context)))} if windowed else {})
            | ({"sink_base": In(range(max(2, sinks)))} if sinks else {})
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the caches, the heads and the controller."""
        m = Module()
        m.submodules.reciprocal = self.reciprocal
        for j, memory in enumerate(self.exp2):
            m.submodules[f"exp2_{j}"] = memory
        for j, (unit, table) in enumerate(zip(self.units, rom.readers(self.exp2), strict=True)):
            m.submodules[f"head{j}"] = unit
            m.d.comb += [table.addr.eq(unit.exp2_addr), unit.exp2_data.eq(table.data)]
        scores = m.submodules.scores = self.scores
        first = self.units[0]
        m.d.comb += [
            scores.write.eq(first.score_write),
            scores.write_addr.eq(first.written),
            scores.write_data.eq(Cat(*(unit.score for unit in self.units))),
        ]
        for j, unit in enumerate(self.units):
            m.d.comb += unit.scored_word.eq(scores.data.word_select(j, first.score_bits))
        k_word = self._cache(m, "k", self.k)
        v_word = self._cache(m, "v", self.v)

        # Controller: collect queries, score every position, weigh every position, emit.
        rounds = self.heads // self.parallel
        rounds_per_word = max(1, self.group // self.parallel)
        number = Signal(range(rounds))
        in_word = Signal(range(rounds_per_word))
        element = Signal(range(self.beats))
        receiver = Signal(self.parallel, init=1)
        index = Signal.like(self.position)
        base = Signal.like(self.cache_base)
        issue, weigh, out_phase, load, clear = (Signal() for _ in range(5))
        divided, emitted = Signal(), Signal()
        of_sink = Signal()
        count, first = self._seen(m, base)
        last_index = index == count
        with m.FSM(name="attention"):
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [base.eq(self.cache_base), number.eq(0), in_word.eq(0)]
                m.d.sync += [element.eq(0), receiver.eq(1)]
                m.next = "QUERY"
            with m.State("QUERY"):
                m.d.comb += [self.q.ready.eq(1), clear.eq(1), load.eq(self.q.valid)]
                m.d.comb += self.scoring.eq(load)
                m.d.sync += index.eq(0)
                with m.If(load):
                    m.d.sync += element.eq(element + 1)
                    with m.If(element == self.beats - 1):
                        m.d.sync += [element.eq(0), receiver.eq(receiver << 1)]
                        with m.If(receiver[-1]):
                            m.d.sync += receiver.eq(1)
                            m.next = "READY"
            with m.State("READY"), m.If(self.go):
                m.next = "SCORE" if self.sinks is None else "SINK"
            if self.sinks is not None:
                with m.State("SINK"):  # its score is out of the ROM: the first maximum
                    m.d.comb += clear.eq(1)
                    m.next = "SCORE"
                with m.State("WEIGH SINK"):
                    m.d.comb += [weigh.eq(1), of_sink.eq(1)]
                    m.next = "WEIGH"
            with m.State("SCORE"):
                m.d.comb += [issue.eq(1), self.scoring.eq(1)]
                m.d.sync += index.eq(index + 1)
                with m.If(last_index):
                    m.next = "SCORED"
            with m.State("SCORED"):
                m.d.comb += self.waiting.eq(1)
                m.d.sync += index.eq(0)
                with m.If(self.units[0].scored):
                    m.next = "WEIGH" if self.sinks is None else "WEIGH SINK"
            with m.State("WEIGH"):
                m.d.comb += weigh.eq(1)
                m.d.sync += index.eq(index + 1)
                with m.If(last_index):
                    m.next = "WEIGHED"
            with m.State("WEIGHED"):
                m.d.comb += self.waiting.eq(1)
                with m.If(divided):
                    m.next = "EMIT"
            with m.State("EMIT"):
                m.d.comb += out_phase.eq(1)
                with m.If(emitted):
                    m.d.sync += number.eq(number + 1)
                    with m.If(in_word == rounds_per_word - 1):
                        m.d.sync += [in_word.eq(0), base.eq(base + self.context)]
                    with m.Else():
                        m.d.sync += in_word.eq(in_word + 1)
                    m.next = "QUERY"
                    with m.If(number == rounds - 1):
                        m.next = "IDLE"

        # Values: the word meets its probability in the multipliers.
        on = Const(1)
        v_index = Signal.like(self.position)
        valued = weigh if self.sinks is None else weigh & ~of_sink
        v_issue = delay(m, on, valued, WEIGHT_LATENCY - CACHE_LATENCY, reset=True)
        with m.If(clear):
            m.d.sync += v_index.eq(0)
        with m.Elif(v_issue):
            m.d.sync += v_index.eq(v_index + 1)
        m.d.comb += scores.addr.eq(index)
        m.d.comb += [k_word.addr.eq(first + index), v_word.addr.eq(first + v_index)]
        self._sinks(m, number, of_sink)

        # It reaches every sum: it comes straight from a register.
        cleared = register(m, on, clear, reset=True)
        vector = self.head_dim * self.element_bits
        for j, unit in enumerate(self.units):
            place = j * self.together // self.parallel
            m.d.comb += [
                unit.load.eq(load & receiver[j]),
                unit.query.eq(Cat(*self._narrow(self.q))),
                unit.clear.eq(cleared),
                unit.issue.eq(issue),
                unit.weigh.eq(weigh),
                unit.last.eq(last_index if self.sinks is None else last_index & ~of_sink),
                unit.index.eq(index),
                unit.key.eq(k_word.data.word_select(place, vector)),
                unit.value.eq(v_word.data.word_select(place, vector)),
                unit.score_multiplier.eq(self.score_multiplier),
                unit.score_shift.eq(self.score_shift),
            ]
        self._emit(m, divided, out_phase, emitted)
        return m

    def _seen(self, m: Module, base: Signal) -> tuple[Value, Value]:
        """Positions that are read less one, and the cache word of the first of them."""
        if not self.windowed:
            return self.position, base
        # Both are ready before the first score: a query's beat and `go` take two cycles at least.
        on = Const(1)
        count = register(m, on, Mux(self.position > self.reach, self.reach, self.position))
        first = Signal.like(base)
        m.d.sync += first.eq(base + self.position - count)
        return count, first

    def _sinks(self, m: Module, number: Signal, of_sink: Signal) -> None:
        """Scores of the sinks of the heads that are computed."""
        if self.sinks is None:
            return
        m.submodules.sinks = self.sinks
        m.d.comb += self.sinks.addr.eq(self.sink_base + number)
        scores = cut(self.sinks.data, signed(self.units[0].score_bits), self.parallel)
        for unit, score in zip(self.units, scores, strict=True):
            m.d.comb += [unit.sink.eq(score), unit.of_sink.eq(of_sink)]

    def _narrow(self, i: Any) -> list[Value]:
        """Elements of a stream's beat in the width of q, k and v."""
        return [x[: self.element_bits].as_signed() for x in split(i.payload, self.elements)]

    def _cache(self, m: Module, name: str, i: Any) -> SlicedRam:
        """Cache filled by stream `i`, some beats at a time; returns the memory."""
        data = Cat(*self._narrow(i))
        word = Signal(self.slice_beats * len(data), name=f"{name}_slice", reset_less=True)
        cache = m.submodules[f"{name}_cache"] = SlicedRam(self.words, len(word), self.slices)
        beat_of_slice = Signal(range(self.slice_beats), name=f"{name}_beat")
        turn = Signal(self.slices, name=f"{name}_turn", init=1)
        group = Signal.like(self.cache_base, name=f"{name}_group")
        full = i.valid & (beat_of_slice == self.slice_beats - 1)
        write = register(m, Const(1), Mux(full, turn, 0), reset=True)
        m.d.comb += [
            i.ready.eq(1),
            cache.write.eq(write),
            cache.write_data.eq(word),
            cache.write_addr.eq(group + self.position),
        ]
        with m.If(write[-1]):
            m.d.sync += group.eq(group + self.context)
        # What is a slice alone needs no enable.
        with m.If(i.valid if self.slice_beats > 1 else 1):
            m.d.sync += word.eq(Cat(word, data)[len(data) :])
        with m.If(i.valid):
            m.d.sync += beat_of_slice.eq(Mux(full, 0, beat_of_slice + 1))
        with m.If(full):
            m.d.sync += turn.eq(turn.rotate_left(1))
        with m.If(self.store):
            m.d.sync += [beat_of_slice.eq(0), turn.eq(1), group.eq(self.store_base)]
        return cache

    def _emit(self, m: Module, divided: Signal, out_phase: Signal, emitted: Signal) -> None:
        """Divide the weighted sums by the sums of probabilities, beat by beat, head by head."""
        on = Const(1)
        queue = m.submodules.queue = self.queue
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        beats = self.parallel * self.beats
        left = Signal(range(beats + 1))
        place = Signal(range(self.beats))
        taken = out_phase & (left != 0) & (queue.free != 0)
        m.d.comb += queue.reserve.eq(taken)
        shift_out = register(m, on, taken, reset=True)
        next_head = place == self.beats - 1
        weighed = self.units[0].weighed

        # Sums of all heads pass through the first one's low end.
        step = self.elements * self.units[0].acc_bits
        behind = [*(unit.sums[:step] for unit in self.units[1:]), Const(0, step)]
        for unit, beat_behind in zip(self.units, behind, strict=True):
            m.d.comb += [unit.shift.eq(taken), unit.behind.eq(beat_behind)]
        with m.If(weighed):
            m.d.sync += [place.eq(0), left.eq(beats)]
        with m.Elif(taken):
            m.d.sync += left.eq(left - 1)
        with m.If(shift_out):
            m.d.sync += place.eq(Mux(next_head, 0, place + 1))

        # A total has 16 + excess bits; all are shifted down to 16 at once, one bit a cycle.
        total_bits = self.units[0].sum_bits
        normals = [Signal(total_bits, name=f"normal{j}") for j in range(self.parallel)]
        excesses = [
            Signal(range(total_bits - PROBABILITY_BITS + 1), name=f"excess{j}")
            for j in range(self.parallel)
        ]
        over = [normal[PROBABILITY_BITS:] != 0 for normal in normals]
        reducing = Signal()
        with m.If(weighed):
            m.d.sync += reducing.eq(1)
        with m.Elif(reducing & ~Cat(*over).any()):
            m.d.sync += reducing.eq(0)
            m.d.comb += divided.eq(1)
        for j, (normal, excess) in enumerate(zip(normals, excesses, strict=True)):
            following = (j + 1) % self.parallel
            with m.If(weighed):
                m.d.sync += [normal.eq(self.units[j].total), excess.eq(0)]
            with m.Elif(reducing & over[j]):
                m.d.sync += [normal.eq(normal >> 1), excess.eq(excess + 1)]
            with m.Elif(shift_out & next_head):
                m.d.sync += [normal.eq(normals[following]), excess.eq(excesses[following])]

        m.d.comb += [
            self.reciprocal.addr.eq(normals[0][PROBABILITY_BITS - INDEX_BITS : PROBABILITY_BITS]),
        ]
        sums_now = cut(self.units[0].sums[:step], signed(self.units[0].acc_bits), self.elements)
        for total, o in zip(sums_now, split(queue.data, self.elements), strict=True):
            narrow = Signal(signed(PROBABILITY_BITS + self.element_bits + 1), reset_less=True)
            m.d.sync += narrow.eq(total >> excesses[0])
            aligned = delay(m, on, narrow, rom.LATENCY - 1)
            quotient = multiply(m, on, aligned, self.reciprocal.data)
            m.d.comb += o.eq(round_shift(m, on, quotient, self.shift, self.low, self.high))
        latency = rom.LATENCY + MULTIPLY + ROUND_SHIFT
        m.d.comb += [
            queue.write.eq(delay(m, on, shift_out, latency, reset=True)),
            emitted.eq(out_phase & (left == 0)),
        ]


def slice_beats(beats: int, bits: int) -> int:
    """Beats of `bits` bits written at once to a word of `beats`, so that a block is well filled."""
    whole = (n for n in range(1, beats) if beats % n == 0)
    return next((n for n in whole if n * bits >= SLICE_BITS), beats)


def cache_heads(heads: int, kv_heads: int, parallel: int) -> int:
    """Key heads in one cache word when `parallel` heads are computed at once.

    Raises
    ------
    UnsupportedError
        If some of them would need only part of a word.
    """
    group = heads // kv_heads
    if heads % parallel or (parallel % group and group % parallel):
        raise UnsupportedError(
            f"plan: {parallel} attention heads at once do not divide {heads} heads in groups of "
            f"{group} that share a key head; choose a divisor or multiple of {group} that divides "
            f"{heads}"
        )
    return max(1, parallel // group)


def layer_words(heads: int, kv_heads: int, parallel: int, context: int) -> int:
    """Cache words of one layer."""
    return kv_heads // cache_heads(heads, kv_heads, parallel) * context
