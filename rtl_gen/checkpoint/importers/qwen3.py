"""Qwen3ForCausalLM: a Llama that normalizes every head of queries and keys."""

from __future__ import annotations

from dataclasses import replace

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.ir.model import ModelGraph

ARCHITECTURES = ("Qwen3ForCausalLM",)

HEAD_DIM = 128
"""Of a config that does not say; the family does not derive it from the hidden size."""


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a Qwen3 checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    first = setting.integer(checkpoint, "max_window_layers", 28, minimum=0)
    slides = setting.boolean(checkpoint, "use_sliding_window", False)
    windows = decoder.windows(checkpoint, lambda layer: layer >= first, enabled=slides)
    bias = setting.boolean(checkpoint, "attention_bias", False)
    head_dim = setting.integer(checkpoint, "head_dim", HEAD_DIM)
    sizes = decoder.shape(checkpoint, windows=windows, head_dim=head_dim)
    sizes = replace(sizes, qkv_bias=bias, output_bias=bias, qk_norm="head")
    inner = setting.integer(checkpoint, "intermediate_size")

    def feed_forward(draft: Draft, layer: int, here: str, h: str) -> list[str]:
        return [decoder.mlp(draft, here, f"model.layers.{layer}.mlp", h, inner, sizes.activation)]

    return decoder.build(checkpoint, sizes, feed_forward)
