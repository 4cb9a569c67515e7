"""Coverage counts what ran, and lists the holes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from flow import verify
from flow.evidence import coverage, part_coverage
from flow.evidence.coverage import Run
from flow.simulate import Chip, Pace, Step
from rtl_gen.golden import interpreter
from rtl_gen.ir.integer import IntegerGraph, Route
from tests.flow.evidence import shapes


def test_holes_are_named_and_joined(tmp_path: Path) -> None:
    graph = shapes.make("llama", tmp_path).graph
    run = Run((1, 2), (3, 4), sampled=False, limit=2, idle=False, stall=True)
    report = coverage.of_tokens(graph, [run])
    drawn = report["position, token drawn"]
    assert drawn["hit"] == 2  # positions 1 and 2
    assert drawn["holes"] == ["0", f"3 to {graph.context - 1}"]
    assert report["surroundings"]["holes"] == ["full speed", "pausing inputs", "both"]
    assert "limit" not in report["end of a sequence"]["holes"]
    findings, numbers = coverage.judged(report)
    assert any(line.startswith("surroundings: never met full speed") for line in findings)
    assert 0 < numbers["met"] < numbers["bins"]


def test_ends_are_told_apart(tmp_path: Path) -> None:
    graph = shapes.make("llama", tmp_path).graph
    (eos,) = graph.eos
    other = (eos + 1) % graph.vocabulary
    assert Run((1,), (other, eos), False, 2, False, False).ending(graph) == "end token"
    assert Run((1,), (other, other), False, 2, False, False).ending(graph) == "limit"
    assert Run((1,), (other,) * graph.context, False, 0, False, False).ending(graph) == "context"


def test_a_text_longer_than_the_context_is_cut_where_it_begins_anew(tmp_path: Path) -> None:
    graph = replace(shapes.make("llama", tmp_path).graph, eos=(), replay=3)
    tokens = tuple(k % graph.vocabulary for k in range(2 * graph.context))
    first, *_, last = parts = Run(
        (1, 2), tokens, sampled=False, limit=len(tokens), idle=False, stall=False
    ).contexts(graph)
    assert [len(part.prompt) for part in parts] == [2, 3, 3]
    assert first.tokens == tokens[: graph.context - 1]
    assert first.ending(graph) == "context"
    assert parts[1].prompt == first.tokens[-3:]
    assert sum((part.tokens for part in parts), ()) == tokens
    assert last.ending(graph) == "limit"
    assert coverage.of_tokens(graph, [*parts])["position, no token drawn"]["hit"] == 2


class _Golden:
    """Stands for a chip that does as golden does."""

    top_k = 0

    def __init__(self, graph: IntegerGraph) -> None:
        self.graph = graph

    def pace(self, pace: Pace) -> None:
        """All paces give the same."""

    def generate(self, prompt: tuple[int, ...], **how: int) -> Iterator[Step]:
        for token in interpreter.generate(self.graph, prompt, **how):
            yield Step(token, 1, 1, 0, last=False)


@pytest.mark.parametrize(("prompts", "seeds"), [(1, 1), (2, 1), (3, 1), (2, 3), (4, 1)])
def test_few_prompts_meet_all_surroundings(tmp_path: Path, prompts: int, seeds: int) -> None:
    """Sampled in each, too; and with two prompts each of them, the longer one as well."""
    graph = replace(shapes.make("llama", tmp_path).graph, eos=())
    given = [[1, 2, 3], [4], [5], [6]][:prompts]
    result = verify.compare_tokens(
        graph, cast(Chip, _Golden(graph)), prompts=given, seeds=range(seeds), tokens=8
    )
    report = result.coverage
    assert report["surroundings"]["holes"] == []
    assert report["surroundings × choice"]["holes"] == []
    if prompts <= 2:
        assert report["surroundings × step"]["holes"] == []
    assert result.mismatches == ()


def test_frames(tmp_path: Path) -> None:
    graph = shapes.make("mlp", tmp_path).graph
    value = next(item.value for item in graph.inputs if item.kind == "frame")
    frames = np.zeros((4, *value.shape), np.int64)
    frames[1] = value.type.max
    paces = [(False, False), (True, False), (False, True), (True, True)]
    report = coverage.of_frames(graph, frames, paces)
    assert report["surroundings"]["holes"] == []
    assert "pausing inputs × largest" not in report["surroundings × element"]["holes"]
    assert "pausing inputs × smallest" in report["surroundings × element"]["holes"]


def test_decisions_of_routers_are_counted(tmp_path: Path) -> None:
    """Every expert in every slot, ties for a place, and steps of every kind."""
    graph = shapes.make("top_2_of_4", tmp_path).graph
    route = next(node for node in graph.nodes if isinstance(node.op, Route))
    experts = graph.value(route.inputs[0]).shape[0]
    values = {node.name: np.zeros(0, np.int64) for node in graph.nodes}
    values |= {
        route.name: np.array([0, 1, 2, 1]),
        route.inputs[0]: np.array([9, 5, 5, 1, 1, 7, 9, 1]),
    }
    others = (node for node in graph.nodes if not isinstance(node.op, Route))
    one = replace(graph, nodes=(*others, route))
    report = part_coverage.of_routers(one, values)
    holes = report["router × slot × expert"]["holes"]
    assert report["router × slot × expert"]["bins"] == 2 * experts
    assert f"{route.name}, slot 0: expert 1" in holes
    assert f"{route.name}, slot 1: expert 1" not in holes
    assert report["router × tie"]["holes"] == [f"{route.name}: a tie among the chosen"]


def test_caches_and_instructions_are_counted(tmp_path: Path) -> None:
    graph = shapes.make("llama", tmp_path).graph
    runs = [
        Run((1, 2, 3), (4,), sampled=False, limit=1, idle=False, stall=False),
        Run((1,), (3, 4), sampled=False, limit=2, idle=True, stall=False),
    ]
    report = coverage.of_tokens(graph, runs)
    assert report["cached position, read by a later step"]["hit"] == 2
    assert report["cached position, written by several sequences"]["hit"] == 2
    assert "pausing inputs × no token drawn" in report["surroundings × step"]["holes"]
    adapters = [False, True, False, False]
    parts = part_coverage.of_schedule(report, 1, adapters, coverage.SURROUNDINGS)
    assert parts["instruction"] == {"bins": 3, "hit": 3, "holes": [], "required": True}
    holes = parts["surroundings × instruction"]["holes"]
    assert "full speed × instruction 1" in holes  # no adapter is active
    assert "pausing inputs × instruction 3" not in holes
    only_read = {
        "surroundings × step": {
            "holes": [f"{place} × token drawn" for place in coverage.SURROUNDINGS]
        }
    }
    parts = part_coverage.of_schedule(only_read, 1, adapters, coverage.SURROUNDINGS)
    assert parts["instruction"]["holes"] == ["2 to 3"]
    assert part_coverage.of_slots(2)["adapter slot"]["holes"] == ["1 to 2"]
