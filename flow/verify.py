"""Compare a simulated chip with the golden interpreter, output by output, bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, cycle, islice, takewhile, zip_longest
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.evidence.coverage import Run, of_frames, of_tokens
from flow.simulate import Chip, Pace, Step
from rtl_gen.errors import FlowError
from rtl_gen.golden import interpreter
from rtl_gen.golden import sample as golden_sample
from rtl_gen.ir.adapter import AdapterImage
from rtl_gen.ir.integer import IntegerGraph, Sample

PACES = (Pace(), Pace(idle=96, seed=11), Pace(stall=160, seed=12), Pace(64, 200, 13))
"""Surroundings of the chip: full speed, then pausing inputs, stalled outputs, both."""

MOST_MISMATCHES = 5
"""Sequences or frames that may differ before the comparison gives up."""

MOST_SEQUENCES = 2000
LONG_CONTEXT = 64
"""Up to this context every prompt length is tried; of a longer one only the longest."""

MIDDLE = 128
"""Position whose activity is kept beside those of the first and of the last."""

LEAST_DISTINCT = 3
LARGEST_SHARE = 0.8


class MismatchError(FlowError):
    """The hardware does not compute what the integer graph says, or too little was compared."""


@dataclass(frozen=True, slots=True)
class Case:
    """One sequence to generate.

    Parameters
    ----------
    prompt : tuple of int
    beta : int
        0 is greedy.
    seed : int
    limit : int
        0 has no limit.
    top_k : int
        0 is all.
    """

    prompt: tuple[int, ...]
    beta: int
    seed: int
    limit: int
    top_k: int = 0

    def __str__(self) -> str:
        how = f"sampled with seed {self.seed}, beta {self.beta}" if self.beta else "greedy"
        how += f", top_k {self.top_k}" if self.top_k else ""
        return f"prompt {list(self.prompt)} {how}, limit {self.limit}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a comparison found.

    Parameters
    ----------
    compared : int
        Tokens, or frames, that were compared.
    sequences : int
        Sequences they belong to; for frames their number.
    mismatches : tuple of str
        One line for each sequence or frame that differs, with its first difference.
    distinct : int
        Different tokens (or frame outputs) seen.
    share : float
        Part of all tokens that is the commonest one; 0 for frames.
    cycles : mapping
        ``first``, ``average``, ``longest`` (clock cycles at full speed for the first token of a
        sequence, a later one on average, and one with the longest context seen) and
        ``by_position``, the cycles at positions 1, 2, … as far as every one was seen.
    coverage : mapping
        What was met, by group; see `flow.evidence.coverage`.
    activity : mapping
        Cycles by the value of the chip's ``active``, at full speed: ``average`` (a pair of the sum
        over all tokens but the first of a sequence, and their number) and ``positions`` (the first,
        `MIDDLE` and the last one seen, counted from 1). Empty if the chip was not asked for it.
    """

    compared: int
    sequences: int
    mismatches: tuple[str, ...]
    distinct: int
    share: float
    cycles: Mapping[str, Any]
    coverage: Mapping[str, Any] = field(default_factory=dict)
    activity: Mapping[str, Any] = field(default_factory=dict)

    def check(self, least: int) -> None:
        """Refuse the chip if an output differs or the comparison shows too little.

        Raises
        ------
        MismatchError
        """
        if self.mismatches:
            listed = "".join(f"\n  {line}" for line in self.mismatches)
            raise MismatchError(f"the chip differs from the golden model:{listed}")
        if self.compared < least:
            raise MismatchError(
                f"{self.compared} outputs were compared, {least} are asked for: the sequences of "
                "this model are too short; lower verify.tokens or give other prompts"
            )
        if self.distinct < LEAST_DISTINCT or self.share > LARGEST_SHARE:
            raise MismatchError(
                f"the compared outputs are degenerate ({self.distinct} different ones, the "
                f"commonest {self.share:.0%}): they prove little; give other prompts or seeds"
            )


def compare_tokens(
    graph: IntegerGraph,
    chip: Chip,
    *,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    tokens: int,
    temperature: float = 1.0,
    fill: bool = True,
    adapter: AdapterImage | None = None,
) -> Result:
    """Generate on both and compare.

    Each prompt runs greedily once (and at least one at every pace of the surroundings) and with
    every seed, at changing paces; more seeds follow until `tokens` are compared. Prompts take turns
    at the paces, so that each meets all of them.

    Parameters
    ----------
    graph : IntegerGraph
        With an output ``token``.
    chip : Chip
        Built from the same graph.
    prompts : sequence of token sequences
    seeds : sequence of int
    tokens : int
        Least number of generated tokens.
    temperature : float
        Positive. Of sampled sequences: this and twice this in turn.
    fill : bool
        Also sample at every pace, however few prompts and seeds there are, and run prompts up to
        the whole context, which show the longest step.
    adapter : AdapterImage or None
        What the selected slot of the chip holds.
    """
    seen = _Seen(graph, chip, adapter)
    sampled = len(prompts) * len(seeds)
    planned = max(len(prompts), len(PACES)) + (max(sampled, len(PACES)) if fill else sampled)
    for case, pace in zip(
        _cases(graph, prompts, seeds, tokens, temperature, chip.top_k), cycle(PACES), strict=False
    ):
        seen.run(case, pace)
        enough = seen.sequences >= planned and seen.counts.total() >= tokens
        if enough or seen.hopeless():
            break
    for length in _filling(graph, seen.cycles) if fill else ():
        if not seen.hopeless():
            seen.run(Case(_random_prompt(graph, length), 0, 0, 1), PACES[0])
    return seen.result()


