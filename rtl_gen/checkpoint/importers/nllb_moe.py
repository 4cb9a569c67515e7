"""NllbMoeForConditionalGeneration: encoder and decoder with two experts per token.

The published routing (GShard, NLLB) sends a token to the experts of its two largest
probabilities. transformers 5 (seen in 5.23, `NllbMoeExperts`) reads its mask of first choices as
expert numbers instead: expert 1 gets every token with the weight of its first choice, expert 0
with that of its second, and the other experts nothing. A checkpoint that such a version wrote
(`transformers_version`) is imported as that version computes it, so that its stored outputs are
met; any other one as published.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtl_gen.checkpoint import decoder, setting, translator
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.errors import UnsupportedError
from rtl_gen.ir.model import (
    Activation,
    Add,
    Attention,
    CrossAttention,
    Embedding,
    Gate,
    ModelGraph,
    Norm,
    Route,
    Sinusoid,
    TensorRef,
    Weigh,
)

ARCHITECTURES = ("NllbMoeForConditionalGeneration",)

NORM_EPS = 1e-5
"""Of every norm; the config does not set it."""

CHOSEN = 2

NAMES = translator.Names(("q_proj", "k_proj", "v_proj", "out_proj"), ("fc1", "fc2"), bias=True)


@dataclass(frozen=True, slots=True)
class _Side:
    """Sizes of the encoder or the decoder."""

    name: str
    hidden: int
    inner: int
    heads: int
    layers: int
    step: int
    experts: int
    router_bias: bool
    activation: Activation
    share: float
    by_mask: bool

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of an NLLB-MoE checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    vocabulary = setting.integer(checkpoint, "vocab_size")
    context = setting.integer(checkpoint, "max_position_embeddings", 1024)
    side = _side(checkpoint, "encoder")
    size = (vocabulary, side.hidden)
    sides = translator.begin(checkpoint, "model.shared.weight", size)

    first = sides.encoder
    own = decoder.own_table(first, "model.encoder", sides.table, size)
    x = _embedded(first, checkpoint, own, side.hidden, "input_ids", "place")
    for layer in range(side.layers):
        x = _self_attention(first, side, layer, x, "place")
        x = _feed_forward(first, side, layer, x)
    _norm(first, "encoded", "model.encoder.layer_norm", x)

    draft = sides.decoder
    side = _side(checkpoint, "decoder")
    own = decoder.own_table(draft, "model.decoder", sides.table, size)
    x = _embedded(draft, checkpoint, own, side.hidden, "decoder_input_ids", "position")
    for layer in range(side.layers):
        x = _self_attention(draft, side, layer, x, "position")
        x = _cross_attention(draft, side, layer, x)
        x = _feed_forward(draft, side, layer, x)
    x = _norm(draft, "norm", "model.decoder.layer_norm", x)
    return translator.finish(checkpoint, sides, context, x, tied_scale=1.0)


def _side(checkpoint: Checkpoint, name: str) -> _Side:
    setting.refuse(checkpoint, "second_expert_policy", ("all",))
    fraction = checkpoint.config.get("moe_eval_capacity_token_fraction", 1.0)
    if not isinstance(fraction, int | float) or not fraction >= 1:
        raise UnsupportedError(
            f"{checkpoint.config_file}: moe_eval_capacity_token_fraction {fraction!r}: only 1 and "
            "more, at which no token is dropped, is represented; below it, which tokens are "
            "dropped depends on the other sequences of a batch"
        )
    hidden = setting.integer(checkpoint, "d_model", 1024)
    heads = setting.integer(checkpoint, f"{name}_attention_heads", 16)
    if hidden % heads:
        raise setting.wrong(
            checkpoint, f"{name}_attention_heads", f"a divisor of d_model {hidden}", heads
        )
    dropout = checkpoint.config.get("moe_token_dropout", 0.2)
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise setting.wrong(checkpoint, "moe_token_dropout", "a number from 0 to below 1", dropout)
    version = checkpoint.config.get("transformers_version")
    return _Side(
        name=name,
        hidden=hidden,
        inner=setting.integer(checkpoint, f"{name}_ffn_dim", 4096),
        heads=heads,
        layers=setting.integer(checkpoint, f"{name}_layers", 12),
        step=setting.integer(checkpoint, f"{name}_sparse_step", 4, minimum=0),
        experts=setting.integer(checkpoint, "num_experts", 128, minimum=CHOSEN),
        router_bias=setting.boolean(checkpoint, "router_bias", False),
        activation=Activation(setting.activation(checkpoint, "activation_function", "relu")),
        share=1.0 - dropout,
        by_mask=isinstance(version, str) and version.startswith("5."),
    )


def _embedded(
    draft: Draft, checkpoint: Checkpoint, table: TensorRef, hidden: int, ids: str, position: str
) -> str:
    """Token embedding plus sines of the position, which starts behind the padding's."""
    scaled = setting.boolean(checkpoint, "scale_embedding", True)
    op = Embedding(table, hidden**0.5 if scaled else 1.0)
    x = draft.node("embedding", op, (ids,), (hidden,))
    half = hidden // 2
    if hidden % 2 or half < 2:
        raise UnsupportedError(
            f"{checkpoint.config_file}: d_model {hidden}: positions need an even one of at least 4"
        )
    frequencies = tuple(10000.0 ** (-i / (half - 1)) for i in range(half))
    first = setting.integer(checkpoint, "pad_token_id", 1, minimum=0) + 1
    place = draft.node("places", Sinusoid(frequencies, first), (position,), (hidden,))
    return draft.node("input", Add(), (x, place), (hidden,))


