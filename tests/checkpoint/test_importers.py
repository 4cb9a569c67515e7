"""Importers: what every architecture shares, and the refusals that name file and tensor."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.checkpoint.registry import registry
from rtl_gen.errors import CheckpointError, FlowError, UnsupportedError
from rtl_gen.ir.model import (
    Activation,
    Attention,
    Embedding,
    Linear,
    Norm,
    Rotary,
    TensorRef,
)
from rtl_gen.reference import load_weights
from rtl_gen.reference.interpreter import tensors as refs_of
from tests.checkpoints import cnn, gpt2, llama, micro_gpt, mlp, write

MAKERS = [llama, gpt2, micro_gpt, mlp, cnn]


def imported(tmp_path, config, tensors):
    return import_model(open_checkpoint(write(tmp_path, config, tensors)))


def refused(tmp_path, config, tensors, kind: type[FlowError] = CheckpointError) -> str:
    with pytest.raises(kind) as caught:
        imported(tmp_path, config, tensors)
    assert str(tmp_path) in str(caught.value)
    return str(caught.value)


def ops(graph, kind):
    return [node.op for node in graph.nodes if isinstance(node.op, kind)]


@pytest.mark.parametrize("make", MAKERS)
def test_every_tensor_is_read(tmp_path, make):
    config, tensors = make()
    graph = imported(tmp_path, config, tensors)
    used = {ref.name for node in graph.nodes for ref in refs_of(node.op)}
    assert used == tensors.keys()


@pytest.mark.parametrize("make", MAKERS)
def test_shapes_of_views_match_the_nodes(tmp_path, make):
    config, tensors = make()
    checkpoint = open_checkpoint(write(tmp_path, config, tensors))
    graph = import_model(checkpoint)
    weights = load_weights(graph, checkpoint)
    for node in graph.nodes:
        if isinstance(node.op, Linear):
            assert weights[node.op.weight].shape[0] == node.shape[0]


@pytest.mark.parametrize("make", MAKERS)
def test_values_are_defined_before_use_and_end_in_logits(tmp_path, make):
    graph = imported(tmp_path, *make())
    defined = {item.name for item in graph.inputs}
    for node in graph.nodes:
        assert set(node.inputs) <= defined
        assert node.name not in defined
        defined.add(node.name)
    assert graph.outputs == {"logits": "logits"}
    assert graph.nodes[-1].name == "logits"


@pytest.mark.parametrize("make", MAKERS)
def test_each_missing_tensor_is_named(tmp_path, make):
    config, tensors = make()
    for name in tensors:
        if make in (mlp, cnn) and name.endswith(".bias"):
            continue  # a plain layer has a bias if it is stored
        rest = {other: array for other, array in tensors.items() if other != name}
        message = refused(tmp_path, config, rest)
        assert name.removesuffix(".weight") in message


@pytest.mark.parametrize("make", MAKERS)
def test_each_wrong_shape_is_named(tmp_path, make):
    config, tensors = make()
    for name, array in tensors.items():
        wrong = tensors | {name: np.zeros((*array.shape[:-1], array.shape[-1] + 1), "f4")}
        message = refused(tmp_path, config, wrong)
        assert f"model.safetensors: tensor {name!r} has shape" in message
        assert f"config.json asks for {list(array.shape)}" in message


@pytest.mark.parametrize("make", MAKERS)
def test_extra_tensor_is_named(tmp_path, make):
    config, tensors = make()
    message = refused(tmp_path, config, tensors | {"model.extra": np.zeros(2, "f4")})
    assert "model.safetensors: 1 tensors have no place" in message
    assert "'model.extra'" in message


@pytest.mark.parametrize("make", MAKERS)
def test_integer_weights_are_a_wrong_dtype(tmp_path, make):
    config, tensors = make()
    name = next(name for name in tensors if tensors[name].ndim > 1)
    message = refused(tmp_path, config, tensors | {name: tensors[name].astype("i4")})
    assert f"tensor {name!r} has dtype I32, expected one of F64" in message


@pytest.mark.parametrize(
    ("make", "key", "value"),
    [
        (llama, "hidden_size", 12),
        (llama, "vocab_size", 17),
        (llama, "intermediate_size", 13),
        (llama, "num_hidden_layers", 3),
        (llama, "num_hidden_layers", 2**31 - 1),
        (llama, "num_hidden_layers", 1),
        (llama, "num_key_value_heads", 2),
        (llama, "head_dim", 8),
        (llama, "tie_word_embeddings", False),
        (llama, "attention_bias", True),
        (llama, "mlp_bias", True),
        (gpt2, "n_embd", 10),
        (gpt2, "n_positions", 32),
        (gpt2, "n_layer", 1),
        (gpt2, "n_inner", 16),
        (gpt2, "tie_word_embeddings", False),
    ],
)
def test_config_that_contradicts_the_tensors(tmp_path, make, key, value):
    config, tensors = make()
    message = refused(tmp_path, config | {key: value}, tensors)
    assert "tensor" in message


@pytest.mark.parametrize(
    ("make", "key", "value"),
    [
        (llama, "hidden_size", None),
        (llama, "hidden_size", "8"),
        (llama, "hidden_size", -8),
        (llama, "hidden_size", True),
        (llama, "num_hidden_layers", 2**31),
        (llama, "num_attention_heads", 0),
        (llama, "num_key_value_heads", 3),
        (llama, "rms_norm_eps", "small"),
        (llama, "rms_norm_eps", -1),
        (llama, "rms_norm_eps", 0),
        (llama, "tie_word_embeddings", "yes"),
        (llama, "bos_token_id", 16),
        (llama, "bos_token_id", [0, 1]),
        (llama, "eos_token_id", [0, -1]),
        (llama, "eos_token_id", "</s>"),
        (llama, "rope_parameters", "default"),
        (gpt2, "n_head", 3),
        (gpt2, "vocab_size", 1.5),
        (mlp, "layers", "two"),
        (mlp, "layers", []),
        (mlp, "layers", [7]),
        (mlp, "input_shape", [0, 2]),
    ],
)
def test_wrong_value_names_the_key(tmp_path, make, key, value):
    config, tensors = make()
    message = refused(tmp_path, config | {key: value}, tensors)
    assert f"config.json: {key}" in message
    assert "expected" in message


@pytest.mark.parametrize(
    ("make", "key", "value"),
    [
        (llama, "hidden_act", "relu6"),
        (llama, "sliding_window", 8),
        (llama, "quantization_config", {"bits": 4}),
        (llama, "head_dim", 3),
        (gpt2, "activation_function", "linear"),
        (gpt2, "add_cross_attention", True),
    ],
)
def test_unsupported_value_is_named(tmp_path, make, key, value):
    overrides = {key: value}
    if key == "head_dim":
        config, tensors = make(**overrides)
    else:
        config, tensors = make()
        config |= overrides
    message = refused(tmp_path, config, tensors, UnsupportedError)
    assert f"config.json: {key}" in message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["LlamaForCausalML"], "nearest is LlamaForCausalLM"),
        (["Zzzz"], "no importer for architecture 'Zzzz' (known: "),
        ([], "expected a list of one name"),
        (None, "expected a list of one name"),
        (["LlamaForCausalLM", "GPT2LMHeadModel"], "expected a list of one name"),
        ("LlamaForCausalLM", "expected a list of one name"),
    ],
)
def test_unknown_architecture(tmp_path, names, message):
    config, tensors = llama(architectures=names)
    found = refused(tmp_path, config, tensors, UnsupportedError)
    assert message in found
    assert "GPT2LMHeadModel" in found


def test_registry_finds_every_file():
    assert {"LlamaForCausalLM", "GPT2LMHeadModel", "DigitsCNN", "Graph"} <= registry().keys()


def test_token_ids_come_from_the_generation_config_first(tmp_path):
    folder = write(tmp_path, *llama())
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 5, 3]}))
    graph = import_model(open_checkpoint(folder))
    assert (graph.bos, graph.eos) == ((0,), (3, 5))


def test_token_ids_may_be_null(tmp_path):
    graph = imported(tmp_path, *llama(bos_token_id=None, eos_token_id=None))
    assert (graph.bos, graph.eos) == ((), ())


def test_llama_head_sizes(tmp_path):
    graph = imported(tmp_path, *llama(head_dim=6, num_attention_heads=3))
    assert ops(graph, Attention)[0] == Attention(3, 1, 6, 6**-0.5)
    assert [(op.heads, op.head_dim) for op in ops(graph, Rotary)[:2]] == [(3, 6), (1, 6)]


def test_llama_biases_and_head(tmp_path):
    options = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}
    graph = imported(tmp_path, *llama(**options))
    linear = ops(graph, Linear)
    assert [op.bias is None for op in linear] == [False] * 14 + [True]
    assert linear[-1].weight == TensorRef("lm_head.weight")


def test_llama_stored_buffers_are_not_weights(tmp_path):
    config, tensors = llama()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(2, "f4")
    assert len(imported(tmp_path, config, tensors).nodes) == len(imported(tmp_path, *llama()).nodes)


@pytest.mark.parametrize("make", [llama, gpt2])
def test_tied_head_that_is_stored_must_be_the_table(tmp_path, make):
    config, tensors = make()
    table = "model.embed_tokens.weight" if make is llama else "transformer.wte.weight"
    graph = imported(tmp_path, config, tensors | {"lm_head.weight": tensors[table]})
    assert ops(graph, Linear)[-1].weight == TensorRef(table)
    message = refused(tmp_path, config, tensors | {"lm_head.weight": tensors[table] + 1})
    assert "'lm_head.weight' differs from" in message


def test_gpt2_splits_and_transposes(tmp_path):
    graph = imported(tmp_path, *gpt2())
    q, k, v = ops(graph, Linear)[:3]
    name = "transformer.h.0.attn.c_attn"
    for index, op in enumerate((q, k, v)):
        rows = (8 * index, 8 * index + 8)
        assert op.weight == TensorRef(f"{name}.weight", transpose=True, rows=rows)
        assert op.bias == TensorRef(f"{name}.bias", rows=rows)
    assert all(op.center for op in ops(graph, Norm))
    assert [op.table.name for op in ops(graph, Embedding)] == [
        "transformer.wte.weight",
        "transformer.wpe.weight",
    ]


def test_gpt2_without_prefix_and_with_mask_buffers(tmp_path):
    config, tensors = gpt2(prefix="")
    tensors["h.0.attn.bias"] = np.ones((1, 1, 16, 16), "f4")
    tensors["h.0.attn.masked_bias"] = np.array(-1e4, "f4")
    plain = imported(tmp_path, config, tensors)
    prefixed = imported(tmp_path, *gpt2())
    assert [node.name for node in plain.nodes] == [node.name for node in prefixed.nodes]


@pytest.mark.parametrize(
    ("options", "scales"),
    [
        ({}, [0.5, 0.5]),
        ({"scale_attn_weights": False}, [1, 1]),
        ({"scale_attn_by_inverse_layer_idx": True}, [0.5, 0.25]),
    ],
)
def test_gpt2_score_scale(tmp_path, options, scales):
    graph = imported(tmp_path, *gpt2(**options))
    assert [op.scale for op in ops(graph, Attention)] == scales


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gelu_new", "gelu_tanh"), ("gelu", "gelu"), ("quick_gelu", "quick_gelu"), ("relu", "relu")],
)
def test_activation_names(tmp_path, name, kind):
    graph = imported(tmp_path, *gpt2(activation_function=name))
    assert ops(graph, Activation) == [Activation(kind)] * 2
