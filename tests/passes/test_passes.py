"""Passes change the graph and not one integer of its outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtl_gen.golden import interpreter
from rtl_gen.ir.integer import Constant
from rtl_gen.ir.verify import verify
from rtl_gen.passes import remove_dead, share_constants
from tests.graphs import I16, SEED, Draft, language


def logits(graph):
    tokens = np.random.default_rng(SEED).integers(0, graph.vocabulary, (5, graph.context))
    return interpreter.sequences(graph, {"tokens": tokens})["logits"]


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
