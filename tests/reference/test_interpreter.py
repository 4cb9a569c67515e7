"""The reference interpreter: steps, blocks and whole sequences are one computation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import CheckpointError
from tests.checkpoints import (
    cnn,
    gpt2,
    llama,
    micro_gpt,
    mlp,
    tiny_cnn,
    tiny_gpt2,
    tiny_llama,
    write,
)

IDS = np.array([[1, 5, 3, 2, 9, 9, 0], [4, 4, 9, 1, 15, 2, 7], [0, 1, 2, 3, 4, 5, 6]])


def loaded(folder):
    checkpoint = open_checkpoint(folder)
    graph = import_model(checkpoint)
    return graph, reference.load_weights(graph, checkpoint)


def rms(x, gain, eps=1e-5):
    return x / math.sqrt((x * x).mean() + eps) * gain


def naive_llama(config, tensors, ids):
    """Logits of one sequence, (time, vocabulary): the paper's formulas, one position at a time."""
    t = {name: array.astype(np.float64) for name, array in tensors.items()}
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim = config["head_dim"] or config["hidden_size"] // heads
    turn = np.exp(1j * np.outer(np.arange(len(ids)), 10000.0 ** (-2 * np.arange(dim // 2) / dim)))

    def rotated(x, position):
        z = (x[: dim // 2] + 1j * x[dim // 2 :]) * turn[position]
        return np.concatenate([z.real, z.imag])

    xs = [t["model.embed_tokens.weight"][i] for i in ids]
    for layer in range(config["num_hidden_layers"]):
        w = {k.split(f"layers.{layer}.")[1]: v for k, v in t.items() if f"layers.{layer}." in k}

        def linear(name, x, w=w):
            return w[f"{name}.weight"] @ x + w.get(f"{name}.bias", 0)

        keys, values = [], []
        for position, x in enumerate(xs):
            h = rms(x, w["input_layernorm.weight"])
            q, k, v = (linear(f"self_attn.{n}_proj", h) for n in "qkv")
            keys.append([rotated(part, position) for part in k.reshape(kv_heads, dim)])
            values.append(v.reshape(kv_heads, dim))
            mixed = []
            for head, part in enumerate(q.reshape(heads, dim)):
                g = head * kv_heads // heads
                scores = [rotated(part, position) @ key[g] / math.sqrt(dim) for key in keys]
                p = np.exp(scores) / np.exp(scores).sum()
                mixed.append(sum(a * value[g] for a, value in zip(p, values, strict=True)))
            xs[position] = x + linear("self_attn.o_proj", np.concatenate(mixed))
        for position, x in enumerate(xs):
            h = rms(x, w["post_attention_layernorm.weight"])
            gate, up = linear("mlp.gate_proj", h), linear("mlp.up_proj", h)
            xs[position] = x + linear("mlp.down_proj", gate / (1 + np.exp(-gate)) * up)
    head = t.get("lm_head.weight", t["model.embed_tokens.weight"])
    return np.array([head @ rms(x, t["model.norm.weight"]) for x in xs])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6},
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    ],
)
def test_llama_computes_the_paper_s_formulas(tmp_path, options):
    config, tensors = llama(**options)
    graph, weights = loaded(write(tmp_path, config, tensors))
    found = reference.run(graph, weights, {"input_ids": IDS})["logits"]
    for row, ids in zip(found, IDS, strict=True):
        np.testing.assert_allclose(row, naive_llama(config, tensors, ids), atol=1e-12)


def naive_gpt2(config, tensors, ids):
    """Logits of one sequence, (time, vocabulary)."""
    t = {k.removeprefix("transformer."): v.astype(np.float64) for k, v in tensors.items()}
    n, heads = config["n_embd"], config["n_head"]
    dim = n // heads

    def norm(name, x):
        y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return y * t[f"{name}.weight"] + t[f"{name}.bias"]

    def conv1d(name, x):
        return x @ t[f"{name}.weight"] + t[f"{name}.bias"]

    x = t["wte.weight"][ids] + t["wpe.weight"][: len(ids)]
    for layer in range(config["n_layer"]):
        qkv = conv1d(f"h.{layer}.attn.c_attn", norm(f"h.{layer}.ln_1", x))
        parts = []
        for head in range(heads):
            q, k, v = (qkv[:, p * n + head * dim : p * n + (head + 1) * dim] for p in range(3))
            scores = np.exp(q @ k.T / math.sqrt(dim)) * np.tri(len(ids))
            parts.append(scores / scores.sum(1, keepdims=True) @ v)
        x = x + conv1d(f"h.{layer}.attn.c_proj", np.concatenate(parts, 1))
        h = conv1d(f"h.{layer}.mlp.c_fc", norm(f"h.{layer}.ln_2", x))
        h = h / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + conv1d(f"h.{layer}.mlp.c_proj", h)
    return norm("ln_f", x) @ t["wte.weight"].T


def test_gpt2_computes_the_paper_s_formulas(tmp_path):
    config, tensors = gpt2()
    graph, weights = loaded(write(tmp_path, config, tensors))
    found = reference.run(graph, weights, {"input_ids": IDS})["logits"]
    for row, ids in zip(found, IDS, strict=True):
        np.testing.assert_allclose(row, naive_gpt2(config, tensors, ids), atol=1e-12)


def naive_micro_gpt(config, tensors, ids):
    """Logits of one sequence, (time, vocabulary)."""
    t = {k: v.astype(np.float64) for k, v in tensors.items()}
    n, heads = config["n_embd"], config["n_head"]
    dim = n // heads

    def norm(x):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)

    x = norm(t["wte"][ids] + t["wpe"][: len(ids)])
    for layer in range(config["n_layer"]):
        w = {k.split(".")[1]: v for k, v in t.items() if k.startswith(f"layer{layer}.")}
        q, k, v = (norm(x) @ w[f"attn_w{name}"].T for name in "qkv")
        parts = []
        for head in range(heads):
            at = slice(head * dim, (head + 1) * dim)
            scores = np.exp(q[:, at] @ k[:, at].T / math.sqrt(dim)) * np.tri(len(ids))
            parts.append(scores / scores.sum(1, keepdims=True) @ v[:, at])
        x = x + np.concatenate(parts, 1) @ w["attn_wo"].T
        x = x + np.maximum(norm(x) @ w["mlp_fc1"].T, 0) @ w["mlp_fc2"].T
    return x @ t["lm_head"].T


def test_micro_gpt_computes_its_formulas(tmp_path):
    config, tensors = micro_gpt(n_layer=2)
    graph, weights = loaded(write(tmp_path, config, tensors))
    found = reference.run(graph, weights, {"input_ids": IDS})["logits"]
    for row, ids in zip(found, IDS, strict=True):
        np.testing.assert_allclose(row, naive_micro_gpt(config, tensors, ids), atol=1e-12)


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_steps_blocks_and_runs_agree(tmp_path, monkeypatch, make):
    graph, weights = loaded(make(tmp_path))
    whole = reference.run(graph, weights, {"input_ids": IDS})["logits"]
    state = reference.initial_state(graph, len(IDS))
    for t in range(IDS.shape[1]):
        values, state = reference.step(graph, weights, {"input_ids": IDS[:, t]}, state)
        np.testing.assert_allclose(values["logits"], whole[:, t], atol=1e-12)
    assert state.position == IDS.shape[1]
    monkeypatch.setattr(reference.interpreter, "BLOCK", 3)
    blocks = reference.run(graph, weights, {"input_ids": IDS})["logits"]
    np.testing.assert_allclose(blocks, whole, atol=1e-12)


@pytest.mark.parametrize("make", [llama, gpt2, mlp, cnn])
def test_step_shows_every_node_with_its_shape(tmp_path, make):
    graph, weights = loaded(write(tmp_path, *make()))
    if graph.vocabulary:
        inputs = {"input_ids": np.array([3, 1])}
    else:
        inputs = {"x": np.ones((2, *graph.inputs[0].shape))}
    values, _ = reference.step(graph, weights, inputs, reference.initial_state(graph, 2))
    for node in graph.nodes:
        assert values[node.name].shape == (2, *node.shape)
        assert values[node.name].dtype == np.float64


def test_frames_are_independent(tmp_path):
    graph, weights = loaded(tiny_cnn(tmp_path))
    x = np.random.default_rng(0).normal(size=(4, 1, 6, 6))
    together = reference.run(graph, weights, {"x": x})["logits"]
    assert together.shape == (4, 4)
    for i in range(4):
        alone = reference.run(graph, weights, {"x": x[i : i + 1]})["logits"]
        np.testing.assert_allclose(alone[0], together[i], atol=1e-13)


def test_context_is_the_limit(tmp_path):
    graph, weights = loaded(tiny_llama(tmp_path))
    full = {"input_ids": np.zeros((1, 16), np.int64)}
    assert reference.run(graph, weights, full)["logits"].shape == (1, 16, 16)
    with pytest.raises(ValueError, match="the context is 16"):
        reference.run(graph, weights, {"input_ids": np.zeros((1, 17), np.int64)})


def test_state_made_for_fewer_steps_is_refused(tmp_path):
    graph, weights = loaded(tiny_llama(tmp_path))
    state = reference.initial_state(graph, 1, length=1)
    inputs = {"input_ids": np.array([1])}
    _, state = reference.step(graph, weights, inputs, state)
    with pytest.raises(ValueError, match="made for 1"):
        reference.step(graph, weights, inputs, state)


@pytest.mark.parametrize(
    "inputs", [{}, {"x": np.zeros((1, 1))}, {"input_ids": np.zeros((1, 2, 3), np.int64)}]
)
def test_wrong_inputs_are_refused(tmp_path, inputs):
    graph, weights = loaded(tiny_llama(tmp_path))
    with pytest.raises(ValueError, match="expected"):
        reference.advance(graph, weights, inputs, reference.initial_state(graph, 1))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    config, tensors = llama()
    tensors["model.layers.1.mlp.up_proj.weight"][3, 2] = np.nan
    checkpoint = open_checkpoint(write(tmp_path, config, tensors))
    graph = import_model(checkpoint)
    with pytest.raises(CheckpointError, match=r"'model\.layers\.1\.mlp\.up_proj\.weight'"):
        reference.load_weights(graph, checkpoint)
