"""Windows and sinks of attention in integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.golden import interpreter
from rtl_gen.golden.attention import attention
from rtl_gen.ir import integer as ir
from rtl_gen.ir import serialize
from rtl_gen.ir.types import Dyadic, IntType
from rtl_gen.ir.verify import verify
from rtl_gen.quantize import Examples, Recipe, quality, quantize
from tests import checkpoints

RNG = np.random.default_rng(12)
MODELS: dict[str, Any] = {
    "window": lambda: checkpoints.mixtral(sliding_window=3),
    "window of one": lambda: checkpoints.mixtral(sliding_window=1),
    "sinks, every second layer": checkpoints.gpt_oss,
}


def examples(model: Any, count: int) -> Examples:
    ids = RNG.integers(0, model.vocabulary, (count, model.context + 1))
    return Examples(ids[:, :-1], ids[:, 1:])


def lowered(folder: Path, name: str) -> tuple[Any, Any, ir.IntegerGraph]:
    checkpoint = open_checkpoint(checkpoints.write(folder, *MODELS[name]()))
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    recipe = Recipe(attention_bits=9, activation_bits=10)
    return model, weights, quantize(model, weights, recipe, examples(model, 16), {})


def attentions(graph: ir.IntegerGraph) -> list[ir.Attention]:
    return [node.op for node in graph.nodes if isinstance(node.op, ir.Attention)]


@pytest.mark.parametrize("name", MODELS)
def test_integers_are_near_the_float_model_and_survive_a_file(tmp_path: Path, name: str) -> None:
    model, weights, graph = lowered(tmp_path, name)
    verify(graph)
    found = quality(model, weights, graph, examples(model, 12))
    assert found["quality__kl"] < 0.02
    serialize.save(graph, tmp_path / "graph")
    assert serialize.load(tmp_path / "graph") == graph


@pytest.mark.parametrize("name", MODELS)
def test_step_by_step_is_the_same_as_whole_sequences(tmp_path: Path, name: str) -> None:
    model, _, graph = lowered(tmp_path, name)
    ids = RNG.integers(0, model.vocabulary, (2, 12))
    whole = interpreter.sequences(graph, {"input_ids": ids})
    state = interpreter.initial_state(graph, 2)
    for t in range(12):
        values, state = interpreter.step(graph, {"input_ids": ids[:, t]}, state)
        for key, value in values.items():
            np.testing.assert_array_equal(value, whole[key][:, t])


def test_what_lies_behind_the_window_changes_nothing(tmp_path: Path) -> None:
    model, _, graph = lowered(tmp_path, "window of one")
    assert {op.window for op in attentions(graph)} == {1}
    ids = RNG.integers(0, model.vocabulary, (1, 10))
    other = ids.copy()
    other[:, :9] = (ids[:, :9] + 1) % model.vocabulary
    first, second = (
        interpreter.sequences(graph, {"input_ids": given})[graph.outputs["logits"]][:, 9]
        for given in (ids, other)
    )
    np.testing.assert_array_equal(first, second)


def test_layers_keep_their_own_windows_and_sinks(tmp_path: Path) -> None:
    model, _, graph = lowered(tmp_path, "sinks, every second layer")
    assert [op.window for op in attentions(graph)] == [5, 0]
    assert all(op.sinks for op in attentions(graph))
    # without the sinks something else comes out
    bare = replace(
        graph,
        nodes=tuple(
            replace(node, op=replace(node.op, sinks=None))
            if isinstance(node.op, ir.Attention)
            else node
            for node in graph.nodes
        ),
    )
    ids = RNG.integers(0, model.vocabulary, (1, 10))
    name = graph.outputs["logits"]
    found = [interpreter.sequences(g, {"input_ids": ids})[name] for g in (graph, bare)]
    assert (found[0] != found[1]).any()


def test_a_sink_takes_its_share_and_has_no_value() -> None:
    """Equal scores of one position and the sink: half of the value; a large sink: nothing."""
    q = np.array([[4, 4]])
    keys = np.array([[[[4, 4]]]])
    values = np.array([[[[100, -60]]]])
    out, score = IntType(16), Dyadic(256, 4)
    for sink, expected in ((32, [50, -30]), (-(1 << 20), [100, -60]), (1 << 20, [0, 0])):
        y = attention(q, keys, values, 1, score, 31, out, np.array([sink]))
        np.testing.assert_allclose(y[0], expected, atol=1)


def test_graphs_without_them_are_stored_as_before(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoints.write(tmp_path, *checkpoints.llama()))
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    graph = quantize(model, weights, Recipe(), examples(model, 2), {})
    assert b"window" not in serialize.to_bytes(graph)