@dataclass(slots=True)
class _Seen:
    """What the sequences so far showed."""

    graph: IntegerGraph
    chip: Chip
    adapter: AdapterImage | None = None
    sequences: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    cycles: dict[int, int] = field(default_factory=dict)
    later: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    active: dict[int, Mapping[int, int]] = field(default_factory=dict)
    active_later: Counter[int] = field(default_factory=Counter)

    def run(self, case: Case, pace: Pace) -> None:
        """Generate one sequence on both sides."""
        expected = list(
            interpreter.generate(
                self.graph, case.prompt, beta=case.beta, seed=case.seed, limit=case.limit,
                top_k=case.top_k, adapter=self.adapter,
            )
        )  # fmt: skip
        self.chip.pace(pace)
        found = list(
            self.chip.generate(
                case.prompt, beta=case.beta, seed=case.seed, limit=case.limit, top_k=case.top_k
            )
        )
        self.sequences += 1
        self.counts.update(expected)
        prompt = case.prompt or tuple(self.graph.bos)
        self.runs.append(
            Run(prompt, tuple(expected), case.beta > 0, case.limit, pace.idle > 0, pace.stall > 0)
        )
        difference = _first_difference(expected, [step.token for step in found])
        if difference:
            self.mismatches.append(f"{case}, {pace}: {difference}")
        if pace == PACES[0]:
            self._time(max(1, len(case.prompt)), found)

    def hopeless(self) -> bool:
        """Whether more sequences would add nothing."""
        return len(self.mismatches) >= MOST_MISMATCHES or self.sequences >= MOST_SEQUENCES

    def result(self) -> Result:
        """Sum up."""
        total = self.counts.total()
        return Result(
            total,
            self.sequences,
            tuple(self.mismatches),
            len(self.counts),
            max(self.counts.values(), default=0) / max(total, 1),
            self._cycles(),
            # Values of an adapted network are not those of the graph alone.
            of_tokens(self.graph, self.runs) if self.adapter is None else {},
            self._activity(),
        )

    def _time(self, position: int, steps: Sequence[Step]) -> None:
        """Note intervals between tokens, and the chip's own counter for a first token."""
        for index, step in enumerate(steps[: self.graph.context + 1 - position]):
            if index:
                self.later.append(step.cycles)
                self.cycles[position + index] = step.cycles
                self.active_later.update(step.active)
            else:
                self.cycles.setdefault(position, step.counter)
            if step.active:
                self.active[position + index] = step.active

    def _activity(self) -> dict[str, Any]:
        if not self.active:
            return {}
        shown = sorted({min(self.active), MIDDLE, max(self.active)} & set(self.active))
        return {
            "average": [dict(self.active_later), len(self.later)],
            "positions": {str(position): dict(self.active[position]) for position in shown},
        }

    def _cycles(self) -> dict[str, Any]:
        if not self.cycles:
            return {"first": 0, "average": 0.0, "longest": 0, "by_position": []}
        first = self.cycles[min(self.cycles)]
        known = takewhile(self.cycles.__contains__, count(1))
        return {
            "first": first,
            "average": round(fmean(self.later), 2) if self.later else float(first),
            "longest": self.cycles[max(self.cycles)],
            "by_position": [self.cycles[position] for position in known],
        }


