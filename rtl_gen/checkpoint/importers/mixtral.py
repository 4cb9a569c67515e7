"""MixtralForCausalLM: a Llama whose feed-forward parts are gated experts, softmax of the chosen."""

from __future__ import annotations

from dataclasses import replace

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.experts import Router, chosen, routed, stored
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.ir.model import ModelGraph

ARCHITECTURES = ("MixtralForCausalLM",)

ROPE = {"rope_theta": 1e6}
"""Of a config that does not say, as transformers takes it."""


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a Mixtral checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    setting.refuse(checkpoint, "attention_bias", (False,))
    sizes = replace(
        decoder.shape(checkpoint, windows=decoder.windows(checkpoint, None), rope=ROPE),
        eps=setting.number(checkpoint, "rms_norm_eps", 1e-5),
    )
    inner = setting.integer(checkpoint, "intermediate_size")
    experts = setting.integer(checkpoint, "num_local_experts", 8)
    router = Router(experts, chosen(checkpoint, experts, 2), "softmax", normalize=True)

    def feed_forward(draft: Draft, layer: int, here: str, h: str) -> list[str]:
        block = f"model.layers.{layer}.block_sparse_moe"
        if not draft.has(f"{block}.gate.weight"):  # as transformers 5 names it in memory
            block = f"model.layers.{layer}.mlp"
        found = stored(draft, f"{block}.experts", ("w1", "w3", "w2"), experts, sizes.hidden, inner)
        return routed(draft, here, f"{block}.gate", h, router, found, sizes.activation)

    return decoder.build(checkpoint, sizes, feed_forward)
