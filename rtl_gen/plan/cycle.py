"""Clock cycles of a step: the sequencer, the walks and the pipelines, beat by beat.

The timeline follows the hardware's own rules (`rtl_gen.fabric.sequencer`, `rtl_gen.fabric.
vector_memory`, the latencies of ``docs/blocks.md``). What depends on the numbers, how far a norm
searches for the leading bit and how long a sum of probabilities is shifted, is taken at a typical
value, which is what the remaining error comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_gen.blocks.const_matvec import RELEASED
from rtl_gen.blocks.router import ScoredRouter
from rtl_gen.blocks.serial_matvec import SerialMatVec
from rtl_gen.chip import UNCOUNTED, Chip
from rtl_gen.fabric.address import LEVELS
from rtl_gen.fabric.attention_head import CACHE_LATENCY, WEIGHT_LATENCY
from rtl_gen.fabric.pipeline import MULTIPLY, ROUND_SHIFT
from rtl_gen.fabric.rom import LATENCY
from rtl_gen.plan.part import has_cut
from rtl_gen.program import HEADS, SINKS

Times = NDArray[np.int64]

READ = 3
"""Cycles from the issue of a read to its beat on offer: memory, register, skid."""

FETCH = 3
"""Cycles from the begin of a step, or from one load of `front` to the next, to an instruction."""

QUEUE = 1
"""Cycles of a beat through the queue at the end of a unit that does not stall."""

REQUANTIZE = LATENCY + 1 + MULTIPLY + ROUND_SHIFT + QUEUE
"""Cycles of a beat from the lanes' sums to the matrix unit's output."""

TAIL = {"rotary": 10, "lookup": 3, "mul": 7, "add": 2}
"""Latency of the parts behind the head unit, ``docs/blocks.md``."""

EMBEDDING, POOL = 10, 1
"""Cycles to the first beat of `Embedding` from its start pulse; of `MaxPool` behind a window."""

NORM_PAUSE, NORM = 11, 13
"""Cycles of `Norm` between its passes beside the search, and in the second pass."""

ROUTER, GATE = 1 + MULTIPLY + 2 + LATENCY + 1 + 3, 7
"""Cycles of `Router` from its last score to the divisor's reciprocal beside the ROM, the search for
the leading bit taken as one; between gates."""

SCORED = LATENCY + 1 + 3
"""Cycles of `ScoredRouter` from its last score to the first chosen one, and behind the last one."""

HEADROOM = 3
"""Bits by which a normalized vector's root mean square is typically below its type's limit."""


@dataclass(frozen=True, slots=True)
class Cycles:
    """Cycles of a step at the first position, on average over all, and at the last.

    Networks on frames have one position.
    """

    first: int
    average: float
    last: int


def of_chip(chip: Chip) -> Cycles:
    """Cycles of a step that draws a token, or of a frame.

    The cycles grow linearly with the position, but for a few that depend on the numbers.
    """
    if not chip.tokens:
        only = step(chip, 0)
        return Cycles(only, float(only), only)
    first, last = step(chip, 0), step(chip, chip.graph.context - 1)
    return Cycles(first, (first + last) / 2, last)


def step(chip: Chip, position: int, *, adapted: bool = True) -> int:
    """Cycles of one step that draws a token, as the chip's port `cycles` shows them.

    Parameters
    ----------
    chip : Chip
    position : int
    adapted : bool
        An adapter is active, if the chip has room for one.
    """
    line = _Timeline(chip, position)
    for instruction in chip.program.part(adapted=adapted):
        line.run(instruction.fields)
    return line.done + 2


def length(fields: Mapping[str, int], prefix: str) -> int:
    """Beats of a walk."""
    total = 1
    for level in range(LEVELS):
        total *= fields.get(f"{prefix}_last{level}", 0) + 1
    return total


def _stream(earliest: Times) -> Times:
    """Times of beats that follow one another, none before its own earliest."""
    place = np.arange(len(earliest))
    return np.maximum.accumulate(earliest - place) + place


def _run(first: int, beats: int) -> Times:
    return first + np.arange(beats)


@dataclass(slots=True)
class _Timeline:
    """Where the machine stands after the instructions so far; times are cycles of the step.

    Parameters
    ----------
    loaded : int
        When `front` holds the next instruction.
    free : dict of str to int
        From when a head unit takes another instruction.
    done, written : int, int64 array
        When the running instruction's last beat is written, and each of them.
    groups : list of (int, int)
        Finished groups of the matrix unit: when ready for the queue, and beats not let out.
    drained : int
        When the matrix unit's queue is empty.
    """

    chip: Chip
    position: int
    loaded: int = FETCH + 1
    done: int = 0
    written: Times = field(default_factory=lambda: np.zeros(0, np.int64))
    free: dict[str, int] = field(default_factory=dict)
    groups: list[tuple[int, int]] = field(default_factory=list)
    drained: int = 0

    def run(self, fields: Mapping[str, int]) -> None:
        """One instruction."""
        head = HEADS[fields["head"]]
        start = max(self.loaded, self.free.get(head, 0))
        commit = max(start, self.done)  # the cycle in which it moves to `back`
        reads = self._reads(fields, start)
        taken, results = self._head(head, fields, start, commit, reads)
        # Past the skid and the tail, to the writer, which opens with the instruction.
        behind = 1 + sum(cycles for name, cycles in TAIL.items() if fields.get(name))
        behind += has_cut(self.chip)
        self.written = results + (behind if head not in UNCOUNTED else 0)
        self.done = int(self.written[-1])
        if SINKS[fields["sink"]] == "sample":
            self.done += 7 + (self.chip.elements - 1).bit_length()
            self.done += self.chip.units["sample"].places > 0
        if head not in {"copy", "fill", "input", "matvec"}:
            self.free[head] = self.done + 1
        leave = max(commit + 1, taken + 1 if len(reads) else 0)
        self.loaded = max(leave, self.loaded + FETCH - 1) + 1

    def _reads(self, fields: Mapping[str, int], start: int) -> Times:
        """When each beat of walk `a` is on offer at the head unit."""
        if not fields["use_a"]:
            return np.zeros(0, np.int64)
        count = length(fields, "a")
        issued = _run(start + 1, count)
        if not fields.get("a_free", 1) and self.done >= start:
            # One beat more than needed, and two cycles to count it.
            place = np.arange(count) + fields["a_lag"] + 1
            issued = np.maximum(issued, self.written[np.minimum(place, len(self.written) - 1)] + 2)
        return _stream(issued) + READ

    def _head(
        self, head: str, fields: Mapping[str, int], start: int, commit: int, reads: Times
    ) -> tuple[int, Times]:
        """When the last operand is taken, and when the head unit's results leave it."""
        writes = length(fields, "d")
        opened = commit + 1
        last = int(reads[-1]) if len(reads) else 0
        match head:
            case "matvec":
                return self._matvec(fields, opened, reads, writes)
            case "etched":
                return last, self._etched(fields, opened, last, writes)
            case "norm":
                return self._norm(fields, opened, reads)
            case "attend":
                behind = min(self.position, fields.get("reach", self.position))
                return self._attention(start, opened, last - len(reads) + 1, behind)
            case "embedding":
                return 0, _run(max(start + 1 + EMBEDDING, opened), writes)
            case "route":
                return self._route(opened, reads)
            case "pool":
                return last, _stream(np.full(writes, max(last + POOL, opened)))
            case "copy":
                results = _stream(np.maximum(reads, opened))
                return int(results[-1]), results
            case _:
                return 0, _run(opened + 1, writes)

    def _matvec(
        self, fields: Mapping[str, int], opened: int, reads: Times, writes: int
    ) -> tuple[int, Times]:
        """Groups of rows through the lanes, and the queue they leave by."""
        unit = self.chip.units["matvec"]
        taken = 0
        if not fields.get("continued"):
            taken = self._multiply(fields, reads, unit.lanes // unit.elements)
        wanted = opened + 1
        results: list[Times] = []
        left = writes
        while left:
            ready, beats = self.groups[0]
            now = min(left, beats)
            first = max(ready + 1, self.drained + 1, wanted)
            results.append(_run(first, now))
            self.drained = first + now - 1
            left -= now
            self.groups[0] = (ready, beats - now)
            if not self.groups[0][1]:
                self.groups.pop(0)
        return taken, np.concatenate(results) + REQUANTIZE

    def _multiply(self, fields: Mapping[str, int], reads: Times, room: int) -> int:
        """Feed the lanes; remembers when each group is ready. Returns when the last beat is in."""
        columns = fields["last_column"] + 1
        latency = LATENCY + 2 + (self.chip.elements > 1)
        rows = fields["group_rows"]
        behind = 0
        for group in range(-(-rows // room)):
            own = reads[group * columns : (group + 1) * columns] + behind
            # Two groups wait at most: one is let out, one is in the accumulators, and the next
            # starts when the former's last beats are on their way.
            if len(self.groups) >= 2:
                leaves = self._leaves(len(self.groups) - 2) - RELEASED
                behind += max(0, leaves + 1 - int(own[0]))
                own = reads[group * columns : (group + 1) * columns] + behind
            self.groups.append((int(own[-1]) + latency, min(room, rows - group * room)))
        return int(reads[-1]) + behind

    def _leaves(self, index: int) -> int:
        """When a waiting group will have left the queue, if nothing holds it."""
        time = self.drained
        for ready, beats in self.groups[: index + 1]:
            time = max(time, ready) + beats
        return time

    def _etched(self, fields: Mapping[str, int], opened: int, last: int, writes: int) -> Times:
        """The vector into its register, through the adder graph, and out of the queue."""
        graph = self.chip.units["etched"].cores[fields.get("etched_core", 0)]
        serial = graph.period + 2 if isinstance(graph, SerialMatVec) else 0
        queued = last + 2 + serial + graph.core.latency
        return _run(max(queued + 1, opened + 1), writes) + REQUANTIZE

    def _norm(self, fields: Mapping[str, int], opened: int, reads: Times) -> tuple[int, Times]:
        unit = self.chip.units["norm"]
        half = len(reads) // 2
        size = fields["size"].bit_length() - 1
        typical = size + self.chip.width - 1 - HEADROOM
        pairs = max(0, unit.half_bits - typical)
        begin = int(reads[half - 1]) + NORM_PAUSE + pairs // 4 + pairs % 4
        # The second pass's beats wait for the pause; results wait for the instruction's turn.
        accepted = _stream(np.maximum(reads[half:], begin))
        results = _stream(np.maximum(accepted + NORM, opened))
        held = max(0, int(results[-1]) - NORM - int(accepted[-1]))
        return int(accepted[-1]) + held, results

    def _route(self, opened: int, reads: Times) -> tuple[int, Times]:
        """Logits one by one into the sorted list, their exponentials, and the gates one by one."""
        unit = self.chip.units["route"]
        taken = _stream(np.repeat(reads, unit.elements))
        if isinstance(unit, ScoredRouter):
            return self._scored(unit, opened, taken)
        begin = int(taken[unit.experts - 1]) + 1 + unit.k
        if not unit.normalize:
            # The second pass waits for the exponentials of the chosen ones.
            again = _stream(np.maximum(taken[unit.experts :], begin + 1))
            begin = int(again[-1]) + 1
        divided = begin + ROUTER + LATENCY
        gates = divided + GATE * (1 + np.arange(unit.k))
        return begin, _stream(np.maximum(gates, opened))

    def _scored(self, unit: ScoredRouter, opened: int, taken: Times) -> tuple[int, Times]:
        """Scores, once more if groups are chosen first, into the sorted list, and the gates."""
        if unit.grouped:
            again = np.maximum(taken[unit.experts :], taken[unit.experts - 1] + 2)
            taken = _stream(again)
        last = int(taken[-1])
        begin = last + SCORED + unit.k
        # To the divisor's reciprocal: register, the search taken as one, ROM.
        divided = begin + (2 + LATENCY if unit.normalize else 0)
        gates = divided + GATE * (1 + np.arange(unit.k))
        return last + LATENCY, _stream(np.maximum(gates, opened))

    def _attention(
        self, start: int, opened: int, first_query: int, behind: int
    ) -> tuple[int, Times]:
        """Heads that see `behind` positions beside their own, a turn after the other."""
        unit: Any = self.chip.units["attention"]
        queries = unit.parallel * unit.beats
        tree = max(1, -(-(unit.head_dim - 1).bit_length() // 2)) if unit.head_dim > 1 else 0
        scored = CACHE_LATENCY + 2 + tree + 1
        excess, sink = (behind + 1).bit_length(), unit.sinks is not None
        results, query = [], max(first_query, start + 2)
        for turn in range(unit.heads // unit.parallel):
            ready = query + queries
            score = max(ready + 1, opened + (0 if turn else 1))
            weigh = score + sink + behind + scored + 2
            weighed = weigh + sink + behind + WEIGHT_LATENCY + 3
            emit = weighed + 1 + excess + 1
            results.append(_run(emit + 1 + LATENCY + MULTIPLY + ROUND_SHIFT + QUEUE, queries))
            last_query, query = query + queries - 1, emit + queries + 1
        return last_query, np.concatenate(results)
