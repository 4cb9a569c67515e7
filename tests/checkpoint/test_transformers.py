"""Importers against transformers: tiny random models of every kind, logits in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, mxfp4, open_checkpoint
from tests.checkpoints import write

torch = pytest.importorskip("torch", reason="needs PyTorch")
transformers = pytest.importorskip("transformers", reason="needs transformers")

BATCH, STEPS = 2, 24

SMALL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "attention_dropout": 0.0,
}
QWEN = SMALL | {
    "head_dim": 8,
    "moe_intermediate_size": 12,
    "shared_expert_intermediate_size": 28,
    "num_experts": 6,
    "num_experts_per_tok": 3,
}
YARN = {
    "rope_type": "yarn", "rope_theta": 150000.0, "factor": 4.0, "beta_fast": 32.0,
    "beta_slow": 1.0, "truncate": False, "original_max_position_embeddings": 8,
}  # fmt: skip
DEEPSEEK = SMALL | {
    "num_key_value_heads": 4,
    "moe_intermediate_size": 12,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 10,
    "q_lora_rank": 14,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 5,
    "num_mtp_layers": 0,
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("Qwen3", SMALL | {"head_dim": 8}),
    "qwen3 tied, biased, sliding": (
        "Qwen3",
        SMALL
        | {"head_dim": 10, "tie_word_embeddings": True, "attention_bias": True}
        | {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "mixtral": ("Mixtral", SMALL | {"num_local_experts": 4}),
    "mixtral top 1, tied, sliding": (
        "Mixtral",
        SMALL
        | {"num_local_experts": 4, "num_experts_per_tok": 1, "sliding_window": 7}
        | {"tie_word_embeddings": True, "head_dim": 8},
    ),
    "mixtral all experts": ("Mixtral", SMALL | {"num_local_experts": 3, "num_experts_per_tok": 3}),
    "qwen2moe": ("Qwen2Moe", QWEN),
    "qwen2moe normalized, some layers": (
        "Qwen2Moe",
        QWEN | {"norm_topk_prob": True, "decoder_sparse_step": 2, "num_hidden_layers": 4},
    ),
    "qwen2moe dense layers, sliding, no bias": (
        "Qwen2Moe",
        QWEN
        | {"mlp_only_layers": [1], "use_sliding_window": True, "sliding_window": 4}
        | {"max_window_layers": 2, "qkv_bias": False},
    ),
    "qwen3moe": ("Qwen3Moe", QWEN),
    "qwen3moe normalized, tied, biased": (
        "Qwen3Moe",
        QWEN | {"norm_topk_prob": True, "tie_word_embeddings": True, "attention_bias": True},
    ),
    "qwen3moe dense layers, sliding": (
        "Qwen3Moe",
        QWEN | {"mlp_only_layers": [0], "use_sliding_window": True, "sliding_window": 6},
    ),
    "olmoe": ("Olmoe", SMALL | {"num_experts": 6, "num_experts_per_tok": 2}),
    "olmoe normalized, clipped": (
        "Olmoe",
        SMALL
        | {"num_experts": 5, "num_experts_per_tok": 4, "norm_topk_prob": True, "clip_qkv": 0.7}
        | {"attention_bias": True},
    ),
    "gpt-oss": (
        "GptOss",
        SMALL
        | {"head_dim": 8, "num_local_experts": 6, "num_experts_per_tok": 3, "sliding_window": 5}
        | {"rope_parameters": YARN},
    ),
    "gpt-oss plain rope, limits met": (
        "GptOss",
        SMALL
        | {"head_dim": 6, "num_local_experts": 4, "num_experts_per_tok": 1, "sliding_window": 9}
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}, "swiglu_limit": 0.5}
        | {"layer_types": ["full_attention", "sliding_attention", "full_attention"]}
        | {"tie_word_embeddings": True},
    ),
    "deepseek": ("DeepseekV3", DEEPSEEK),
    "deepseek no query rank, biased, two shared": (
        "DeepseekV3",
        DEEPSEEK
        | {"q_lora_rank": None, "attention_bias": True, "n_shared_experts": 2}
        | {"norm_topk_prob": False, "routed_scaling_factor": 1.5, "n_group": 1, "topk_group": 1},
    ),
    "deepseek yarn, half-split": (
        "DeepseekV3",
        DEEPSEEK
        | {"rope_interleave": False, "first_k_dense_replace": 0}
        | {"rope_parameters": YARN | {"mscale": 0.9, "mscale_all_dim": 0.7}},
    ),
}  # fmt: skip


SWITCH: dict[str, Any] = {
    "vocab_size": 40, "d_model": 16, "d_kv": 6, "d_ff": 20, "num_heads": 3, "num_experts": 4,
    "num_layers": 4, "num_decoder_layers": 4, "num_sparse_encoder_layers": 2,
    "num_sparse_decoder_layers": 2, "decoder_start_token_id": 0,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12,
}  # fmt: skip
NLLB: dict[str, Any] = {
    "vocab_size": 40, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_ffn_dim": 20, "decoder_ffn_dim": 24, "encoder_attention_heads": 2,
    "decoder_attention_heads": 4, "num_experts": 4, "encoder_sparse_step": 2,
    "decoder_sparse_step": 1, "max_position_embeddings": 32,
}  # fmt: skip

TRANSLATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "switch": ("SwitchTransformers", SWITCH),
    "switch, tokens dropped": ("SwitchTransformers", SWITCH | {"expert_capacity": 3}),
    "switch untied, gelu, all sparse": (
        "SwitchTransformers",
        SWITCH
        | {"tie_word_embeddings": False, "dense_act_fn": "gelu_new", "router_bias": True}
        | {"num_sparse_encoder_layers": 4, "num_sparse_decoder_layers": 0},
    ),
    "nllb": ("NllbMoe", NLLB),
    "nllb unscaled, no dropout": (
        "NllbMoe",
        NLLB | {"scale_embedding": False, "moe_token_dropout": 0.0, "router_bias": True},
    ),
}


def saved(folder: Path, kind: str, options: dict[str, Any]) -> Any:
    """Random model of this kind, saved; its parameters are large enough to differ."""
    torch.manual_seed(7)
    config = getattr(transformers, f"{kind}Config")(**options)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    name = "ForConditionalGeneration" if config.is_encoder_decoder else "ForCausalLM"
    model = getattr(transformers, f"{kind}{name}")(config).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = torch.randn(parameter.shape, dtype=torch.float64)
            parameter.copy_(1 + 0.2 * spread if "norm" in name else 0.3 * spread)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(0.3 * torch.randn(buffer.shape))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(tmp_path: Path, case: str) -> None:
    kind, options = CASES[case]
    model = saved(tmp_path, kind, options)
    ids = np.random.default_rng(3).integers(0, options["vocab_size"], (BATCH, STEPS))
    with torch.no_grad():
        expected = model(torch.tensor(ids)).logits.numpy()
    checkpoint = open_checkpoint(tmp_path)
    graph = import_model(checkpoint)
    found = reference.run(graph, reference.load_weights(graph, checkpoint), {"input_ids": ids})
    # rotary tables and router probabilities are float32 in transformers
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("case", TRANSLATORS)
def test_decoders_with_an_encoder_are_those_of_transformers(tmp_path: Path, case: str) -> None:
    kind, options = TRANSLATORS[case]
    model = saved(tmp_path, kind, options)
    rng = np.random.default_rng(3)
    ids, decoded = (rng.integers(3, 40, (BATCH, length)) for length in (STEPS, 17))
    with torch.no_grad():
        found = model(input_ids=torch.tensor(ids), decoder_input_ids=torch.tensor(decoded))
    checkpoint = open_checkpoint(tmp_path)
    graph = import_model(checkpoint)
    inputs = {"input_ids": ids, "decoder_input_ids": decoded}
    outputs = reference.run(graph, reference.load_weights(graph, checkpoint), inputs)
    for name in ("encoder_last_hidden_state", "logits"):
        np.testing.assert_allclose(outputs[name], found[name].numpy(), rtol=0, atol=2e-5)


def test_mxfp4_blocks_are_the_numbers_that_transformers_reads(tmp_path: Path) -> None:
    integrations = pytest.importorskip("transformers.integrations.mxfp4")
    rng = np.random.default_rng(4)
    blocks = rng.integers(0, 256, (3, 10, 2, 16), dtype=np.uint8)
    scales = rng.integers(120, 134, (3, 10, 2), dtype=np.uint8)
    entries = {"w_blocks": blocks, "w_scales": scales}
    write(tmp_path, {"architectures": ["GptOssForCausalLM"]}, entries)
    found = mxfp4.read(open_checkpoint(tmp_path).entries, "w", None)
    convert = integrations.convert_moe_packed_tensors
    expected = convert(torch.tensor(blocks), torch.tensor(scales), dtype=torch.float32)
    # transformers turns it to (expert, in, out)
    np.testing.assert_array_equal(found.transpose(0, 2, 1), expected.numpy())
