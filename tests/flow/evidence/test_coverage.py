"""Coverage counts what ran, and lists the holes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.evidence import coverage
from flow.evidence.coverage import Run
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
