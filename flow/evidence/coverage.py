"""Functional coverage of a simulation: what it met, and the holes.

Bins are filled from the sequences that ran on the chip, evaluated once more on the golden model,
which they equal bit for bit.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.evidence.part_coverage import STEPS, group, of_caches, of_routers
from rtl_gen.golden import interpreter
from rtl_gen.ir.integer import Attention, IntegerGraph, Sample

SURROUNDINGS = ("full speed", "pausing inputs", "stalled outputs", "both")
LONG_CONTEXT = 64
"""Up to this context every position must be met; of a longer one the first and the last."""


@dataclass(frozen=True, slots=True)
class Run:
    """One sequence as it ran.

    Parameters
    ----------
    prompt, tokens : tuple of int
        What was given (never empty), and what was generated.
    sampled : bool
    limit : int
    idle, stall : bool
        Whether inputs paused and outputs were stalled.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    sampled: bool
    limit: int
    idle: bool
    stall: bool

    @property
    def surroundings(self) -> str:
        """One of `SURROUNDINGS`."""
        return SURROUNDINGS[self.idle + 2 * self.stall]

    def contexts(self, graph: IntegerGraph) -> list[Run]:
        """Itself, cut where it begins anew because the context is full."""
        whole = self.prompt + self.tokens
        first, size, found = len(self.prompt), graph.context + 1, []
        start = 0
        while graph.replay and start + size < len(whole):
            tokens = whole[start + first : start + size]
            found.append(replace(self, prompt=whole[start : start + first], tokens=tokens, limit=0))
            start, first = start + size - graph.replay, graph.replay
        last = whole[start + first :]
        limit = len(last) if self.limit == len(self.tokens) else 0
        kept = replace(self, prompt=whole[start : start + first], tokens=last, limit=limit)
        return [*found, kept] if found else [self]

    def ending(self, graph: IntegerGraph) -> str:
        """Why it ended."""
        if self.tokens and self.tokens[-1] in graph.eos:
            return "end token"
        if self.limit and len(self.tokens) == self.limit:
            return "limit"
        return "context"


def of_tokens(graph: IntegerGraph, runs: Sequence[Run]) -> dict[str, Any]:
    """Coverage of generated sequences.

    Parameters
    ----------
    graph : IntegerGraph
    runs : sequence of Run

    Returns
    -------
    dict
        Group of bins to ``bins``, ``hit``, ``holes`` (names, joined where they are consecutive
        numbers) and whether a hole is ``required`` to be closed.
    """
    seen: dict[str, set[Any]] = defaultdict(set)
    runs = [part for run in runs for part in run.contexts(graph)]
    for run in runs:
        fed = (*run.prompt, *run.tokens[:-1])
        first = len(run.prompt) - 1
        seen["position, no token drawn"].update(range(first))
        seen["position, token drawn"].update(range(first, first + len(run.tokens)))
        seen["token read"].update(fed)
        seen["token drawn"].update(run.tokens)
        seen["surroundings"].add(run.surroundings)
        ending = run.ending(graph)
        seen["end of a sequence"].add(ending)
        seen["surroundings × end"].add(f"{run.surroundings} × {ending}")
        drawing = len(fed) - first
        seen["surroundings × step"].update(
            f"{run.surroundings} × {step}"
            for step, number in zip(STEPS, (first, drawing), strict=True) if number
        )  # fmt: skip
        how = "sampled" if run.sampled else "greedy"
        seen["surroundings × choice"].add(f"{run.surroundings} × {how}")
        last = first + len(run.tokens)
        for name, met in (
            ("one-token prompt", first == 0),
            ("longer prompt", first > 0),
            ("first position draws", first == 0 and bool(run.tokens)),
            ("last position", last == graph.context),
            ("smallest token", 0 in fed),
            ("largest token", graph.vocabulary - 1 in fed),
        ):
            if met:
                seen["surroundings × boundary"].add(f"{run.surroundings} × {name}")
    positions = list(range(graph.context))
    short = graph.context <= LONG_CONTEXT
    needed = positions if short else [0, graph.context - 1]
    endings = [*(["end token"] if graph.eos else []), "limit", "context"]
    boundaries = ["one-token prompt", "longer prompt", "first position draws", "last position",
                  "smallest token", "largest token"]  # fmt: skip
    report = {
        "position, token drawn": group(needed, seen["position, token drawn"], required=True),
        "position, no token drawn": group(
            needed[:-1], seen["position, no token drawn"], required=short
        ),
        "surroundings": group(SURROUNDINGS, seen["surroundings"], required=True),
        "end of a sequence": group(endings, seen["end of a sequence"], required=False),
        "surroundings × end": group(_cross(endings), seen["surroundings × end"]),
        "surroundings × choice": group(
            _cross(["greedy", "sampled"]), seen["surroundings × choice"], required=True
        ),
        "surroundings × step": group(_cross(STEPS), seen["surroundings × step"]),
        "surroundings × boundary": group(_cross(boundaries), seen["surroundings × boundary"]),
        "token read": group(range(graph.vocabulary), seen["token read"]),
        "token drawn": group(range(graph.vocabulary), seen["token drawn"]),
    }
    if any(isinstance(node.op, Attention) for node in graph.nodes):
        lengths = [len(run.prompt) + len(run.tokens[:-1]) for run in runs]
        report |= of_caches(graph.context, lengths, short=short)
    values = _replayed(graph, runs)
    return report | of_routers(graph, values) | _values(graph, values)


