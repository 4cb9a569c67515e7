"""Tiny random checkpoints, written with NumPy alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]

_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int8": "I8", "uint8": "U8",
    "int16": "I16", "int32": "I32", "int64": "I64", "bool": "BOOL",
}  # fmt: skip


def header(tensors: Tensors) -> dict[str, Any]:
    """Header of a well-formed safetensors file with these tensors."""
    entries: dict[str, Any] = {}
    offset = 0
    for name, data in tensors.items():
        end = offset + data.nbytes
        dtype = _DTYPES[data.dtype.name]
        entries[name] = {"dtype": dtype, "shape": list(data.shape), "data_offsets": [offset, end]}
        offset = end
    return entries


def write_raw(file: Path, text: bytes | dict[str, Any], data: bytes, length: int | None = None):
    """Write a file with exactly this header and data; `length` may lie."""
    head = text if isinstance(text, bytes) else json.dumps(text).encode()
    file.write_bytes(struct.pack("<Q", len(head) if length is None else length) + head + data)


def write_tensors(file: Path, tensors: Tensors) -> None:
    """Write a well-formed safetensors file."""
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
    write_raw(file, header(tensors), data)


def write(path: Path, config: dict[str, Any], tensors: Tensors) -> Path:
    """Write a checkpoint folder."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config, indent=1))
    write_tensors(path / "model.safetensors", tensors)
    return path


def _random(shapes: dict[str, tuple[int, ...]], seed: int, scale: float = 0.3) -> Tensors:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, scale, shape).astype("f4") for name, shape in shapes.items()}


def llama(seed: int = 1, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of a Llama with 2 layers, 2 heads and 1 key/value head by default."""
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 16,
        "hidden_size": 8,
        "intermediate_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": None,
        "max_position_embeddings": 16,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "bos_token_id": 0,
        "eos_token_id": 0,
    } | overrides
    n, m, vocabulary = (config[k] for k in ("hidden_size", "intermediate_size", "vocab_size"))
    size = config["head_dim"] or n // config["num_attention_heads"]
    q, kv = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, n)}
    for layer in range(config["num_hidden_layers"]):
        here = f"model.layers.{layer}."
        linear = {
            "self_attn.q_proj": (q, n),
            "self_attn.k_proj": (kv, n),
            "self_attn.v_proj": (kv, n),
            "self_attn.o_proj": (n, q),
            "mlp.gate_proj": (m, n),
            "mlp.up_proj": (m, n),
            "mlp.down_proj": (n, m),
        }
        for name, shape in linear.items():
            shapes[f"{here}{name}.weight"] = shape
            if config.get("attention_bias" if "attn" in name else "mlp_bias"):
                shapes[f"{here}{name}.bias"] = shape[:1]
        shapes[f"{here}input_layernorm.weight"] = (n,)
        shapes[f"{here}post_attention_layernorm.weight"] = (n,)
    shapes["model.norm.weight"] = (n,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocabulary, n)
    tensors = _random(shapes, seed)
    return config, {k: v + ("norm" in k) * np.float32(1) for k, v in tensors.items()}


def mixtral(seed: int = 5, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of a Mixtral with 4 experts, 2 of them per token, by default."""
    options: dict[str, Any] = {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": None,
    } | overrides
    config, tensors = llama(seed, **options)
    n, m, experts = (config[k] for k in ("hidden_size", "intermediate_size", "num_local_experts"))
    tensors = {name: array for name, array in tensors.items() if ".mlp." not in name}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config["num_hidden_layers"]):
        here = f"model.layers.{layer}.block_sparse_moe."
        shapes[f"{here}gate.weight"] = (experts, n)
        for e in range(experts):
            for name, shape in (("w1", (m, n)), ("w2", (n, m)), ("w3", (m, n))):
                shapes[f"{here}experts.{e}.{name}.weight"] = shape
    return config, tensors | _random(shapes, seed + 1, 0.6)


