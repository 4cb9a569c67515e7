"""Importers against transformers over random configurations, stored by newer and older versions.

`RUNS` configurations a kind; ``CONFIG_RUNS=200 pytest tests/checkpoint/test_random_configs.py``
tries more, from ``TEST_SEED`` on.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.checkpoint.safetensors import read_tensor
from tests.checkpoints import write

torch = pytest.importorskip("torch", reason="needs PyTorch")
transformers = pytest.importorskip("transformers", reason="needs transformers")

SEED = int(os.environ.get("TEST_SEED", "1"))
RUNS = int(os.environ.get("CONFIG_RUNS", "4"))
TOLERANCE = 1e-4
VOCABULARY = 40
Options = dict[str, Any]

COMMON: dict[str, tuple[Any, ...]] = {
    "intermediate_size": (12, 20, 33),
    "num_hidden_layers": (1, 2, 3, 4),
    "max_position_embeddings": (24, 32, 64),
    "tie_word_embeddings": (True, False),
    "rms_norm_eps": (1e-5, 1e-6, 1e-3),
}
ACTIVATIONS = ("silu", "gelu", "relu", "gelu_pytorch_tanh")
QWEN = COMMON | {
    "hidden_act": ACTIVATIONS,
    "moe_intermediate_size": (8, 12),
    "norm_topk_prob": (True, False),
    "decoder_sparse_step": (1, 1, 2, 3),
    "mlp_only_layers": ([], [0]),
}
KINDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "Mixtral": COMMON | {"hidden_act": ACTIVATIONS, "sliding_window": (None, None, 1, 5, 64)},
    "Qwen2Moe": QWEN | {"shared_expert_intermediate_size": (8, 28), "qkv_bias": (True, False)},
    "Qwen3Moe": QWEN | {"attention_bias": (True, False)},
    "Olmoe": COMMON
    | {"attention_bias": (True, False), "norm_topk_prob": (True, False)}
    | {"clip_qkv": (None, 0.5, 3.0)},
    "GptOss": COMMON
    | {"sliding_window": (1, 4, 9, 128), "attention_bias": (True, False)}
    | {"swiglu_limit": (7.0, 0.5)},
    "DeepseekV3": COMMON
    | {"moe_intermediate_size": (8, 12), "first_k_dense_replace": (0, 1, 3)}
    | {"kv_lora_rank": (6, 10), "q_lora_rank": (None, 7, 14), "qk_nope_head_dim": (5, 6)}
    | {"qk_rope_head_dim": (2, 4, 6), "v_head_dim": (3, 5, 8), "attention_bias": (True, False)}
    | {"n_shared_experts": (1, 2), "norm_topk_prob": (True, False), "num_mtp_layers": (0,)}
    | {"routed_scaling_factor": (1.0, 1.5, 2.5), "rope_interleave": (True, False)},
    "SwitchTransformers": {
        "d_model": (12, 16), "d_kv": (3, 6), "d_ff": (10, 20), "num_heads": (1, 3),
        "num_experts": (1, 2, 4), "num_layers": (2, 4), "num_decoder_layers": (2, 4),
        "num_sparse_encoder_layers": (0, 1, 2), "num_sparse_decoder_layers": (0, 1, 2),
        "relative_attention_num_buckets": (8, 16, 32), "expert_capacity": (1, 3, 8, 64),
        "relative_attention_max_distance": (12, 20, 128), "tie_word_embeddings": (True, False),
        "dense_act_fn": ("relu", "gelu_new", "gelu", "silu"), "router_bias": (True, False),
        "layer_norm_epsilon": (1e-6, 1e-5), "decoder_start_token_id": (0,),
    },
    "NllbMoe": {
        "d_model": (16, 24), "encoder_layers": (1, 2, 3), "decoder_layers": (1, 2, 4),
        "encoder_ffn_dim": (20,), "decoder_ffn_dim": (24,), "encoder_attention_heads": (1, 2, 4),
        "decoder_attention_heads": (2, 4, 8), "num_experts": (2, 3, 6),
        "encoder_sparse_step": (0, 1, 2), "decoder_sparse_step": (0, 1, 2, 4),
        "max_position_embeddings": (32,), "router_bias": (True, False),
        "scale_embedding": (True, False), "moe_token_dropout": (0.0, 0.2),
        "activation_function": ("relu", "gelu", "silu"), "tie_word_embeddings": (True, False),
    },
}  # fmt: skip
EXPERTS = {"Mixtral": "num_local_experts", "GptOss": "num_local_experts"}


def options(kind: str, rng: random.Random) -> Options:
    """Random configuration of a kind."""
    found: Options = {"vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": 2}
    found |= {name: rng.choice(values) for name, values in KINDS[kind].items()}
    if kind in {"SwitchTransformers", "NllbMoe"}:
        return found
    heads, head_dim = rng.choice((1, 2, 3, 4, 6)), rng.choice((2, 4, 6, 8, 10))
    divisors = [n for n in range(1, heads + 1) if heads % n == 0]
    found |= {"bos_token_id": 1, "num_attention_heads": heads, "hidden_size": heads * head_dim}
    found["num_key_value_heads"] = heads if kind == "DeepseekV3" else rng.choice(divisors)
    if kind in {"Mixtral", "Qwen3Moe", "GptOss"}:  # of its own, whatever the hidden size
        found |= {"head_dim": head_dim, "hidden_size": rng.choice((12, 20, 24))}
    if kind == "DeepseekV3":
        groups, each = rng.choice((1, 2, 4)), rng.choice((2, 3))
        kept = rng.randint(1, groups)
        chosen = rng.randint(1, min(4, kept * each))
        found |= {"n_group": groups, "topk_group": kept, "n_routed_experts": groups * each}
    else:
        experts = rng.choice((1, 2, 4, 7))
        chosen = rng.randint(1, min(4, experts))
        found[EXPERTS.get(kind, "num_experts")] = experts
    found |= {"num_experts_per_tok": chosen, "rope_parameters": rope(rng)}
    if kind.startswith("Qwen") and rng.random() < 0.5:
        found |= {"use_sliding_window": True, "sliding_window": rng.choice((1, 4, 40))}
        found["max_window_layers"] = rng.choice((0, 1, 2))
    return found


def rope(rng: random.Random) -> Options:
    """Random settings of rotary positions."""
    return {"rope_theta": rng.choice((1e4, 1.5e5, 1e6))} | rng.choice(
        (
            {"rope_type": "default"},
            {"rope_type": "linear", "factor": 4.0},
            {"rope_type": "dynamic", "factor": 2.0},
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}
            | rng.choice(({}, {"truncate": False}, {"mscale": 0.9, "mscale_all_dim": 0.7})),
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
             "high_freq_factor": 4.0, "original_max_position_embeddings": 16},
        )
    )  # fmt: skip


def as_older_versions_store(folder: Path, rng: random.Random) -> None:
    """Rotary settings beside one another, the older name of the dtype."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    positions = config.pop("rope_parameters", None)
    if positions:
        config["rope_theta"] = positions.pop("rope_theta")
        kind = positions.pop("rope_type")
        scaling = {rng.choice(("type", "rope_type")): kind, **positions}
        # Without one gpt-oss takes its own.
        plain = kind == "default" and config["model_type"] != "gpt_oss"
        config["rope_scaling"] = None if plain else scaling
    config["torch_dtype"] = config.pop("dtype", "float32")
    path.write_text(json.dumps(config))


