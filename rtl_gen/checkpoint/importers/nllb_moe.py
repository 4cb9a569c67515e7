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

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.registry import architecture_of
from rtl_gen.errors import UnsupportedError
from rtl_gen.ir.model import (
    Activation,
    Add,
    Attention,
    CrossAttention,
    Embedding,
    ExpertLinear,
    Gate,
    Input,
    Linear,
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
    architecture = architecture_of(checkpoint)
    side = _side(checkpoint, "encoder")
    first = Draft(checkpoint, Input("input_ids", "token", ()), Input("place", "position", ()))
    size = (vocabulary, side.hidden)
    table = first.tensor("model.shared.weight", size)
    own = decoder.own_table(first, "model.encoder", table, size)
    x = _embedded(first, checkpoint, own, side.hidden, "input_ids", "place")
    for layer in range(side.layers):
        x = _self_attention(first, side, layer, x, "place")
        x = _feed_forward(first, side, layer, x)
    _norm(first, "encoded", "model.encoder.layer_norm", x)
    name = "encoder_last_hidden_state"
    encoder = first.part(architecture, {name: "encoded"}, context=context, vocabulary=vocabulary)

    draft = Draft(
        checkpoint,
        Input("decoder_input_ids", "token", ()),
        Input("position", "position", ()),
        Input("memory", "memory", (side.hidden,)),
    )
    side = _side(checkpoint, "decoder")
    own = decoder.own_table(draft, "model.decoder", table, size)
    x = _embedded(draft, checkpoint, own, side.hidden, "decoder_input_ids", "position")
    for layer in range(side.layers):
        x = _self_attention(draft, side, layer, x, "position")
        x = _cross_attention(draft, side, layer, x)
        x = _feed_forward(draft, side, layer, x)
    x = _norm(draft, "norm", "model.decoder.layer_norm", x)
    head = table
    if not setting.boolean(checkpoint, "tie_word_embeddings", True):
        head = draft.tensor("lm_head.weight", (vocabulary, side.hidden))
    elif draft.has("lm_head.weight"):
        decoder.check_tied(draft, checkpoint, table.name, (vocabulary, side.hidden))
    draft.node("logits", Linear(head), (x,), (vocabulary,))
    return draft.finish(
        architecture,
        {"logits": "logits"},
        context=context,
        vocabulary=vocabulary,
        bos=setting.tokens(checkpoint, "decoder_start_token_id", vocabulary)[:1],
        eos=setting.tokens(checkpoint, "eos_token_id", vocabulary),
        encoder=(first, encoder),
    )


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


def _projections(
    draft: Draft, side: _Side, here: str, module: str, sources: tuple[str, str, str]
) -> tuple[str, str, str]:
    q, k, v = (
        decoder.linear(
            draft, f"{here}.{name}", f"{module}.{name}_proj", source, side.hidden, bias=True
        )
        for name, source in zip("qkv", sources, strict=True)
    )
    return q, k, v


def _output(draft: Draft, side: _Side, here: str, module: str, mixed: str, x: str) -> str:
    out = decoder.linear(
        draft, f"{here}.output", f"{module}.out_proj", mixed, side.hidden, bias=True
    )
    return draft.node(f"{here}.residual", Add(), (x, out), (side.hidden,))


def _self_attention(draft: Draft, side: _Side, layer: int, x: str, position: str) -> str:
    """``x + out_proj(attention(norm(x)))``."""
    here, module = f"{side.name}.{layer}.attention", f"model.{side.name}.layers.{layer}"
    h = _norm(draft, f"{here}.norm", f"{module}.self_attn_layer_norm", x)
    module = f"{module}.self_attn"
    q, k, v = _projections(draft, side, here, module, (h, h, h))
    scale, causal = side.head_dim**-0.5, side.name == "decoder"
    op = Attention(side.heads, side.heads, side.head_dim, scale, causal=causal)
    mixed = draft.node(f"{here}.mixed", op, (q, k, v, position), (side.hidden,))
    return _output(draft, side, here, module, mixed, x)


def _cross_attention(draft: Draft, side: _Side, layer: int, x: str) -> str:
    """``x + out_proj(attention(norm(x), memory))``."""
    here, module = f"decoder.{layer}.cross", f"model.decoder.layers.{layer}"
    h = _norm(draft, f"{here}.norm", f"{module}.cross_attention_layer_norm", x)
    module = f"{module}.cross_attention"
    q, k, v = _projections(draft, side, here, module, (h, "memory", "memory"))
    op = CrossAttention(side.heads, side.head_dim, side.head_dim**-0.5)
    mixed = draft.node(f"{here}.mixed", op, (q, k, v), (side.hidden,))
    return _output(draft, side, here, module, mixed, x)


def _feed_forward(draft: Draft, side: _Side, layer: int, x: str) -> str:
    """``x + fc2(act(fc1(norm(x))))``, or the weighted sum of two experts' outputs."""
    here, module = f"{side.name}.{layer}.mlp", f"model.{side.name}.layers.{layer}"
    h = _norm(draft, f"{here}.norm", f"{module}.ff_layer_norm", x)
    if side.step > 0 and (layer + 1) % side.step == 0:
        for place, term in enumerate(_routed(draft, side, here, f"{module}.ffn", h)):
            x = draft.node(f"{here}.residual.{place}", Add(), (x, term), (side.hidden,))
        return x
    inner = decoder.linear(draft, f"{here}.up", f"{module}.ffn.fc1", h, side.inner, bias=True)
    inner = draft.node(f"{here}.activation", side.activation, (inner,), (side.inner,))
    out = decoder.linear(draft, f"{here}.down", f"{module}.ffn.fc2", inner, side.hidden, bias=True)
    return draft.node(f"{here}.residual", Add(), (x, out), (side.hidden,))


def _routed(draft: Draft, side: _Side, here: str, module: str, h: str) -> list[str]:
    """Outputs of the two experts, each times its gate."""
    experts = side.experts
    logits = decoder.linear(
        draft, f"{here}.router", f"{module}.router.classifier", h, experts, bias=side.router_bias
    )
    choice = draft.node(f"{here}.choice", Route(CHOSEN), (logits,), (CHOSEN,))
    op = Gate("softmax", normalize=True, scale=side.share)
    gates = draft.node(f"{here}.gates", op, (logits, choice), (CHOSEN,))

    def each(
        name: str, rows: int, columns: int
    ) -> tuple[tuple[TensorRef, ...], tuple[TensorRef, ...]]:
        names = [f"{module}.experts.expert_{e}.{name}" for e in range(experts)]
        return (
            tuple(draft.tensor(f"{item}.weight", (rows, columns)) for item in names),
            tuple(draft.tensor(f"{item}.bias", (rows,)) for item in names),
        )

    up, down = each("fc1", side.inner, side.hidden), each("fc2", side.hidden, side.inner)
    outputs = []
    for slot in range(CHOSEN):
        prefix, stays = f"{here}.slots.{slot}", 1 - slot
        if side.by_mask:
            first, second = (Linear(part[0][stays], part[1][stays]) for part in (up, down))
            x = draft.node(f"{prefix}.up", first, (h,), (side.inner,))
            x = draft.node(f"{prefix}.activation", side.activation, (x,), (side.inner,))
            x = draft.node(f"{prefix}.down", second, (x,), (side.hidden,))
        else:
            chosen = ExpertLinear(*up, slot)
            x = draft.node(f"{prefix}.up", chosen, (h, choice), (side.inner,))
            x = draft.node(f"{prefix}.activation", side.activation, (x,), (side.inner,))
            x = draft.node(f"{prefix}.down", ExpertLinear(*down, slot), (x, choice), (side.hidden,))
        outputs.append(draft.node(f"{prefix}.weighed", Weigh(slot), (x, gates), (side.hidden,)))
    return outputs
