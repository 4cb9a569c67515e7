"""GptOssForCausalLM: attention sinks, alternating windows, clamped gated experts with biases."""

from __future__ import annotations

from dataclasses import replace

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.experts import Router, chosen, interleaved, routed
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.ir.model import Activation, ModelGraph

ARCHITECTURES = ("GptOssForCausalLM",)

HEAD_DIM = 64
"""Of a config that does not say; the family does not derive it from the hidden size."""

ROPE = {
    "rope_theta": 150000.0, "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0,
    "beta_slow": 1.0, "truncate": False, "original_max_position_embeddings": 4096,
}  # fmt: skip
"""Of a config that does not say, as transformers takes it."""


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a gpt-oss checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    windows = decoder.windows(checkpoint, lambda layer: layer % 2 == 0)
    head_dim = setting.integer(checkpoint, "head_dim", HEAD_DIM)
    bias = setting.boolean(checkpoint, "attention_bias", True)
    sizes = replace(
        decoder.shape(checkpoint, windows=windows, head_dim=head_dim, rope=ROPE),
        eps=setting.number(checkpoint, "rms_norm_eps", 1e-5),
        qkv_bias=bias,
        output_bias=bias,
        sinks=True,
    )
    setting.refuse(checkpoint, "hidden_act", ("silu",))
    inner = setting.integer(checkpoint, "intermediate_size")
    experts = setting.integer(checkpoint, "num_local_experts", 128)
    router = Router(experts, chosen(checkpoint, experts, 4), "softmax", normalize=True)
    limit = setting.number(checkpoint, "swiglu_limit", 7.0)
    alpha = setting.number(checkpoint, "swiglu_alpha", 1.702)

    def feed_forward(draft: Draft, layer: int, here: str, h: str) -> list[str]:
        module = f"model.layers.{layer}.mlp"
        return routed(
            draft,
            here,
            f"{module}.router",
            h,
            router,
            interleaved(draft, f"{module}.experts", experts, sizes.hidden, inner),
            Activation("gated", alpha, limit),
            router_bias=True,
            clamp_up=Activation("clamp", 1.0, limit),
        )

    return decoder.build(checkpoint, sizes, feed_forward)