def saved(folder: Path, kind: str, found: Options, rng: random.Random) -> Any:
    """Random model, stored in one or many shards, and read again by transformers."""
    torch.manual_seed(rng.randrange(1 << 30))
    config = getattr(transformers, f"{kind}Config")(**found)
    name = kind + ("ForConditionalGeneration" if config.is_encoder_decoder else "ForCausalLM")
    dtype = rng.choice((torch.float32, torch.bfloat16, torch.float16))
    model = getattr(transformers, name)(config)
    with torch.no_grad():
        for name_, parameter in model.named_parameters():
            spread = torch.randn(parameter.shape)
            parameter.copy_(1 + 0.2 * spread if "norm" in name_ else 0.3 * spread)
        for name_, buffer in model.named_buffers():
            if name_.endswith("e_score_correction_bias"):
                buffer.copy_(0.3 * torch.randn(buffer.shape))
    model.to(dtype).save_pretrained(folder, max_shard_size=rng.choice(("20KB", "5GB")))
    if rng.random() < 0.5:
        as_older_versions_store(folder, rng)
    eager = {"attn_implementation": "eager", "experts_implementation": "eager"}
    return getattr(transformers, name).from_pretrained(folder, dtype=torch.float64, **eager).eval()


def compare(folder: Path, model: Any) -> float:
    """Largest difference of an output."""
    rng = np.random.default_rng(3)
    inputs = {"input_ids": rng.integers(3, VOCABULARY, (2, 20))}
    outputs = ["logits"]
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = rng.integers(3, VOCABULARY, (2, 11))
        outputs.append("encoder_last_hidden_state")
    with torch.no_grad():
        expected = model(**{name: torch.tensor(ids) for name, ids in inputs.items()})
    checkpoint = open_checkpoint(folder)
    graph = import_model(checkpoint)
    found = reference.run(graph, reference.load_weights(graph, checkpoint), inputs)
    return max(float(np.abs(found[name] - expected[name].numpy()).max()) for name in outputs)


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("kind", KINDS)
def test_random_configurations_agree(tmp_path: Path, kind: str, run: int) -> None:
    rng = random.Random(f"{kind} {SEED + run}")
    found = options(kind, rng)
    try:
        model = saved(tmp_path, kind, found, rng)
    except (ZeroDivisionError, RuntimeError) as error:  # YaRN of two elements, in transformers
        pytest.skip(f"transformers does not make this one: {error}")
    assert compare(tmp_path, model) <= TOLERANCE, found


