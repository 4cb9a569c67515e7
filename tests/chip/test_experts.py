"""Chips with routed experts, and with norms of heads, against the golden interpreter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_gen.emit import emit
from rtl_gen.errors import UnsupportedError
from rtl_gen.golden import interpreter
from rtl_gen.golden.sample import initial_rng
from rtl_gen.ir import integer as ir
from rtl_gen.plan import Plan
from tests import checkpoints
from tests.chip.test_shapes import BETA, lowered
from tests.harness import run_cocotb, seed

MODELS: dict[str, tuple[Any, dict[str, Any], Plan]] = {
    "top_2_of_4": (checkpoints.mixtral, {}, Plan(4, elements=2)),
    "top_1_of_3": (
        checkpoints.mixtral,
        {"num_local_experts": 3, "num_experts_per_tok": 1, "num_hidden_layers": 1},
        Plan(8),
    ),
    "parts_of_the_sum_over_all": (checkpoints.olmoe, {}, Plan(4, elements=2)),
    "experts_wired_apart": (
        checkpoints.mixtral,
        {"num_hidden_layers": 1, "num_local_experts": 2, "num_experts_per_tok": 1},
        Plan(4, elements=2, styles=(("layers.0.mlp.slots.0.up.weight", "serial"),
                                    ("layers.0.mlp.slots.0.down.weight", "parallel"))),
    ),
    "windows_and_sinks": (checkpoints.gpt_oss, {}, Plan(4, elements=2, heads=2)),
    "shared_expert_with_a_gate": (checkpoints.qwen2_moe, {}, Plan(4, elements=2)),
    "latent_attention_and_groups_of_experts": (
        checkpoints.deepseek,
        {},
        Plan(4, elements=2),
    ),
    "scores_without_groups": (
        checkpoints.deepseek,
        {"first_k_dense_replace": 0, "n_group": 1, "topk_group": 1, "norm_topk_prob": False},
        Plan(4),
    ),
    "norms_of_heads": (checkpoints.qwen3, {}, Plan(4, elements=2)),
}  # fmt: skip


def sequences(graph: ir.IntegerGraph) -> list[dict[str, Any]]:
    """Prompts and what golden says to them, greedy and sampled."""
    rng = np.random.default_rng(seed())
    cases = []
    for case in range(3):
        prompt = [*graph.bos, *rng.integers(0, graph.vocabulary, 2 * case).tolist()] or [1]
        beta = (0, BETA)[case % 2]
        want = list(interpreter.generate(graph, prompt, beta=beta, seed=case, limit=8))
        cases.append(
            {"prompt": prompt, "beta": beta, "seed": initial_rng(case), "limit": 8, "want": want}
        )
    return cases


def graph_of(name: str, tmp_path: Path) -> ir.IntegerGraph:
    make, overrides, _ = MODELS[name]
    rng = np.random.default_rng(seed())
    return lowered(
        checkpoints.write(tmp_path / "checkpoint", *make(**{"eos_token_id": None} | overrides)),
        lambda model: rng.integers(0, model.vocabulary, (8, model.context)),
    )


@pytest.mark.cocotb
@pytest.mark.parametrize("name", MODELS)
def test_chip_equals_golden(name: str, tmp_path: Path) -> None:
    graph = graph_of(name, tmp_path)
    cases = sequences(graph)
    assert sum(len(case["want"]) for case in cases) == 24
    chip = emit(graph, MODELS[name][2])
    run_cocotb(
        chip.verilog,
        module="tests.chip.test_shapes",
        build_dir=tmp_path / "run",
        parameters={"cases": cases},
        files=chip.images,
        testcase="sequences",
        top="chip",
    )


def changed(graph: ir.IntegerGraph, name: str, data: Any) -> ir.IntegerGraph:
    old = graph.constants[name]
    return replace(graph, constants={**graph.constants, name: ir.Constant(old.type, data)})


def test_swapped_experts_and_another_tie_change_what_is_said(tmp_path: Path) -> None:
    """What the comparison above would catch: the golden answers of the mutants differ."""
    graph = graph_of("top_2_of_4", tmp_path)
    right = [case["want"] for case in sequences(graph)]
    weight = graph.constants["layers.0.mlp.slots.0.down.weight"].data
    swapped = changed(graph, "layers.0.mlp.slots.0.down.weight", weight[[1, 0, 2, 3]])
    assert [case["want"] for case in sequences(swapped)] != right
    # all experts tie: the first two are chosen; a chip that takes the last ones says something else
    router = "layers.0.mlp.router.weight"
    tied = changed(graph, router, np.zeros_like(graph.constants[router].data))
    last = changed(tied, "layers.0.mlp.slots.0.down.weight", weight[[2, 3, 0, 1]])
    assert [case["want"] for case in sequences(tied)] != [case["want"] for case in sequences(last)]


def test_area_follows_all_experts_and_the_program_the_chosen_ones(tmp_path: Path) -> None:
    sizes = {}
    for experts in (2, 4):
        config, tensors = checkpoints.mixtral(num_local_experts=experts)
        graph = lowered(
            checkpoints.write(tmp_path / str(experts), config, tensors),
            lambda model: np.arange(16).reshape(1, 16) % model.vocabulary,
        )
        chip = emit(graph, Plan(4, elements=2))
        rom = next(m for m in chip.manifest["memories"] if m["name"] == "matvec_weight")
        sizes[experts] = (rom["depth"], len(chip.manifest["schedule"]))
    # hidden 8, inner 12, 4 lanes of 2: three matrices of an expert are 12 + 12 + 12 words, 2 layers
    # the router's matrix of 2 or of 4 rows is one group of 4 words
    assert sizes[4][0] - sizes[2][0] == 2 * 2 * 36
    assert sizes[4][1] == sizes[2][1]


def test_groups_of_a_softmax_router_are_refused_by_name(tmp_path: Path) -> None:
    graph = graph_of("top_2_of_4", tmp_path)
    nodes = tuple(
        replace(node, op=replace(node.op, groups=2)) if isinstance(node.op, ir.Route) else node
        for node in graph.nodes
    )
    with pytest.raises(UnsupportedError, match=r"layers\.0\.mlp\.choice: a router of softmax"):
        emit(replace(graph, nodes=nodes), Plan(4, elements=2))