def of_frames(
    graph: IntegerGraph, frames: NDArray[np.int64], paces: Sequence[tuple[bool, bool]]
) -> dict[str, Any]:
    """Coverage of frames; `paces` tells of each whether inputs paused and outputs were stalled."""
    item = next(item for item in graph.inputs if item.kind == "frame")
    met = {SURROUNDINGS[idle + 2 * stall] for idle, stall in paces}
    extremes = {"smallest": item.value.type.min, "zero": 0, "largest": item.value.type.max}
    crossed = {
        f"{SURROUNDINGS[idle + 2 * stall]} × {name}"
        for frame, (idle, stall) in zip(frames, paces, strict=False)
        for name, value in extremes.items()
        if (frame == value).any()
    }
    values, _ = interpreter.step(
        graph, {item.name: frames[: len(paces)]}, interpreter.initial_state(graph, len(paces))
    )
    return {
        "surroundings": group(SURROUNDINGS, met, required=True),
        "surroundings × element": group(_cross(list(extremes)), crossed, required=True),
    } | _values(graph, values)


def judged(report: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """What is missing of the required bins, and how many of all were met."""
    findings = [
        f"{name}: never met {', '.join(found['holes'][:8])}"
        for name, found in report.items() if found["required"] and found["holes"]
    ]  # fmt: skip
    return findings, {
        "bins": sum(found["bins"] for found in report.values()),
        "met": sum(found["hit"] for found in report.values()),
        "groups with holes": sum(bool(found["holes"]) for found in report.values()),
    }


def _replayed(graph: IntegerGraph, runs: Sequence[Run]) -> dict[str, NDArray[np.int64]]:
    """All values of all steps that ran."""
    name = next(item.name for item in graph.inputs if item.kind == "token")
    by_length: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for run in runs:
        fed = (*run.prompt, *run.tokens[:-1])
        by_length[len(fed)].append(fed)
    parts: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    for rows in by_length.values():
        values = interpreter.sequences(graph, {name: np.array(rows, np.int64)})
        for key, value in values.items():
            parts[key].append(value.reshape(-1))
    return {key: np.concatenate(value) for key, value in parts.items()}


def _values(
    graph: IntegerGraph, values: Mapping[str, NDArray[np.int64]]
) -> dict[str, dict[str, Any]]:
    """Whether every node's value met both ends of its type, and zero."""
    met: Counter[str] = Counter()
    bins: list[str] = []
    for node in graph.nodes:
        if isinstance(node.op, Sample):
            continue
        ends = {"smallest": node.value.type.min, "zero": 0, "largest": node.value.type.max}
        for what, value in ends.items():
            bins.append(f"{node.name} {what}")
            met[bins[-1]] = int((values[node.name] == value).any())
    return {"value × boundary": group(bins, {name for name in bins if met[name]})}


def _cross(others: Sequence[str]) -> list[str]:
    return [f"{one} × {other}" for one in SURROUNDINGS for other in others]
