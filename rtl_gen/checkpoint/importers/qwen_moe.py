"""Qwen2MoeForCausalLM (a shared expert) and Qwen3MoeForCausalLM (norms of queries and keys)."""

from __future__ import annotations

from dataclasses import replace

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.experts import Router, chosen, routed, shared, sparse_layers, stored
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.registry import architecture_of
from rtl_gen.ir.model import ModelGraph

ARCHITECTURES = ("Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM")


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of such a checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    third = architecture_of(checkpoint) == "Qwen3MoeForCausalLM"
    sizes = _third(checkpoint) if third else _second(checkpoint)
    inner = setting.integer(checkpoint, "moe_intermediate_size")
    count = "num_local_experts" if checkpoint.config.get("num_experts") is None else "num_experts"
    experts = setting.integer(checkpoint, count, minimum=0)
    sparse = sparse_layers(checkpoint, sizes.layers) if experts else [False] * sizes.layers
    router = Router(
        experts,
        chosen(checkpoint, experts, 8 if third else 4) if any(sparse) else 0,
        "softmax",
        normalize=setting.boolean(checkpoint, "norm_topk_prob", False),
    )

    def feed_forward(draft: Draft, layer: int, here: str, h: str) -> list[str]:
        module = f"model.layers.{layer}.mlp"
        if not sparse[layer]:
            size = setting.integer(checkpoint, "intermediate_size")
            return [decoder.mlp(draft, here, module, h, size, sizes.activation)]
        names = ("gate_proj", "up_proj", "down_proj")
        found = stored(draft, f"{module}.experts", names, experts, sizes.hidden, inner)
        out = routed(draft, here, f"{module}.gate", h, router, found, sizes.activation)
        if third:
            return out
        always = shared(
            draft,
            f"{here}.shared",
            f"{module}.shared_expert",
            h,
            setting.integer(checkpoint, "shared_expert_intermediate_size"),
            sizes.activation,
            f"{module}.shared_expert_gate",
        )
        return [*out, always]

    return decoder.build(checkpoint, sizes, feed_forward)


def _second(checkpoint: Checkpoint) -> decoder.Shape:
    slides = setting.boolean(checkpoint, "use_sliding_window", False)
    below = setting.integer(checkpoint, "max_window_layers", 28, minimum=0)
    windows = decoder.windows(
        checkpoint, lambda layer: layer % 2 == 0 and layer < below, enabled=slides
    )
    sizes = decoder.shape(checkpoint, windows=windows)
    return replace(sizes, qkv_bias=setting.boolean(checkpoint, "qkv_bias", True))


def _third(checkpoint: Checkpoint) -> decoder.Shape:
    slides = setting.boolean(checkpoint, "use_sliding_window", False)
    bias = setting.boolean(checkpoint, "attention_bias", False)
    sizes = decoder.shape(checkpoint, windows=decoder.windows(checkpoint, None, enabled=slides))
    return replace(sizes, qkv_bias=bias, output_bias=bias, qk_norm="head")
