"""Mixtures of experts in integers: near the float model, shared between slots, few tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.golden import interpreter
from rtl_gen.ir import integer as ir
from rtl_gen.ir import serialize
from rtl_gen.ir.verify import verify
from rtl_gen.quantize import Examples, Recipe, quality, quantize, routing
from tests.checkpoints import mixtral, write

RNG = np.random.default_rng(9)


def language(folder: Path, **options):
    checkpoint = open_checkpoint(write(folder, *mixtral(**options)))
    model = import_model(checkpoint)
    return model, reference.load_weights(model, checkpoint)


def examples(model, count: int) -> Examples:
    ids = RNG.integers(0, model.vocabulary, (count, model.context + 1))
    return Examples(ids[:, :-1], ids[:, 1:])


def named(graph: ir.IntegerGraph, ending: str) -> list[ir.Node]:
    return [node for node in graph.nodes if node.name.endswith(ending)]


@pytest.fixture(scope="module")
def lowered(tmp_path_factory):
    model, weights = language(tmp_path_factory.mktemp("mixtral"))
    graph = quantize(model, weights, Recipe(), examples(model, 20), {})
    return model, weights, graph


def test_integers_are_near_the_float_model(lowered):
    model, weights, graph = lowered
    found = quality(model, weights, graph, examples(model, 20))
    assert found["quality__kl"] < 0.01
    assert found["quality__greedy_agreement"] > 0.9


def test_the_graph_is_valid_and_survives_a_file(lowered, tmp_path):
    _, _, graph = lowered
    verify(graph)
    serialize.save(graph, tmp_path / "graph")
    assert serialize.load(tmp_path / "graph") == graph


def test_slots_share_the_matrices_of_all_experts(lowered):
    _, _, graph = lowered
    for name in ("gate", "up", "down"):
        first, second = (
            node for node in named(graph, f".{name}") if node.name.startswith("layers.0.mlp.slots")
        )
        assert isinstance(first.op, ir.ExpertMatVec)
        assert isinstance(second.op, ir.ExpertMatVec)
        assert first.op.weight == second.op.weight
        assert first.value == second.value
        assert graph.constants[first.op.weight].data.shape[0] == 4


def test_step_by_step_is_the_same_as_whole_sequences(lowered):
    model, _, graph = lowered
    ids = RNG.integers(0, model.vocabulary, (3, 8))
    whole = interpreter.sequences(graph, {"input_ids": ids})
    state = interpreter.initial_state(graph, 3)
    for t in range(8):
        values, state = interpreter.step(graph, {"input_ids": ids[:, t]}, state)
        for name, value in values.items():
            np.testing.assert_array_equal(value, whole[name][:, t])


def test_routing_is_compared_and_loads_sum_to_one(lowered):
    model, weights, graph = lowered
    found = routing(model, weights, graph, examples(model, 10))
    assert found is not None
    assert found.steps == 160
    assert set(found.layers) == {"layers.0.mlp.choice", "layers.1.mlp.choice"}
    assert 0 <= found.disagreement < 0.1
    for layer in found.layers.values():
        assert sum(layer.load) == pytest.approx(1)
        assert len(layer.load) == 4


def test_another_choice_is_counted_as_disagreement(lowered):
    model, weights, graph = lowered
    router = graph.constants["layers.0.mlp.router.weight"]
    swapped = ir.Constant(router.type, router.data[[1, 0, 2, 3]])
    wrong = ir.IntegerGraph(
        **{f: getattr(graph, f) for f in graph.__dataclass_fields__ if f != "constants"},
        constants={**graph.constants, "layers.0.mlp.router.weight": swapped},
    )
    given = examples(model, 10)
    right, found = (routing(model, weights, g, given) for g in (graph, wrong))
    assert right is not None
    assert found is not None
    assert found.disagreement > right.disagreement + 0.2


def test_an_expert_that_no_token_reaches_is_still_quantized(tmp_path):
    config, tensors = mixtral()
    for layer in range(2):  # its logit is below the others' for every input
        gate = tensors[f"model.layers.{layer}.block_sparse_moe.gate.weight"]
        gate[3] = 0
        gate[:3] = np.abs(gate[:1])
        gate[1] *= -1
    checkpoint = open_checkpoint(write(tmp_path, config, tensors))
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    graph = quantize(model, weights, Recipe(), examples(model, 3), {})
    stored = weights[next(n.op for n in model.nodes if n.name.endswith("0.gate")).weights[3]]
    made = next(n.op for n in graph.nodes if n.name == "layers.0.mlp.slots.0.gate")
    integers = graph.constants[made.weight].data[3]
    # columns carry the factors of the channels, rows their own scales: similar, not equal
    assert np.corrcoef(stored.ravel(), integers.ravel())[0, 1] > 0.8