@pytest.mark.parametrize("kind", ["Mixtral", "GptOss", "Olmoe", "Qwen2Moe", "Qwen3Moe"])
def test_settings_left_out_are_those_of_the_family(tmp_path: Path, kind: str) -> None:
    rng = random.Random(f"{kind} {SEED}")
    found = options(kind, rng) | {"tie_word_embeddings": False}
    found.pop("rope_parameters"), found.pop("rms_norm_eps")
    saved(tmp_path, kind, found, random.Random(1))
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for name in ("rope_parameters", "rope_theta", "rope_scaling", "rms_norm_eps"):
        config.pop(name, None)
    path.write_text(json.dumps(config))
    name = f"{kind}ForCausalLM"
    eager = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = getattr(transformers, name).from_pretrained(tmp_path, dtype=torch.float64, **eager)
    assert compare(tmp_path, model.eval()) <= TOLERANCE


def test_gpt_oss_with_experts_in_mxfp4_agrees(tmp_path: Path) -> None:
    """Blocks and scales as released checkpoints store them, against what transformers unpacks."""
    unpack = pytest.importorskip("transformers.integrations.mxfp4").convert_moe_packed_tensors
    rng = np.random.default_rng(SEED)
    found = options("GptOss", random.Random(SEED))
    found |= {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2}
    model = saved(tmp_path / "float", "GptOss", found, random.Random(2))
    checkpoint = open_checkpoint(tmp_path / "float")
    tensors = {n: read_tensor(entry).astype("f4") for n, entry in checkpoint.entries.items()}
    experts = found["num_local_experts"]
    for layer in range(2):
        for name, rows, columns in (("gate_up_proj", 64, 64), ("down_proj", 64, 32)):
            prefix = f"model.layers.{layer}.mlp.experts.{name}"
            blocks = rng.integers(0, 256, (experts, rows, columns // 32, 16), dtype=np.uint8)
            scales = rng.integers(122, 127, (experts, rows, columns // 32), dtype=np.uint8)
            del tensors[prefix]
            tensors |= {f"{prefix}_blocks": blocks, f"{prefix}_scales": scales}
            value = unpack(torch.tensor(blocks), torch.tensor(scales), dtype=torch.float32)
            with torch.no_grad():
                getattr(model.model.layers[layer].mlp.experts, name).copy_(value)
    config = json.loads((tmp_path / "float/config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4"}
    assert compare(write(tmp_path / "mxfp4", config, tensors), model) <= TOLERANCE
