"""Tables of what depends on token and position alone; what has no hardware in space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtl_gen.errors import ConfigError, UnsupportedError
from rtl_gen.golden import interpreter
from rtl_gen.ir import integer as ir
from rtl_gen.plan import Plan
from rtl_gen.space.chip import SpaceChip
from rtl_gen.space.fold import fold
from tests import graphs

PLAN = Plan(1, binding="space")


@pytest.mark.parametrize("matrices", [False, True])
def test_a_table_holds_the_golden_values(matrices: bool) -> None:
    graph = graphs.language()
    tables = fold(graph, matrices)
    assert ("q_rotary" in tables) == matrices
    rng = np.random.default_rng(graphs.SEED)
    tokens = rng.integers(0, graph.vocabulary, (1, graph.context))
    values = interpreter.sequences(graph, {"tokens": tokens})
    for name, table in tables.items():
        for position in range(graph.context):
            address, low = 0, 0
            for kind, bits in zip(table.inputs, table.bits, strict=True):
                chosen = {"token": tokens[0, position], "position": position}[kind]
                address |= int(chosen) << low
                low += bits
            want = values[name][0, position].reshape(-1)
            assert table.words[address].tolist() == want.tolist()


def test_what_waits_for_a_cache_is_no_table() -> None:
    assert not {"mixed", "output", "logits"} & set(fold(graphs.language(), True))


def test_windows_are_refused() -> None:
    graph = graphs.language()
    nodes = tuple(
        replace(node, op=replace(node.op, window=3)) if isinstance(node.op, ir.Attention) else node
        for node in graph.nodes
    )
    with pytest.raises(UnsupportedError, match="mixed: Attention has no hardware in space"):
        SpaceChip(replace(graph, nodes=nodes), PLAN)


def test_frames_and_replay_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="reads frames"):
        SpaceChip(graphs.image(), PLAN)
    with pytest.raises(UnsupportedError, match="does not replay"):
        SpaceChip(replace(graphs.language(), replay=3), PLAN)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"binding": "time"}, "binding"),
        ({"tables": "all"}, "tables"),
        ({"positions": 3}, "power of two"),
        ({"top_k": 2}, "top_k"),
    ],
)
def test_a_plan_in_space_says_what_is_wrong(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Plan(1, **{"binding": "space"} | wrong)
