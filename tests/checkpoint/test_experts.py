"""Mixtures of experts: how checkpoints store them, and what a routed layer computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.checkpoint.mxfp4 import read
from rtl_gen.errors import CheckpointError
from rtl_gen.reference import routing
from tests.checkpoints import mixtral, write, write_tensors


def logits(path: Path, config, tensors, ids):
    checkpoint = open_checkpoint(write(path, config, tensors))
    graph = import_model(checkpoint)
    weights = reference.load_weights(graph, checkpoint)
    return reference.run(graph, weights, {"input_ids": ids})["logits"]


IDS = np.random.default_rng(1).integers(0, 16, (3, 10))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_a_routed_layer_is_the_weighted_sum_of_the_best_experts(tmp_path, k):
    config, tensors = mixtral(num_experts_per_tok=k, num_hidden_layers=1)
    checkpoint = open_checkpoint(write(tmp_path, config, tensors))
    graph = import_model(checkpoint)
    state = reference.initial_state(graph, 3)
    values, _ = reference.advance(
        graph, reference.load_weights(graph, checkpoint), {"input_ids": IDS}, state
    )
    block = "model.layers.0.block_sparse_moe."
    h, after = values["layers.0.mlp.norm"], values["layers.0.mlp.residual"]
    for row in np.ndindex(IDS.shape):
        x = h[row]
        scores = np.exp(tensors[f"{block}gate.weight"] @ x)
        best = sorted(range(4), key=lambda e: -scores[e])[:k]
        total = np.zeros(8)
        for e in best:
            w1, w2, w3 = (tensors[f"{block}experts.{e}.w{i}.weight"] for i in (1, 2, 3))
            gate = w1 @ x
            out = w2 @ (gate / (1 + np.exp(-gate)) * (w3 @ x))
            total += scores[e] / scores[best].sum() * out
        before = values["layers.0.attention.residual"][row]
        np.testing.assert_allclose(after[row], before + total, atol=1e-6)


def test_experts_fused_along_the_first_axis_are_the_same_model(tmp_path):
    config, tensors = mixtral()
    fused = {name: array for name, array in tensors.items() if "sparse" not in name}
    for layer in range(2):
        old, new = f"model.layers.{layer}.block_sparse_moe.", f"model.layers.{layer}.mlp."
        fused[f"{new}gate.weight"] = tensors[f"{old}gate.weight"]
        w1, w2, w3 = (
            np.stack([tensors[f"{old}experts.{e}.w{i}.weight"] for e in range(4)])
            for i in (1, 2, 3)
        )
        fused[f"{new}experts.gate_up_proj"] = np.concatenate([w1, w3], axis=1)
        fused[f"{new}experts.down_proj"] = w2
    expected = logits(tmp_path / "apart", config, tensors, IDS)
    np.testing.assert_array_equal(logits(tmp_path / "fused", config, fused, IDS), expected)


def test_a_missing_expert_is_named(tmp_path):
    config, tensors = mixtral()
    del tensors["model.layers.1.block_sparse_moe.experts.3.w2.weight"]
    with pytest.raises(CheckpointError, match=r"layers\.1\.block_sparse_moe\.experts\.3\.w2"):
        import_model(open_checkpoint(write(tmp_path, config, tensors)))


def test_more_experts_per_token_than_there_are_is_refused(tmp_path):
    config, tensors = mixtral(num_experts_per_tok=5)
    with pytest.raises(CheckpointError, match="num_experts_per_tok: expected at most 4 experts"):
        import_model(open_checkpoint(write(tmp_path, config, tensors)))


def test_equal_scores_go_to_the_expert_that_comes_first():
    found = routing.route(np.array([[1.0, 2.0, 2.0, 2.0]]), 3, "softmax")
    assert found.tolist() == [[1, 2, 3]]


def test_capacity_drops_the_tokens_that_come_last():
    choice = np.array([[[0], [0], [1], [0]]])
    gates = np.full((1, 4, 1), 0.5)
    kept, taken = routing.capacity(gates, choice, np.zeros((1, 2), np.int64), 2)
    assert kept[0, :, 0].tolist() == [0.5, 0.5, 0.5, 0.0]
    assert taken.tolist() == [[3, 1]]
    later, _ = routing.capacity(gates[:, :1], np.array([[[1]]]), taken, 1)
    assert later.tolist() == [[[0.0]]]


def test_second_choices_queue_behind_all_first_ones():
    choice = np.array([[[0, 1], [1, 0]]])
    kept, _ = routing.capacity(np.ones((1, 2, 2)), choice, np.zeros((1, 2), np.int64), 1)
    assert kept.tolist() == [[[1.0, 0.0], [1.0, 0.0]]]


def mxfp4_file(path: Path, scale: int, blocks_shape=(1, 2, 1, 16)) -> Path:
    blocks = np.arange(np.prod(blocks_shape), dtype=np.uint8).reshape(blocks_shape) * 17
    scales = np.full((1, 2, 1), scale, np.uint8)
    file = path / "model.safetensors"
    write_tensors(file, {"w_blocks": blocks, "w_scales": scales})
    (path / "config.json").write_text("{}")
    return file


def test_mxfp4_elements_are_magnitudes_by_table_times_a_power_of_two(tmp_path):
    found = read(open_checkpoint(mxfp4_file(tmp_path, 126)).entries, "w", 0)
    # byte i holds 17 i: both halves are i; scale 126 is 2**-1
    halves = [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3]
    row = [x for value in [*halves, *(-x for x in halves)] for x in (value, value)]
    assert found.shape == (2, 32)
    assert found[0].tolist() == row


def test_mxfp4_nan_scale_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="w_scales' holds 255"):
        read(open_checkpoint(mxfp4_file(tmp_path, 255)).entries, "w", None)


def test_mxfp4_blocks_of_another_size_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected the same and 16 bytes a block"):
        read(open_checkpoint(mxfp4_file(tmp_path, 127, (1, 2, 1, 8))).entries, "w", None)
