"""PEFT adapters: what is read, what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.adapter.apply import beside, merge
from rtl_gen.adapter.peft import parse
from rtl_gen.adapter.reader import LoraPair, load_adapter
from rtl_gen.adapter.region import Regions, insert
from rtl_gen.adapter.writer import to_files
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import CheckpointError, ConfigError, FlowError, UnsupportedError
from tests import checkpoints
from tests.adapter import peft_files

SHARED = Path(__file__).parents[3] / "shared"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
REGIONS = Regions(("*.attention.[qkv]", "*.output", "*.gate", "*.up", "*.down"), rank=3)


def opened(path: Path):
    checkpoint = open_checkpoint(path)
    graph = import_model(checkpoint)
    return graph, reference.load_weights(graph, checkpoint)


def test_scale_rank_and_patterns(tmp_path: Path) -> None:
    graph, _ = opened(checkpoints.tiny_llama(tmp_path / "base"))
    rng = np.random.default_rng(1)
    q, v = "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.v_proj"
    tensors = peft_files.factors(rng, q, 8, 8, 4) | peft_files.factors(rng, v, 4, 8, 2)
    settings = peft_files.config(
        ["q_proj", "v_proj"], 2, rank_pattern={"layers.0.self_attn.q_proj": 4},
        alpha_pattern={r"layers\.\d+\.self_attn\.q_proj": 6}, use_rslora=True,
    )  # fmt: skip
    adapter = load_adapter(peft_files.save(tmp_path / "lora", settings, tensors), graph)
    assert {name: pair.rank for name, pair in adapter.pairs.items()} == {
        "layers.0.attention.q": 4, "layers.1.attention.v": 2,
    }  # fmt: skip
    stored = tensors[f"{q}.lora_B.weight"].astype("f4").astype(float) * (6 / math.sqrt(4))
    np.testing.assert_allclose(adapter.pairs["layers.0.attention.q"].b, stored, rtol=1e-12)
    stored = tensors[f"{v}.lora_B.weight"].astype("f4").astype(float) * (4 / math.sqrt(2))
    np.testing.assert_allclose(adapter.pairs["layers.1.attention.v"].b, stored, rtol=1e-12)


def test_a_fused_projection_splits_into_its_three_nodes(tmp_path: Path) -> None:
    graph, weights = opened(checkpoints.tiny_gpt2(tmp_path / "base"))
    rng = np.random.default_rng(2)
    name = "transformer.h.1.attn.c_attn"
    tensors = peft_files.factors(rng, name, 24, 8, 2)
    settings = peft_files.config(".*c_attn", 2, fan_in_fan_out=True)
    adapter = load_adapter(peft_files.save(tmp_path / "lora", settings, tensors), graph)
    assert sorted(adapter.pairs) == [f"layers.1.attention.{part}" for part in "kqv"]
    _, merged = merge(graph, weights, adapter)
    a, b = (tensors[f"{name}.lora_{side}.weight"].astype("f4").astype(float) for side in "AB")
    for index, part in enumerate("qkv"):
        (node,) = (n for n in graph.nodes if n.name == f"layers.1.attention.{part}")
        found = next(x for ref, x in merged.items() if ref.name == f"{node.name}.merged")
        change = 2 * (b @ a)[8 * index : 8 * index + 8]
        np.testing.assert_allclose(found - weights[node.op.weight], change, atol=1e-12)


def test_an_embedding_of_a_tied_model_changes_alone(tmp_path: Path) -> None:
    graph, weights = opened(checkpoints.tiny_llama(tmp_path / "base"))
    rng = np.random.default_rng(3)
    tensors = {
        "model.embed_tokens.lora_embedding_A": rng.normal(0, 1, (2, 16)),
        "model.embed_tokens.lora_embedding_B": rng.normal(0, 1, (8, 2)),
    }
    settings = peft_files.config(["embed_tokens"], 2)
    adapter = load_adapter(peft_files.save(tmp_path / "lora", settings, tensors), graph)
    merged, found = merge(graph, weights, adapter)
    table = graph.nodes[0].op.table
    first = merged.nodes[0].op.table
    change = 2 * (tensors["model.embed_tokens.lora_embedding_B"].astype("f4").astype(float)
                  @ tensors["model.embed_tokens.lora_embedding_A"].astype("f4")).T  # fmt: skip
    np.testing.assert_allclose(found[first] - weights[table], change, atol=1e-12)
    assert merged.nodes[-1].op.weight == table  # the output layer keeps the base's tensor


def test_a_convolution_is_merged(tmp_path: Path) -> None:
    graph, weights = opened(checkpoints.tiny_cnn(tmp_path / "base"))
    rng = np.random.default_rng(4)
    tensors = {
        "conv2.lora_A.weight": rng.normal(0, 1, (2, 2, 2, 3)),
        "conv2.lora_B.weight": rng.normal(0, 1, (3, 2, 1, 1)),
    }
    adapter = load_adapter(
        peft_files.save(tmp_path / "lora", peft_files.config(["conv2"], 2), tensors), graph
    )
    (name,) = adapter.pairs
    merged, found = merge(graph, weights, adapter)
    (node,) = (n for n in merged.nodes if n.name == name)
    a, b = (tensors[f"conv2.lora_{s}.weight"].astype("f4").astype(float) for s in "AB")
    change = 2 * np.einsum("or,rikl->oikl", b[:, :, 0, 0], a)
    base = next(n for n in graph.nodes if n.name == name).op.weight
    np.testing.assert_allclose(found[node.op.weight] - weights[base], change, atol=1e-12)


def test_regions_compute_what_merging_computes(tmp_path: Path) -> None:
    graph, weights = opened(checkpoints.tiny_llama(tmp_path / "base"))
    adapter = load_adapter(peft_files.llama(tmp_path / "lora", ALL), graph)
    tokens = {"input_ids": np.random.default_rng(1).integers(0, 16, (2, 9))}
    adapted = insert(graph, REGIONS)
    beside_it = reference.run(adapted, beside(adapted, weights, adapter), tokens)["logits"]
    merged = reference.run(*merge(graph, weights, adapter), tokens)["logits"]
    base = reference.run(graph, weights, tokens)["logits"]
    np.testing.assert_allclose(beside_it, merged, atol=1e-12)
    np.testing.assert_array_equal(reference.run(adapted, weights, tokens)["logits"], base)
    assert abs(merged - base).max() > 0.1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"peft_type": "IA3"}, "expected LORA"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases of the base"),
        ({"modules_to_save": ["lm_head"]}, "whole tensors"),
        ({"layer_replication": [[0, 1]]}, "repeats layers"),
        ({"target_parameters": ["experts"]}, "bare parameters"),
        ({"init_lora_weights": "pissa"}, "changes the base weights"),
        ({"use_qalora": True}, "QA-LoRA"),
        ({"alora_invocation_tokens": [1]}, "aLoRA"),
        ({"r": 0}, "a rank from 1"),
        ({"r": 3}, "says rank 3"),
        ({"lora_alpha": "x"}, "expected a number"),
        ({"target_modules": ["up_proj"]}, "does not select"),
        ({"target_modules": "("}, "not a regular expression"),
        ({"exclude_modules": ["q_proj"]}, "does not select"),
        ({"rank_pattern": {"(": 2}}, "not a regular expression"),
        ({"lora_alpha": 10**400}, "expected a number"),
        ({"alpha_pattern": {"q_proj": 10**400}}, "expected a number"),
        ({"use_rslora": "yes"}, "use_rslora: expected true or false"),
        ({"use_newlora": True}, "use_newlora = True is not known"),
        ({"layers_to_transform": [0]}, "does not select 'model.layers.1"),
        ({"layers_to_transform": 1, "layers_pattern": "layers"}, "does not select 'model.layers.0"),
        ({"layers_to_transform": [0, 1], "layers_pattern": ["blocks"]}, "does not select"),
        ({"layers_to_transform": "all"}, "expected a layer's number"),
    ],
)
def test_refused_with_the_reason(tmp_path: Path, overrides: dict, words: str) -> None:
    graph, _ = opened(checkpoints.tiny_llama(tmp_path / "base"))
    path = peft_files.llama(tmp_path / "lora", ["q_proj"], **overrides)
    with pytest.raises(FlowError, match=words):
        load_adapter(path, graph)


def test_the_layers_that_an_adapter_names_are_read(tmp_path: Path) -> None:
    graph, _ = opened(checkpoints.tiny_llama(tmp_path / "base"))
    path = peft_files.llama(
        tmp_path / "lora", ["q_proj"], layers_to_transform=[0, 1], layers_pattern="layers"
    )
    assert len(load_adapter(path, graph).pairs) == 2


def test_parts_of_a_fused_projection_drop_rows_that_are_not_theirs(tmp_path: Path) -> None:
    graph, _ = opened(checkpoints.tiny_gpt2(tmp_path / "base"))
    rng = np.random.default_rng(6)
    pairs = {
        f"layers.0.attention.{part}": LoraPair(rng.normal(size=(2, 8)), rng.normal(size=(8, 2)))
        for part in "qv"
    }
    pairs["layers.1.mlp.up"] = LoraPair(rng.normal(size=(1, 8)), rng.normal(size=(32, 1)))
    for file, content in to_files(graph, pairs).items():
        (tmp_path / file).write_bytes(content)
    found = load_adapter(tmp_path, graph).pairs
    assert {name: pair.rank for name, pair in found.items() if pair.b.any()} == {
        "layers.0.attention.q": 2, "layers.0.attention.v": 2, "layers.1.mlp.up": 1,
    }  # fmt: skip
    for name, pair in found.items():
        wanted = pairs[name].delta() if name in pairs else np.zeros((8, 8))
        np.testing.assert_allclose(pair.delta(), wanted, atol=1e-6)


def test_tensors_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    graph, _ = opened(checkpoints.tiny_llama(tmp_path / "base"))
    rng = np.random.default_rng(1)
    name = "model.layers.0.self_attn.q_proj"
    good = peft_files.factors(rng, name, 8, 8, 2)
    cases = {
        "not a low-rank factor": good | {"lm_head.weight": rng.normal(size=(16, 8))},
        "DoRA": good | {f"{name}.lora_magnitude_vector.weight": rng.normal(size=8)},
        "without its counterpart": {f"{name}.lora_A.weight": rng.normal(size=(2, 8))},
        "is no module of the base": peft_files.factors(
            rng, "model.layers.9.self_attn.q_proj", 8, 8, 2
        ),
        "belongs to another base": peft_files.factors(rng, name, 8, 12, 2),
    }
    for words, tensors in cases.items():
        folder = tmp_path / words.replace(" ", "_")
        settings = peft_files.config(["q_proj"], 2)
        with pytest.raises((CheckpointError, UnsupportedError), match=words):
            load_adapter(peft_files.save(folder, settings, tensors), graph)


def test_copies_of_the_base_must_be_copies(tmp_path: Path) -> None:
    graph, weights = opened(checkpoints.tiny_llama(tmp_path / "base"))
    name = next(n for n in graph.nodes if n.name == "logits").op.weight
    copy = weights[name]
    tensors = peft_files.factors(np.random.default_rng(1), "lm_head", *copy.shape, 2)
    settings = peft_files.config(["lm_head"], 2)
    tensors["lm_head.base_layer.weight"] = copy
    path = peft_files.save(tmp_path / "lora", settings, tensors)
    assert set(load_adapter(path, graph, weights).pairs) == {"logits"}
    with pytest.raises(UnsupportedError, match="not at hand"):
        load_adapter(path, graph)
    tensors["lm_head.base_layer.weight"] = copy + (copy == copy.max())
    path = peft_files.save(tmp_path / "other", settings, tensors)
    with pytest.raises(UnsupportedError, match="trained or resized"):
        load_adapter(path, graph, weights)


def test_a_tied_adapter_has_both_ends() -> None:
    settings = peft_files.config(["embed_tokens", "q_proj"], ensure_weight_tying=True)
    found = parse(settings, "here")
    assert all(map(found.selects, ("lm_head", "model.embed_tokens", "model.x.q_proj")))
    assert not parse(peft_files.config(["q_proj"], ensure_weight_tying=True), "").selects("lm_head")


def test_regions_that_cannot_be(tmp_path: Path) -> None:
    graph, weights = opened(checkpoints.tiny_llama(tmp_path / "base"))
    for pattern, words in (("*.nothing", "matches nothing"), ("embedding", "only Embedding")):
        with pytest.raises(ConfigError, match=words):
            insert(graph, Regions((pattern,)))
    adapter = load_adapter(peft_files.llama(tmp_path / "lora", ["q_proj"], rank=4), graph)
    for regions, words in ((REGIONS, "has rank 4"), (Regions(("*.v",), 4), "no adapter region")):
        with pytest.raises(UnsupportedError, match=words):
            beside(insert(graph, regions), weights, adapter)


@pytest.mark.parametrize("name", ["lora_r4_attn", "lora_r8_all_linear"])
def test_oracles(name: str) -> None:
    base, folder = SHARED / "oracles/llama_gqa", SHARED / "oracles/llama_gqa_adapters" / name
    if not folder.is_dir():
        pytest.skip("needs ../shared/oracles")
    graph, weights = opened(base)
    stored = np.load(folder / "reference.npz")
    found = reference.run(
        *merge(graph, weights, load_adapter(folder, graph)), {"input_ids": stored["in_input_ids"]}
    )["logits"]
    np.testing.assert_allclose(found, stored["logits"], atol=1e-4)
