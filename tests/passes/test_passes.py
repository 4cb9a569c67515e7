"""Passes change the graph and not one integer of its outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.golden import interpreter
from rtl_gen.ir.integer import Constant, Mul, Weigh
from rtl_gen.ir.verify import verify
from rtl_gen.passes import remove_dead, share_constants, spread_gates
from rtl_gen.quantize import Examples, Recipe, lower
from rtl_gen.reference import load_weights
from tests.checkpoints import qwen2_moe, write
from tests.graphs import I16, SEED, Draft, language


def logits(graph):
    tokens = np.random.default_rng(SEED).integers(0, graph.vocabulary, (5, graph.context))
    name = next(item.name for item in graph.inputs if item.kind == "token")
    values = interpreter.sequences(graph, {name: tokens})
    return values[graph.outputs["logits"]]


def with_dead_parts():
    graph = language()
    draft = Draft()
    draft.product("unused", "norm", 5, 8, I16, 20)
    draft.product("unused_too", "unused", 3, 5, I16, 20)
    constants = {**draft.constants, **graph.constants, "lone": Constant(I16, np.ones(3, np.int64))}
    nodes = (*graph.nodes[:4], *draft.nodes, *graph.nodes[4:])
    return replace(graph, nodes=nodes, constants=constants)


def with_copies():
    graph = language()
    copy = graph.constants["cos"]
    nodes = tuple(
        replace(node, op=replace(node.op, cos="cos2")) if node.name == "k_rotary" else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes, constants={**graph.constants, "cos2": copy})


def test_dead_nodes_and_constants_go():
    graph = with_dead_parts()
    clean = remove_dead(graph)
    verify(clean)
    assert clean == language()
    assert len(clean.nodes) == len(graph.nodes) - 2
    np.testing.assert_array_equal(logits(clean), logits(graph))


def test_equal_constants_become_one():
    graph = with_copies()
    clean = share_constants(graph)
    verify(clean)
    assert clean == language()
    assert len(clean.constants) == len(graph.constants) - 1
    np.testing.assert_array_equal(logits(clean), logits(graph))


def test_constants_of_another_type_or_shape_stay_apart():
    graph = language()
    cos = graph.constants["cos"]
    others = {
        "wide": replace(cos, type=type(cos.type)(17)),
        "flat": replace(cos, data=cos.data.reshape(1, -1)),
    }
    assert len(share_constants(replace(graph, constants=graph.constants | others)).constants) == (
        len(graph.constants) + 2
    )


@pytest.mark.parametrize("rewrite", [remove_dead, share_constants])
def test_a_clean_graph_stays_as_it_is(rewrite):
    assert rewrite(language()) == language()


@pytest.fixture
def with_gate(tmp_path, monkeypatch):
    """A Qwen2-MoE whose shared expert has a gate of one element."""
    monkeypatch.setattr(lower, "spread_gates", lambda graph: graph)
    checkpoint = open_checkpoint(write(tmp_path, *qwen2_moe()))
    model = import_model(checkpoint)
    ids = np.random.default_rng(SEED).integers(0, model.vocabulary, (4, model.context))
    return lower.quantize(model, load_weights(model, checkpoint), Recipe(), Examples(ids), {})


def test_a_computed_gate_becomes_a_vector_of_equal_gates(with_gate):
    spread = spread_gates(with_gate)
    verify(spread)
    of = {node.name: node for node in spread.nodes}
    for layer in range(2):
        here = f"layers.{layer}.mlp.shared"
        assert of[f"{here}.share"].value.shape == of[f"{here}.weighed"].value.shape == (8,)
        assert isinstance(of[f"{here}.weighed"].op, Mul)
        rows = spread.constants[of[f"{here}.score"].op.weight].data
        assert rows.shape == (8, 8)
        assert (rows == rows[0]).all()
    # weighed products of routed experts stay with the router
    assert sum(isinstance(node.op, Weigh) for node in spread.nodes) == 2 * 2
    np.testing.assert_array_equal(logits(spread), logits(with_gate))


def test_a_gate_that_something_else_reads_stays(with_gate):
    outputs = {**with_gate.outputs, "share": "layers.0.mlp.shared.share"}
    kept = spread_gates(replace(with_gate, outputs=outputs))
    of = {node.name: node for node in kept.nodes}
    assert isinstance(of["layers.0.mlp.shared.weighed"].op, Weigh)
    assert isinstance(of["layers.1.mlp.shared.weighed"].op, Mul)
