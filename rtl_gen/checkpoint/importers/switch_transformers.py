"""SwitchTransformersForConditionalGeneration: T5 with one expert per token and a capacity."""

from __future__ import annotations

from dataclasses import dataclass

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.registry import architecture_of
from rtl_gen.ir.model import (
    Activation,
    Add,
    Attention,
    Capacity,
    CrossAttention,
    Embedding,
    ExpertLinear,
    Gate,
    Input,
    Linear,
    ModelGraph,
    Route,
    TensorRef,
    Weigh,
)

ARCHITECTURES = ("SwitchTransformersForConditionalGeneration",)

CONTEXT = 512
"""Positions of a config that does not limit them (``n_positions``)."""


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
    layers = setting.integer(checkpoint, "num_layers", 12)
    architecture = architecture_of(checkpoint)

    first = Draft(checkpoint, Input("input_ids", "token", ()), Input("place", "position", ()))
    size = (vocabulary, sizes.hidden)
    table = first.tensor("shared.weight", size)
    own = decoder.own_table(first, "encoder", table, size)
    x = first.node("embedding", Embedding(own), ("input_ids",), (sizes.hidden,))
    step = _sparse_step(checkpoint, "encoder", layers)
    for layer in range(layers):
        x = _self_attention(first, sizes, "encoder", layer, x, "place")
        x = _feed_forward(first, sizes, f"encoder.block.{layer}.layer.1", x, step, layer)
    decoder.norm(first, "encoded", "encoder.final_layer_norm", x, sizes.eps)
    name = "encoder_last_hidden_state"
    encoder = first.part(architecture, {name: "encoded"}, context=context, vocabulary=vocabulary)

    draft = Draft(
        checkpoint,
        Input("decoder_input_ids", "token", ()),
        Input("position", "position", ()),
        Input("memory", "memory", (sizes.hidden,)),
    )
    own = decoder.own_table(draft, "decoder", table, size)
    x = draft.node("embedding", Embedding(own), ("decoder_input_ids",), (sizes.hidden,))
    layers = setting.integer(checkpoint, "num_decoder_layers", layers)
    step = _sparse_step(checkpoint, "decoder", layers)
    for layer in range(layers):
        x = _self_attention(draft, sizes, "decoder", layer, x, "position")
        x = _cross_attention(draft, sizes, layer, x)
        x = _feed_forward(draft, sizes, f"decoder.block.{layer}.layer.2", x, step, layer)
    x = decoder.norm(draft, "norm", "decoder.final_layer_norm", x, sizes.eps)
    tied = setting.boolean(checkpoint, "tie_word_embeddings", True)
    if tied:
        head = table
        if draft.has("lm_head.weight"):
            decoder.check_tied(draft, checkpoint, table.name, (vocabulary, sizes.hidden))
    else:
        head = draft.tensor("lm_head.weight", (vocabulary, sizes.hidden))
    scale = sizes.hidden**-0.5 if tied else 1.0
    draft.node("logits", Linear(head, scale=scale), (x,), (vocabulary,))
    return draft.finish(
        architecture,
        {"logits": "logits"},
        context=context,
        vocabulary=vocabulary,
        bos=setting.tokens(checkpoint, "decoder_start_token_id", vocabulary)[:1],
        eos=setting.tokens(checkpoint, "eos_token_id", vocabulary),
        encoder=(first, encoder),
    )


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
    size = sizes.heads * sizes.head_dim
    parts = [
        decoder.linear(draft, f"{here}.{name}", f"{module}.SelfAttention.{name}", h, size)
        for name in "qkv"
    ]
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
    mixed = draft.node(f"{here}.mixed", op, (*parts, position), (size,))
    out = decoder.linear(draft, f"{here}.output", f"{module}.SelfAttention.o", mixed, sizes.hidden)
    return draft.node(f"{here}.residual", Add(), (x, out), (sizes.hidden,))


def _cross_attention(draft: Draft, sizes: _Sizes, layer: int, x: str) -> str:
    """``x + o(attention(norm(x), memory))``."""
    here, module = f"decoder.{layer}.cross", f"decoder.block.{layer}.layer.1"
    h = decoder.norm(draft, f"{here}.norm", f"{module}.layer_norm", x, sizes.eps)
    size = sizes.heads * sizes.head_dim
    module = f"{module}.EncDecAttention"
    parts = [
        decoder.linear(draft, f"{here}.{name}", f"{module}.{name}", source, size)
        for name, source in (("q", h), ("k", "memory"), ("v", "memory"))
    ]
    op = CrossAttention(sizes.heads, sizes.head_dim, 1.0)
    mixed = draft.node(f"{here}.mixed", op, tuple(parts), (size,))
    out = decoder.linear(draft, f"{here}.output", f"{module}.o", mixed, sizes.hidden)
    return draft.node(f"{here}.residual", Add(), (x, out), (sizes.hidden,))


def _feed_forward(draft: Draft, sizes: _Sizes, module: str, x: str, step: int, layer: int) -> str:
    """``x + wo(act(wi(norm(x))))``, of the chosen expert in layers that have them."""
    here = f"{module.partition('.')[0]}.{layer}.mlp"
    h = decoder.norm(draft, f"{here}.norm", f"{module}.layer_norm", x, sizes.eps)
    sparse = step > 0 and (step == 1 or layer % step == 1)
    if sparse:
        out = _expert(draft, sizes, here, f"{module}.mlp", h)
    else:
        inner = decoder.linear(draft, f"{here}.up", f"{module}.mlp.wi", h, sizes.inner)
        inner = draft.node(f"{here}.activation", sizes.activation, (inner,), (sizes.inner,))
        out = decoder.linear(draft, f"{here}.down", f"{module}.mlp.wo", inner, sizes.hidden)
    return draft.node(f"{here}.residual", Add(), (x, out), (sizes.hidden,))


def _expert(draft: Draft, sizes: _Sizes, here: str, module: str, h: str) -> str:
    """Output of the token's expert times its probability; 0 if the expert is full."""
    experts = sizes.experts
    logits = decoder.linear(
        draft,
        f"{here}.router",
        f"{module}.router.classifier",
        h,
        experts,
        bias=sizes.router_bias,
    )
    choice = draft.node(f"{here}.choice", Route(1), (logits,), (1,))
    gates = draft.node(f"{here}.gates", Gate("softmax", normalize=False), (logits, choice), (1,))
    gates = draft.node(f"{here}.kept", Capacity(experts, sizes.capacity), (gates, choice), (1,))

    def each(name: str, shape: tuple[int, int]) -> tuple[TensorRef, ...]:
        return tuple(
            draft.tensor(f"{module}.experts.expert_{e}.{name}.weight", shape)
            for e in range(experts)
        )

    up = ExpertLinear(each("wi", (sizes.inner, sizes.hidden)), (), 0)
    x = draft.node(f"{here}.up", up, (h, choice), (sizes.inner,))
    x = draft.node(f"{here}.activation", sizes.activation, (x,), (sizes.inner,))
    down = ExpertLinear(each("wo", (sizes.hidden, sizes.inner)), (), 0)
    x = draft.node(f"{here}.down", down, (x, choice), (sizes.hidden,))
    return draft.node(f"{here}.weighed", Weigh(0), (x, gates), (sizes.hidden,))