def _norm(draft: Draft, name: str, module: str, x: str) -> str:
    (size,) = draft.shape(x)
    weight, bias = (draft.tensor(f"{module}.{part}", (size,)) for part in ("weight", "bias"))
    return draft.node(name, Norm(weight, bias, NORM_EPS, center=True), (x,), (size,))


def _self_attention(draft: Draft, side: _Side, layer: int, x: str, position: str) -> str:
    """``x + out_proj(attention(norm(x)))``."""
    here, module = f"{side.name}.{layer}.attention", f"model.{side.name}.layers.{layer}"
    h = _norm(draft, f"{here}.norm", f"{module}.self_attn_layer_norm", x)
    scale, causal = side.head_dim**-0.5, side.name == "decoder"
    op = Attention(side.heads, side.heads, side.head_dim, scale, causal=causal)
    return translator.attend(draft, here, f"{module}.self_attn", NAMES, op, (x, h, position))


def _cross_attention(draft: Draft, side: _Side, layer: int, x: str) -> str:
    """``x + out_proj(attention(norm(x), memory))``."""
    here, module = f"decoder.{layer}.cross", f"model.decoder.layers.{layer}"
    h = _norm(draft, f"{here}.norm", f"{module}.cross_attention_layer_norm", x)
    op = CrossAttention(side.heads, side.head_dim, side.head_dim**-0.5)
    module = f"{module}.cross_attention"
    return translator.attend(draft, here, module, NAMES, op, (x, h, "memory"))


def _feed_forward(draft: Draft, side: _Side, layer: int, x: str) -> str:
    """``x + fc2(act(fc1(norm(x))))``, or the weighted sum of two experts' outputs."""
    here, module = f"{side.name}.{layer}.mlp", f"model.{side.name}.layers.{layer}"
    h = _norm(draft, f"{here}.norm", f"{module}.ff_layer_norm", x)
    module = f"{module}.ffn"
    if side.step > 0 and (layer + 1) % side.step == 0:
        for place, term in enumerate(_routed(draft, side, here, module, h)):
            x = draft.node(f"{here}.residual.{place}", Add(), (x, term), (side.hidden,))
        return x
    out = translator.dense(draft, here, module, NAMES, side.activation, side.inner, h)
    return draft.node(f"{here}.residual", Add(), (x, out), (side.hidden,))


def _routed(draft: Draft, side: _Side, here: str, module: str, h: str) -> list[str]:
    """Outputs of the two experts, each times its gate."""
    experts, name = side.experts, f"{module}.router.classifier"
    logits = decoder.linear(draft, f"{here}.router", name, h, experts, bias=side.router_bias)
    choice = draft.node(f"{here}.choice", Route(CHOSEN), (logits,), (CHOSEN,))
    op = Gate("softmax", normalize=True, scale=side.share)
    gates = draft.node(f"{here}.gates", op, (logits, choice), (CHOSEN,))
    found = translator.stored(draft, module, NAMES, experts, side.hidden, side.inner)
    outputs = []
    for slot in range(CHOSEN):
        prefix, always = f"{here}.slots.{slot}", 1 - slot if side.by_mask else None
        act = side.activation
        x = translator.expert(
            draft, prefix, found, act, side.inner, slot, (h, choice), always=always
        )
        outputs.append(draft.node(f"{prefix}.weighed", Weigh(slot), (x, gates), (side.hidden,)))
    return outputs
