"""LlamaForCausalLM: RMSNorm, rotary grouped-query attention, gated MLP."""

from __future__ import annotations

from dataclasses import replace

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.ir.model import ModelGraph

ARCHITECTURES = ("LlamaForCausalLM",)


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a Llama checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    setting.refuse(checkpoint, "sliding_window", ())
    bias = setting.boolean(checkpoint, "attention_bias", False)
    sizes = replace(decoder.shape(checkpoint), qkv_bias=bias, output_bias=bias)
    inner = setting.integer(checkpoint, "intermediate_size")
    mlp_bias = setting.boolean(checkpoint, "mlp_bias", False)

    def feed_forward(draft: Draft, layer: int, here: str, h: str) -> list[str]:
        module = f"model.layers.{layer}.mlp"
        return [decoder.mlp(draft, here, module, h, inner, sizes.activation, bias=mlp_bias)]

    return decoder.build(checkpoint, sizes, feed_forward)
