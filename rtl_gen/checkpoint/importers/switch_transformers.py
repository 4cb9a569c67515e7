"""SwitchTransformersForConditionalGeneration: T5 with one expert per token and a capacity."""

from __future__ import annotations

from dataclasses import dataclass

from rtl_gen.checkpoint import decoder, setting, translator
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.ir.model import (
    Activation,
    Add,
    Attention,
    Capacity,
    CrossAttention,
    Embedding,
    Gate,
    ModelGraph,
    Route,
    Weigh,
)

ARCHITECTURES = ("SwitchTransformersForConditionalGeneration",)

CONTEXT = 512
"""Positions of a config that does not limit them (``n_positions``)."""

NAMES = translator.Names(("q", "k", "v", "o"), ("wi", "wo"), bias=False)


@dataclass(frozen=True, slots=True)
class _Sizes:
    hidden: int
    inner: int
    heads: int
    head_dim: int
    eps: float
    activation: Activation
    buckets: int
    distance: int
    experts: int
    capacity: int
    router_bias: bool


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a Switch checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    vocabulary = setting.integer(checkpoint, "vocab_size")
    context = setting.integer(checkpoint, "n_positions", CONTEXT)
    sizes = _sizes(checkpoint)
    size = (vocabulary, sizes.hidden)
    sides = translator.begin(checkpoint, "shared.weight", size)
    layers = setting.integer(checkpoint, "num_layers", 12)

    first = sides.encoder
    own = decoder.own_table(first, "encoder", sides.table, size)
    x = first.node("embedding", Embedding(own), ("input_ids",), (sizes.hidden,))
    step = _sparse_step(checkpoint, "encoder", layers)
    for layer in range(layers):
        x = _self_attention(first, sizes, "encoder", layer, x, "place")
        x = _feed_forward(first, sizes, f"encoder.block.{layer}.layer.1", x, step, layer)
    decoder.norm(first, "encoded", "encoder.final_layer_norm", x, sizes.eps)

    draft = sides.decoder
    own = decoder.own_table(draft, "decoder", sides.table, size)
    x = draft.node("embedding", Embedding(own), ("decoder_input_ids",), (sizes.hidden,))
    layers = setting.integer(checkpoint, "num_decoder_layers", layers)
    step = _sparse_step(checkpoint, "decoder", layers)
    for layer in range(layers):
        x = _self_attention(draft, sizes, "decoder", layer, x, "position")
        x = _cross_attention(draft, sizes, layer, x)
        x = _feed_forward(draft, sizes, f"decoder.block.{layer}.layer.2", x, step, layer)
    x = decoder.norm(draft, "norm", "decoder.final_layer_norm", x, sizes.eps)
    return translator.finish(checkpoint, sides, context, x, tied_scale=sizes.hidden**-0.5)


def _sizes(checkpoint: Checkpoint) -> _Sizes:
    setting.refuse(checkpoint, "add_router_probs", (False,))
    return _Sizes(
        hidden=setting.integer(checkpoint, "d_model", 768),
        inner=setting.integer(checkpoint, "d_ff", 2048),
        heads=setting.integer(checkpoint, "num_heads", 12),
        head_dim=setting.integer(checkpoint, "d_kv", 64),
        eps=setting.number(checkpoint, "layer_norm_epsilon", 1e-6),
        activation=Activation(setting.activation(checkpoint, "dense_act_fn", "relu")),
        buckets=setting.integer(checkpoint, "relative_attention_num_buckets", 32, minimum=4),
        distance=setting.integer(checkpoint, "relative_attention_max_distance", 128),
        experts=setting.integer(checkpoint, "num_experts", 8),
        capacity=setting.integer(checkpoint, "expert_capacity", 64),
        router_bias=setting.boolean(checkpoint, "router_bias", False),
    )


def _sparse_step(checkpoint: Checkpoint, side: str, layers: int) -> int:
    """Distance of the layers with experts; 0 for none."""
    sparse = setting.integer(checkpoint, f"num_sparse_{side}_layers", 3, minimum=0)
    default = layers // sparse if sparse else layers
    return setting.integer(checkpoint, f"{side}_sparse_step", default, minimum=0)


def _self_attention(
    draft: Draft, sizes: _Sizes, side: str, layer: int, x: str, position: str
) -> str:
    """``x + o(attention(norm(x)))``; the first layer's scores by distance serve all."""
    here, module = f"{side}.{layer}.attention", f"{side}.block.{layer}.layer.0"
    h = decoder.norm(draft, f"{here}.norm", f"{module}.layer_norm", x, sizes.eps)
    first = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    op = Attention(
        sizes.heads,
        sizes.heads,
        sizes.head_dim,
        1.0,
        bias=draft.tensor(first, (sizes.buckets, sizes.heads)),
        distance=sizes.distance,
        causal=side == "decoder",
    )
    module = f"{module}.SelfAttention"
    return translator.attend(draft, here, module, NAMES, op, (x, h, position))


def _cross_attention(draft: Draft, sizes: _Sizes, layer: int, x: str) -> str:
    """``x + o(attention(norm(x), memory))``."""
    here, module = f"decoder.{layer}.cross", f"decoder.block.{layer}.layer.1"
    h = decoder.norm(draft, f"{here}.norm", f"{module}.layer_norm", x, sizes.eps)
    op = CrossAttention(sizes.heads, sizes.head_dim, 1.0)
    module = f"{module}.EncDecAttention"
    return translator.attend(draft, here, module, NAMES, op, (x, h, "memory"))


def _feed_forward(draft: Draft, sizes: _Sizes, module: str, x: str, step: int, layer: int) -> str:
    """``x + wo(act(wi(norm(x))))``, of the chosen expert in layers that have them."""
    here = f"{module.partition('.')[0]}.{layer}.mlp"
    h = decoder.norm(draft, f"{here}.norm", f"{module}.layer_norm", x, sizes.eps)
    module = f"{module}.mlp"
    if step > 0 and (step == 1 or layer % step == 1):
        out = _expert(draft, sizes, here, module, h)
    else:
        act = sizes.activation
        out = translator.dense(draft, here, module, NAMES, act, sizes.inner, h)
    return draft.node(f"{here}.residual", Add(), (x, out), (sizes.hidden,))


def _expert(draft: Draft, sizes: _Sizes, here: str, module: str, h: str) -> str:
    """Output of the token's expert times its probability; 0 if the expert is full."""
    experts = sizes.experts
    name = f"{module}.router.classifier"
    logits = decoder.linear(draft, f"{here}.router", name, h, experts, bias=sizes.router_bias)
    choice = draft.node(f"{here}.choice", Route(1), (logits,), (1,))
    gates = draft.node(f"{here}.gates", Gate("softmax", normalize=False), (logits, choice), (1,))
    gates = draft.node(f"{here}.kept", Capacity(experts, sizes.capacity), (gates, choice), (1,))
    found = translator.stored(draft, module, NAMES, experts, sizes.hidden, sizes.inner)
    act = sizes.activation
    x = translator.expert(draft, here, found, act, sizes.inner, 0, (h, choice))
    return draft.node(f"{here}.weighed", Weigh(0), (x, gates), (sizes.hidden,))
