"""LlamaForCausalLM: RMSNorm, rotary grouped-query attention, gated MLP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl_gen.checkpoint import setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.registry import architecture_of
from rtl_gen.checkpoint.rope import frequencies
from rtl_gen.errors import CheckpointError, UnsupportedError
from rtl_gen.ir.model import (
    Activation,
    ActivationKind,
    Add,
    Attention,
    Embedding,
    Input,
    Linear,
    ModelGraph,
    Mul,
    Norm,
    Rotary,
)

ARCHITECTURES = ("LlamaForCausalLM",)


@dataclass(frozen=True, slots=True)
class _Sizes:
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    activation: ActivationKind
    attention_bias: bool
    mlp_bias: bool
    frequencies: tuple[float, ...]
    rotary_scale: float


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a Llama checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    layers = setting.integer(checkpoint, "num_hidden_layers")
    context = setting.integer(checkpoint, "max_position_embeddings")
    vocabulary = setting.integer(checkpoint, "vocab_size")
    sizes = _sizes(checkpoint, context)
    draft = Draft(checkpoint, Input("input_ids", "token", ()), Input("position", "position", ()))
    draft.ignore(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
    table = draft.tensor("model.embed_tokens.weight", (vocabulary, sizes.hidden))
    x = draft.node("embedding", Embedding(table), ("input_ids",), (sizes.hidden,))
    for layer in range(layers):
        x = _attention(draft, sizes, layer, x)
        x = _mlp(draft, sizes, layer, x)
    x = _norm(draft, sizes, "norm", "model.norm", x)
    head = table
    if not setting.boolean(checkpoint, "tie_word_embeddings", False):
        head = draft.tensor("lm_head.weight", (vocabulary, sizes.hidden))
    elif draft.has("lm_head.weight"):
        check_tied(draft, checkpoint, table.name, (vocabulary, sizes.hidden))
    draft.node("logits", Linear(head), (x,), (vocabulary,))
    return draft.finish(
        architecture_of(checkpoint),
        {"logits": "logits"},
        context=context,
        vocabulary=vocabulary,
        bos=setting.begin(checkpoint, vocabulary),
        eos=setting.tokens(checkpoint, "eos_token_id", vocabulary),
    )


def check_tied(
    draft: Draft, checkpoint: Checkpoint, embedding: str, shape: tuple[int, ...]
) -> None:
    """Check that a stored ``lm_head.weight`` of a tied model is the embedding table.

    Raises
    ------
    CheckpointError
        If it is another tensor: config and weights contradict each other.
    """
    head = draft.tensor("lm_head.weight", shape)
    if not np.array_equal(checkpoint.tensor(head.name), checkpoint.tensor(embedding)):
        raise CheckpointError(
            f"{checkpoint.path}: tensor 'lm_head.weight' differs from {embedding!r}, but "
            "config.json says tie_word_embeddings; set it to false or remove the tensor"
        )


def _sizes(checkpoint: Checkpoint, context: int) -> _Sizes:
    setting.refuse(checkpoint, "is_decoder", (True, False))
    setting.refuse(checkpoint, "sliding_window", ())
    hidden = setting.integer(checkpoint, "hidden_size")
    heads = setting.integer(checkpoint, "num_attention_heads")
    kv_heads = setting.integer(checkpoint, "num_key_value_heads", heads)
    if heads % kv_heads:
        raise setting.wrong(
            checkpoint, "num_key_value_heads", f"a divisor of {heads} heads", kv_heads
        )
    if checkpoint.config.get("head_dim") is None and hidden % heads:
        raise setting.wrong(
            checkpoint, "num_attention_heads", f"a divisor of hidden_size {hidden}", heads
        )
    head_dim = setting.integer(checkpoint, "head_dim", hidden // heads)
    if head_dim % 2:
        raise UnsupportedError(
            f"{checkpoint.config_file}: head_dim {head_dim} is odd; rotary position embeddings "
            "rotate pairs of elements"
        )
    turns, scale = frequencies(checkpoint, head_dim, context)
    return _Sizes(
        hidden=hidden,
        inner=setting.integer(checkpoint, "intermediate_size"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        eps=setting.number(checkpoint, "rms_norm_eps", 1e-6),
        activation=setting.activation(checkpoint, "hidden_act", "silu"),
        attention_bias=setting.boolean(checkpoint, "attention_bias", False),
        mlp_bias=setting.boolean(checkpoint, "mlp_bias", False),
        frequencies=turns,
        rotary_scale=scale,
    )


def _norm(draft: Draft, sizes: _Sizes, name: str, module: str, x: str) -> str:
    weight = draft.tensor(f"{module}.weight", (sizes.hidden,))
    return draft.node(name, Norm(weight, None, sizes.eps, center=False), (x,), (sizes.hidden,))


def _linear(draft: Draft, name: str, module: str, x: str, n_out: int, *, bias: bool) -> str:
    (n_in,) = draft.shape(x)
    weight = draft.tensor(f"{module}.weight", (n_out, n_in))
    offset = draft.tensor(f"{module}.bias", (n_out,)) if bias else None
    return draft.node(name, Linear(weight, offset), (x,), (n_out,))


def _attention(draft: Draft, sizes: _Sizes, layer: int, x: str) -> str:
    """``x + o_proj(attention(norm(x)))``."""
    here, module = f"layers.{layer}.attention", f"model.layers.{layer}.self_attn"
    bias = sizes.attention_bias
    h = _norm(draft, sizes, f"{here}.norm", f"model.layers.{layer}.input_layernorm", x)
    q_size, kv_size = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    q = _linear(draft, f"{here}.q", f"{module}.q_proj", h, q_size, bias=bias)
    k = _linear(draft, f"{here}.k", f"{module}.k_proj", h, kv_size, bias=bias)
    v = _linear(draft, f"{here}.v", f"{module}.v_proj", h, kv_size, bias=bias)
    turns, scale = sizes.frequencies, sizes.rotary_scale
    rotate_q = Rotary(sizes.heads, sizes.head_dim, turns, scale)
    rotate_k = Rotary(sizes.kv_heads, sizes.head_dim, turns, scale)
    q = draft.node(f"{here}.q_rotary", rotate_q, (q, "position"), (q_size,))
    k = draft.node(f"{here}.k_rotary", rotate_k, (k, "position"), (kv_size,))
    op = Attention(sizes.heads, sizes.kv_heads, sizes.head_dim, sizes.head_dim**-0.5)
    mixed = draft.node(f"{here}.mixed", op, (q, k, v, "position"), (q_size,))
    out = _linear(draft, f"{here}.output", f"{module}.o_proj", mixed, sizes.hidden, bias=bias)
    return draft.node(f"{here}.residual", Add(), (x, out), (sizes.hidden,))


def _mlp(draft: Draft, sizes: _Sizes, layer: int, x: str) -> str:
    """``x + down(act(gate(norm(x))) * up(norm(x)))``."""
    here, module = f"layers.{layer}.mlp", f"model.layers.{layer}.mlp"
    bias = sizes.mlp_bias
    norm = f"model.layers.{layer}.post_attention_layernorm"
    h = _norm(draft, sizes, f"{here}.norm", norm, x)
    gate = _linear(draft, f"{here}.gate", f"{module}.gate_proj", h, sizes.inner, bias=bias)
    up = _linear(draft, f"{here}.up", f"{module}.up_proj", h, sizes.inner, bias=bias)
    act = draft.node(f"{here}.activation", Activation(sizes.activation), (gate,), (sizes.inner,))
    product = draft.node(f"{here}.product", Mul(), (act, up), (sizes.inner,))
    down = _linear(draft, f"{here}.down", f"{module}.down_proj", product, sizes.hidden, bias=bias)
    return draft.node(f"{here}.residual", Add(), (x, down), (sizes.hidden,))