def compare_frames(
    graph: IntegerGraph,
    chip: Chip,
    frames: NDArray[np.int64],
    adapter: AdapterImage | None = None,
) -> Result:
    """Run frames on both and compare every output element.

    Parameters
    ----------
    graph : IntegerGraph
        With one frame input.
    chip : Chip
        Built from the same graph.
    frames : int64, shape (count, *shape)
        Elements within the input's type.
    adapter : AdapterImage or None
        What the selected slot of the chip holds.
    """
    name = next(item.name for item in graph.inputs if item.kind == "frame")
    values, _ = interpreter.step(
        graph, {name: frames}, interpreter.initial_state(graph, len(frames)), adapter
    )
    parts = [values[value].reshape(len(frames), -1) for value in graph.outputs.values()]
    expected = np.concatenate(parts, axis=1)
    mismatches: list[str] = []
    cycles: list[int] = []
    compared = 0
    for index, pace in zip(range(len(frames)), cycle(PACES), strict=False):
        chip.pace(pace)
        found, taken = chip.frame(frames[index].ravel().tolist())
        compared += 1
        difference = _first_difference(expected[index].tolist(), found)
        if difference:
            mismatches.append(f"frame {index}, {pace}: {difference}")
        if pace == PACES[0]:
            cycles.append(taken)
        if len(mismatches) >= MOST_MISMATCHES:
            break
    distinct = len(np.unique(expected[:compared], axis=0))
    timing = {
        "first": cycles[0],
        "average": sum(cycles) / len(cycles),
        "longest": max(cycles),
        "by_position": [],
    }
    paces = [(pace.idle > 0, pace.stall > 0)
             for pace, _ in zip(cycle(PACES), range(compared), strict=False)]  # fmt: skip
    # Values of an adapted network are not those of the graph alone.
    coverage = of_frames(graph, frames[:compared], paces) if adapter is None else {}
    return Result(compared, compared, tuple(mismatches), distinct, 0.0, timing, coverage)


def edge_frames(graph: IntegerGraph, number: int, seed: int) -> NDArray[np.int64]:
    """Frames of extremes and of uniformly random elements.

    Returns
    -------
    int64, shape (number, *shape)
        First all zero, all largest, all smallest, each in all surroundings; then random.
    """
    value = next(item.value for item in graph.inputs if item.kind == "frame")
    rng = np.random.default_rng(seed)
    frames = rng.integers(value.type.min, value.type.max + 1, (number, *value.shape))
    for index, element in enumerate((0, value.type.max, value.type.min)):
        frames[index * len(PACES) : (index + 1) * len(PACES)] = element
    return frames


def check_identity(chip: Chip, expected: str) -> None:
    """Compare the identity ROM with the manifest.

    Raises
    ------
    MismatchError
        If they differ.
    """
    found = chip.identity()
    if found != expected:
        raise MismatchError(
            f"identity ROM: the manifest says {expected}, the chip {found}; "
            "they come from different runs: rebuild with `snakemake`"
        )


def _cases(
    graph: IntegerGraph,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    tokens: int,
    temperature: float,
    places: int,
) -> Iterator[Case]:
    """Every prompt greedily and with every seed, then every prompt with more seeds, for ever.

    Where the chip has places for the largest logits, sampled sequences use all of them, none and
    half of them in turn.
    """
    node = next(node for node in graph.nodes if isinstance(node.op, Sample))
    assert isinstance(node.op, Sample)  # the line above, for the type checker
    scale = graph.value(node.inputs[0]).scale
    betas = cycle(golden_sample.beta(factor * temperature, scale, node.op.shift)
                  for factor in (1, 2))  # fmt: skip
    kept = cycle((places, 0, -(-places // 2)) if places else (0,))
    # A sequence that could fill a long context stops early, so that others get their turn.
    endless = graph.context > tokens or graph.replay
    limit = -(-tokens // len(prompts)) if endless else 0
    # Greedily at every pace, though there may be fewer prompts.
    for prompt, _ in zip(_turns(prompts), range(max(len(prompts), len(PACES))), strict=False):
        yield Case(tuple(prompt), 0, 0, limit)
    more = count(max(seeds, default=0) + 1)
    turns = islice(_turns(prompts), len(prompts), None)
    for seed in chain(seeds, more):
        for prompt, beta, top_k in islice(zip(turns, betas, kept, strict=False), len(prompts)):
            yield Case(tuple(prompt), beta, seed, limit, top_k)


def _turns(prompts: Sequence[Sequence[int]]) -> Iterator[Sequence[int]]:
    """All prompts again and again, each time beginning with the next one."""
    for first in count():
        yield from (prompts[(first + k) % len(prompts)] for k in range(len(prompts)))


def _filling(graph: IntegerGraph, seen: Mapping[int, int]) -> list[int]:
    """Lengths of prompts that show the positions not seen yet, or of a long context the end."""
    if graph.context > LONG_CONTEXT:
        return [graph.context]
    return [length for length in range(1, graph.context + 1) if length not in seen]


def _random_prompt(graph: IntegerGraph, length: int) -> tuple[int, ...]:
    rng = np.random.default_rng(length)
    return tuple(rng.integers(0, graph.vocabulary, length).tolist())


def _first_difference(expected: Sequence[int], found: Sequence[int]) -> str:
    pairs = zip_longest(expected, found)
    for index, (wanted, got) in enumerate(pairs):
        if wanted != got:
            return f"output {index}: expected {_said(wanted)}, found {_said(got)}"
    return ""


def _said(value: int | None) -> str:
    return "the end" if value is None else str(value)
