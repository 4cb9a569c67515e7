"""Latent attention unfolded: the same network, with an integer form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.emit import emit
from rtl_gen.ir import model as real
from rtl_gen.ir.verify import verify
from rtl_gen.plan import Plan
from rtl_gen.quantize import Examples, Recipe, quality, quantize, routing
from rtl_gen.quantize.latent import unfold
from tests.checkpoints import deepseek, mixtral, write

YARN = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "beta_fast": 32.0, "beta_slow": 1.0,
    "original_max_position_embeddings": 4, "mscale": 0.9, "mscale_all_dim": 0.7,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "interleaved, odd part": {},
    "half-split": {"rope_interleave": False, "qk_nope_head_dim": 4},
    "values longer than keys": {"v_head_dim": 10},
    "no rank of queries, biases": {"q_lora_rank": None, "attention_bias": True},
    "scaled rotation": {"rope_parameters": YARN},
}


def imported(folder: Path, config: Any, tensors: Any) -> Any:
    checkpoint = open_checkpoint(write(folder, config, tensors))
    model = import_model(checkpoint)
    return model, reference.load_weights(model, checkpoint)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_unfolded_network_is_the_same(tmp_path: Path, variant: str) -> None:
    model, weights = imported(tmp_path, *deepseek(**VARIANTS[variant]))
    ids = np.random.default_rng(4).integers(0, model.vocabulary, (3, model.context))
    other, made = unfold(model, weights)
    assert any(isinstance(node.op, real.Gather) for node in model.nodes)
    assert not any(isinstance(node.op, real.Gather) for node in other.nodes)
    for node in other.nodes:
        if isinstance(node.op, real.Attention | real.Rotary):
            assert node.op.head_dim % 2 == 0
    found = reference.run(other, made, {"input_ids": ids})["logits"]
    expected = reference.run(model, weights, {"input_ids": ids})["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_network_without_it_stays(tmp_path: Path) -> None:
    model, weights = imported(tmp_path, *mixtral())
    assert unfold(model, weights) == (model, weights)


def test_integers_are_near_and_have_a_chip(tmp_path: Path) -> None:
    model, weights = imported(tmp_path, *deepseek())
    rng = np.random.default_rng(5)
    ids = rng.integers(0, model.vocabulary, (2, 24, model.context + 1))
    learned, held_out = (Examples(part[:, :-1], part[:, 1:]) for part in ids)
    graph = quantize(model, weights, Recipe(), learned, {})
    verify(graph)
    found = quality(model, weights, graph, held_out)
    assert found["quality__kl"] < 0.02
    routed = routing(model, weights, graph, held_out)
    assert routed is not None
    assert routed.disagreement < 0.1
    assert "route" in emit(graph, Plan(2)).manifest["units"]
