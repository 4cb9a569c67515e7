"""The graph's integers, through the scales it records, are the checkpoint's weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.evidence import origin
from rtl_gen.checkpoint import Checkpoint, import_model, open_checkpoint
from rtl_gen.ir.integer import Constant, IntegerGraph
from rtl_gen.quantize import Examples, Recipe, quantize
from rtl_gen.reference import load_weights
from tests.harness import seed

NAMES = Path(__file__).parents[3] / "models/names"
MIXTURE = Path(__file__).parents[3] / "models/shk_mixtral"


def _graph(solver: str, path: Path = NAMES) -> tuple[IntegerGraph, Checkpoint]:
    checkpoint = open_checkpoint(path)
    network = import_model(checkpoint)
    tokens = np.random.default_rng(seed()).integers(0, network.vocabulary, (16, 24))
    weights = load_weights(network, checkpoint)
    recipe = Recipe(solver=solver)  # type: ignore[arg-type]
    return quantize(network, weights, recipe, Examples(tokens), {}), checkpoint


@pytest.fixture(scope="module")
def nearest() -> tuple[IntegerGraph, Checkpoint]:
    return _graph("nearest")


def test_nearest_integers_are_near(nearest: tuple[IntegerGraph, Checkpoint]) -> None:
    """Half a step, and a little where a row's scale clips its largest weight."""
    items = origin.restored(*nearest)
    assert len(items) == 16
    assert max(item.steps for item in items) < 0.75
    assert origin.judged(items, 9)[0] == []


def test_a_solver_moves_whole_steps_and_stays_near() -> None:
    items = origin.restored(*_graph("gptq"))
    assert origin.judged(items, 9)[0] == []
    assert max(item.error for item in items) < 0.1


def _changed(graph: IntegerGraph, name: str, data: np.ndarray) -> IntegerGraph:
    constant = Constant(graph.constants[name].type, data)
    return replace(graph, constants={**graph.constants, name: constant})


def test_exchanged_rows_are_named(nearest: tuple[IntegerGraph, Checkpoint]) -> None:
    graph, checkpoint = nearest
    name = "layers.1.mlp.up.weight"
    data = graph.constants[name].data.copy()
    data[[3, 9]] = data[[9, 3]]
    findings, _ = origin.judged(origin.restored(_changed(graph, name, data), checkpoint), 9)
    assert len(findings) == 1
    assert findings[0].startswith(f"{name}, row ")


def test_another_tensor_is_named(nearest: tuple[IntegerGraph, Checkpoint]) -> None:
    graph, checkpoint = nearest
    name, other = "layers.0.attention.k.weight", "layers.0.attention.v.weight"
    changed = _changed(graph, name, graph.constants[other].data)
    findings, _ = origin.judged(origin.restored(changed, checkpoint), 9)
    assert findings == [line for line in findings if line.startswith(f"{name} is not")]
    assert findings


def test_a_wrong_scale_is_noticed(nearest: tuple[IntegerGraph, Checkpoint]) -> None:
    graph, checkpoint = nearest
    nodes = tuple(
        replace(node, value=replace(node.value, scale=4 * node.value.scale))
        if node.name == "layers.0.mlp.gate"
        else node
        for node in graph.nodes
    )
    findings, _ = origin.judged(origin.restored(replace(graph, nodes=nodes), checkpoint), 9)
    assert any(line.startswith("layers.0.mlp.gate.weight is not") for line in findings)


@pytest.fixture(scope="module")
def mixture() -> tuple[IntegerGraph, Checkpoint]:
    return _graph("gptq", MIXTURE)


def test_every_expert_is_its_tensor(mixture: tuple[IntegerGraph, Checkpoint]) -> None:
    items = origin.restored(*mixture)
    # embedding and logits; q, k, v, output and router of 2 layers; 3 matrices of 4 experts in each
    assert len(items) == 2 + 2 * 5 + 2 * 3 * 4
    assert {item.tensor for item in items} == {
        name for name in mixture[1].entries if "norm" not in name
    }
    assert max(item.error for item in items) < 0.1


def test_exchanged_experts_are_named(mixture: tuple[IntegerGraph, Checkpoint]) -> None:
    graph, checkpoint = mixture
    name = "layers.1.mlp.slots.0.down.weight"
    swapped = graph.constants[name].data[[0, 3, 2, 1]]
    findings, _ = origin.judged(origin.restored(_changed(graph, name, swapped), checkpoint), 9)
    assert [line.split(" is ")[0] for line in findings] == [f"{name}[1]", f"{name}[3]"]


def test_lost_factors_of_channels_are_noticed(mixture: tuple[IntegerGraph, Checkpoint]) -> None:
    """Such a graph computes the same, but its integers are not this checkpoint's weights."""
    graph, checkpoint = mixture
    nodes = tuple(replace(node, value=replace(node.value, channel=())) for node in graph.nodes)
    assert any(node.value.channel for node in graph.nodes)
    assert origin.judged(origin.restored(replace(graph, nodes=nodes), checkpoint), 9)[0]
