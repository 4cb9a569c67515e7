"""OlmoeForCausalLM: experts by softmax, norms over all heads of queries and of keys together."""

from __future__ import annotations

from dataclasses import replace

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.experts import Router, chosen, routed, stored
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.ir.model import ModelGraph

ARCHITECTURES = ("OlmoeForCausalLM",)


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of an OLMoE checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    bias = setting.boolean(checkpoint, "attention_bias", False)
    clip = checkpoint.config.get("clip_qkv")
    sizes = replace(
        decoder.shape(checkpoint, windows=decoder.windows(checkpoint, None)),
        eps=setting.number(checkpoint, "rms_norm_eps", 1e-5),
        qkv_bias=bias,
        output_bias=bias,
        qk_norm="whole",
        clip=None if clip is None else setting.number(checkpoint, "clip_qkv"),
    )
    inner = setting.integer(checkpoint, "intermediate_size")
    experts = setting.integer(checkpoint, "num_experts", 64)
    normalize = setting.boolean(checkpoint, "norm_topk_prob", False)
    router = Router(experts, chosen(checkpoint, experts, 8), "softmax", normalize)

    def feed_forward(draft: Draft, layer: int, here: str, h: str) -> list[str]:
        module = f"model.layers.{layer}.mlp"
        names = ("gate_proj", "up_proj", "down_proj")
        found = stored(draft, f"{module}.experts", names, experts, sizes.hidden, inner)
        return routed(draft, here, f"{module}.gate", h, router, found, sizes.activation)

    return decoder.build(checkpoint, sizes, feed_forward)