def olmoe(seed: int = 6, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of an OLMoE: gates are parts of the softmax over all experts."""
    config, tensors = mixtral(seed, **overrides)
    names = {
        "block_sparse_moe": "mlp", ".w1.": ".gate_proj.", ".w2.": ".down_proj.",
        ".w3.": ".up_proj.",
    }  # fmt: skip
    for old, new in names.items():
        tensors = {name.replace(old, new): array for name, array in tensors.items()}
    config |= {"architectures": ["OlmoeForCausalLM"], "num_experts": config["num_local_experts"]}
    size = config["head_dim"] or config["hidden_size"] // config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        for name, heads in (("q", "num_attention_heads"), ("k", "num_key_value_heads")):
            weight = np.ones(config[heads] * size, "f4")
            tensors[f"model.layers.{layer}.self_attn.{name}_norm.weight"] = weight
    return config, tensors


def qwen2_moe(seed: int = 9, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of a Qwen2-MoE: an expert for every token, with a gate of its own."""
    config, tensors = olmoe(seed, **overrides)
    inner, shared = config["intermediate_size"], config["intermediate_size"] + 4
    config |= {
        "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "qkv_bias": True,
        "moe_intermediate_size": inner, "shared_expert_intermediate_size": shared,
        "norm_topk_prob": False,
    }  # fmt: skip
    n = config["hidden_size"]
    size = n // config["num_attention_heads"]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config["num_hidden_layers"]):
        here = f"model.layers.{layer}."
        for name, heads in (("q", "num_attention_heads"), ("k", "num_key_value_heads"),
                            ("v", "num_key_value_heads")):  # fmt: skip
            shapes[f"{here}self_attn.{name}_proj.bias"] = (config[heads] * size,)
        for name, shape in (("gate", (shared, n)), ("up", (shared, n)), ("down", (n, shared))):
            shapes[f"{here}mlp.shared_expert.{name}_proj.weight"] = shape
        shapes[f"{here}mlp.shared_expert_gate.weight"] = (1, n)
    kept = {name: array for name, array in tensors.items() if not name.endswith("_norm.weight")
            or "self_attn" not in name}  # fmt: skip
    return config, kept | _random(shapes, seed + 1, 0.6)


def deepseek(seed: int = 10, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of a DeepSeek-V3: latent attention, groups of experts, one layer dense."""
    options: dict[str, Any] = {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
        "first_k_dense_replace": 1, "moe_intermediate_size": 12, "n_routed_experts": 4,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 2, "topk_group": 1,
        "routed_scaling_factor": 1.5, "norm_topk_prob": True, "num_nextn_predict_layers": 0,
        "q_lora_rank": 6, "kv_lora_rank": 6, "qk_nope_head_dim": 3, "qk_rope_head_dim": 4,
        "v_head_dim": 5, "rope_interleave": True, "attention_bias": False,
    } | overrides  # fmt: skip
    config, tensors = llama(seed, **options)
    n, m, heads = (config[k] for k in ("hidden_size", "intermediate_size", "num_attention_heads"))
    rank, turned, value = (config[k] for k in ("kv_lora_rank", "qk_rope_head_dim", "v_head_dim"))
    head = config["qk_nope_head_dim"] + turned
    tensors = {name: x for name, x in tensors.items() if ".mlp." not in name and "attn" not in name}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config["num_hidden_layers"]):
        here = f"model.layers.{layer}.self_attn."
        if config["q_lora_rank"]:
            shapes[f"{here}q_a_proj.weight"] = (config["q_lora_rank"], n)
            shapes[f"{here}q_a_layernorm.weight"] = (config["q_lora_rank"],)
            shapes[f"{here}q_b_proj.weight"] = (heads * head, config["q_lora_rank"])
        else:
            shapes[f"{here}q_proj.weight"] = (heads * head, n)
        shapes[f"{here}kv_a_proj_with_mqa.weight"] = (rank + turned, n)
        if config["attention_bias"]:
            shapes[f"{here}kv_a_proj_with_mqa.bias"] = (rank + turned,)
            shapes[f"{here}o_proj.bias"] = (n,)
            if config["q_lora_rank"]:
                shapes[f"{here}q_a_proj.bias"] = (config["q_lora_rank"],)
        shapes[f"{here}kv_a_layernorm.weight"] = (rank,)
        shapes[f"{here}kv_b_proj.weight"] = (heads * (head - turned + value), rank)
        shapes[f"{here}o_proj.weight"] = (n, heads * value)
        here = f"model.layers.{layer}.mlp."
        prefixes = [here]
        if layer >= config["first_k_dense_replace"]:
            m = config["moe_intermediate_size"]
            count = config["n_routed_experts"]
            prefixes = [f"{here}experts.{e}." for e in range(count)] + [f"{here}shared_experts."]
            shapes[f"{here}gate.weight"] = (count, n)
            shapes[f"{here}gate.e_score_correction_bias"] = (count,)
        for prefix in prefixes:
            for name, shape in (("gate", (m, n)), ("up", (m, n)), ("down", (n, m))):
                shapes[f"{prefix}{name}_proj.weight"] = shape
    made = _random(shapes, seed + 1, 0.6)
    return config, tensors | {k: x + ("norm" in k) * np.float32(1) for k, x in made.items()}


def gpt_oss(seed: int = 8, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of a gpt-oss: sinks, alternating windows, fused experts with biases."""
    options: dict[str, Any] = {
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "attention_bias": True,
        "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5, "head_dim": 4,
        "swiglu_limit": 7.0, "tie_word_embeddings": False,
    } | overrides  # fmt: skip
    config, tensors = llama(seed, **options)
    n, m, experts = (config[k] for k in ("hidden_size", "intermediate_size", "num_local_experts"))
    tensors = {name: array for name, array in tensors.items() if ".mlp." not in name}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config["num_hidden_layers"]):
        here = f"model.layers.{layer}."
        shapes |= {
            f"{here}self_attn.sinks": (config["num_attention_heads"],),
            f"{here}self_attn.o_proj.bias": (n,),
            f"{here}mlp.router.weight": (experts, n),
            f"{here}mlp.router.bias": (experts,),
            f"{here}mlp.experts.gate_up_proj": (experts, n, 2 * m),
            f"{here}mlp.experts.gate_up_proj_bias": (experts, 2 * m),
            f"{here}mlp.experts.down_proj": (experts, m, n),
            f"{here}mlp.experts.down_proj_bias": (experts, n),
        }
    return config, tensors | _random(shapes, seed + 1, 0.6)


def qwen3(seed: int = 7, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of a Qwen3: a Llama with norms of the heads of queries and keys."""
    config, tensors = llama(seed, **{"architectures": ["Qwen3ForCausalLM"]} | overrides)
    size = config["head_dim"] or config["hidden_size"] // config["num_attention_heads"]
    config["head_dim"] = size
    shapes: dict[str, tuple[int, ...]] = {
        f"model.layers.{layer}.self_attn.{name}_norm.weight": (size,)
        for layer in range(config["num_hidden_layers"])
        for name in "qk"
    }
    norms = {name: 1 + array for name, array in _random(shapes, seed).items()}
    return config, tensors | norms


def gpt2(seed: int = 2, prefix: str = "transformer.", **overrides: Any):
    """Config and tensors of a GPT-2 with 2 layers and 2 heads by default."""
    config: dict[str, Any] = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": 16,
        "n_embd": 8,
        "n_inner": None,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 16,
        "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_new",
        "bos_token_id": 0,
        "eos_token_id": 0,
    } | overrides
    n, vocabulary = config["n_embd"], config["vocab_size"]
    m = config["n_inner"] or 4 * n
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}wte.weight": (vocabulary, n),
        f"{prefix}wpe.weight": (config["n_positions"], n),
    }
    for layer in range(config["n_layer"]):
        here = f"{prefix}h.{layer}."
        linear = {
            "attn.c_attn": (n, 3 * n),
            "attn.c_proj": (n, n),
            "mlp.c_fc": (n, m),
            "mlp.c_proj": (m, n),
        }
        for name, shape in linear.items():
            shapes |= {f"{here}{name}.weight": shape, f"{here}{name}.bias": shape[1:]}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"{here}{name}.weight": (n,), f"{here}{name}.bias": (n,)}
    shapes |= {f"{prefix}ln_f.weight": (n,), f"{prefix}ln_f.bias": (n,)}
    if not config.get("tie_word_embeddings", True):
        shapes["lm_head.weight"] = (vocabulary, n)
    tensors = _random(shapes, seed)
    return config, {
        k: v + (".ln_" in k and "weight" in k) * np.float32(1) for k, v in tensors.items()
    }


def micro_gpt(seed: int = 9, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of a microGPT with 1 layer and 2 heads by default."""
    config: dict[str, Any] = {
        "architectures": ["MicroGPT"],
        "vocab_size": 16,
        "n_embd": 8,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 16,
        "activation_function": "relu",
        "bos_token_id": 0,
        "eos_token_id": 0,
    } | overrides
    n, vocabulary = config["n_embd"], config["vocab_size"]
    m = config.get("n_inner") or 4 * n
    shapes: dict[str, tuple[int, ...]] = {
        "wte": (vocabulary, n),
        "wpe": (config["n_positions"], n),
        "lm_head": (vocabulary, n),
    }
    for layer in range(config["n_layer"]):
        shapes |= {f"layer{layer}.attn_w{name}": (n, n) for name in "qkvo"}
        shapes |= {f"layer{layer}.mlp_fc1": (m, n), f"layer{layer}.mlp_fc2": (n, m)}
    return config, _random(shapes, seed)


def mlp(seed: int = 3, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of a network 6 -> 5 -> 3 on frames of shape (1, 2, 3)."""
    config: dict[str, Any] = {
        "architectures": ["DigitsMLP"],
        "input_shape": [1, 2, 3],
        "input_scale": "pixel/16",
        "layers": [
            {"type": "linear", "in_features": 6, "out_features": 5},
            {"type": "relu"},
            {"type": "linear", "in_features": 5, "out_features": 3},
        ],
    } | overrides
    shapes = {"fc1.weight": (5, 6), "fc1.bias": (5,), "fc2.weight": (3, 5), "fc2.bias": (3,)}
    return config, _random(shapes, seed)


def cnn(seed: int = 4, **overrides: Any) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of a small convolutional classifier on frames of shape (1, 6, 6)."""
    config: dict[str, Any] = {
        "architectures": ["DigitsCNN"],
        "input_shape": [1, 6, 6],
        "input_scale": "pixel/16",
        "layers": [
            {"type": "conv2d", "in_ch": 1, "out_ch": 2, "kernel": 3, "padding": 1},
            {"type": "relu"},
            {"type": "maxpool2d", "k": 2},
            {"type": "conv2d", "in_ch": 2, "out_ch": 3, "kernel": [2, 3], "stride": [1, 2]},
            {"type": "relu"},
            {"type": "flatten"},
            {"type": "linear", "in_features": 6, "out_features": 4},
        ],
    } | overrides
    shapes = {
        "conv1.weight": (2, 1, 3, 3),
        "conv1.bias": (2,),
        "conv2.weight": (3, 2, 2, 3),
        "conv2.bias": (3,),
        "fc.weight": (4, 6),
        "fc.bias": (4,),
    }
    return config, _random(shapes, seed)


def tiny_llama(path: Path, seed: int = 1, **overrides: Any) -> Path:
    """Write a `llama` checkpoint."""
    return write(path, *llama(seed, **overrides))


def tiny_gpt2(path: Path, seed: int = 2, **overrides: Any) -> Path:
    """Write a `gpt2` checkpoint."""
    return write(path, *gpt2(seed, **overrides))


def tiny_micro_gpt(path: Path, seed: int = 9, **overrides: Any) -> Path:
    """Write a `micro_gpt` checkpoint."""
    return write(path, *micro_gpt(seed, **overrides))


def tiny_mlp(path: Path, seed: int = 3, **overrides: Any) -> Path:
    """Write an `mlp` checkpoint."""
    return write(path, *mlp(seed, **overrides))


def tiny_cnn(path: Path, seed: int = 4, **overrides: Any) -> Path:
    """Write a `cnn` checkpoint."""
    return write(path, *cnn(seed, **overrides))
