"""What decoders of the Llama family share: norms, attention, MLPs, embedding and head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rtl_gen.checkpoint import setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.registry import architecture_of
from rtl_gen.checkpoint.rope import PLAIN, frequencies
from rtl_gen.errors import CheckpointError, UnsupportedError
from rtl_gen.ir.model import (
    Activation,
    Add,
    Attention,
    Embedding,
    Input,
    Linear,
    ModelGraph,
    Mul,
    Norm,
    Rotary,
    TensorRef,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes and variants of a decoder's attention.

    Parameters
    ----------
    qkv_bias, output_bias : bool
        Whether these products have a bias.
    qk_norm : {"none", "head", "whole"}
        Norm of queries and keys before the rotation: of each head, or of all heads together.
    clip : float or None
        Largest absolute value of queries, keys and values (``clip_qkv``).
    windows : tuple of int
        Positions that each layer's attention sees, 0 for all.
    sinks : bool
        Whether every head has a score for seeing nothing.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    vocabulary: int
    eps: float
    activation: Activation
    frequencies: tuple[float, ...]
    rotary_scale: float
    windows: tuple[int, ...]
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: Literal["none", "head", "whole"] = "none"
    clip: float | None = None
    sinks: bool = False


FeedForward = Callable[[Draft, int, str, str], list[str]]
"""(draft, layer, name prefix, normed input) to the values that are added to the residual stream."""


def shape(
    checkpoint: Checkpoint,
    *,
    windows: tuple[int, ...] = (),
    head_dim: int | None = None,
    rope: Mapping[str, object] = PLAIN,
) -> Shape:
    """Sizes that all these architectures name alike; no bias, no norm of queries and keys.

    Parameters
    ----------
    checkpoint : Checkpoint
    windows : tuple of int
        See `Shape`.
    head_dim : int or None
        Of an architecture whose config has another meaning of it.
    rope : mapping
        Settings of rotary positions where the config gives none.

    Raises
    ------
    CheckpointError
        If a size is missing or contradicts another.
    UnsupportedError
        If head_dim is odd.
    """
    setting.refuse(checkpoint, "is_decoder", (True, False))
    hidden = setting.integer(checkpoint, "hidden_size")
    layers = layer_count(checkpoint)
    heads = setting.integer(checkpoint, "num_attention_heads")
    kv_heads = setting.integer(checkpoint, "num_key_value_heads", heads)
    if heads % kv_heads:
        raise setting.wrong(
            checkpoint, "num_key_value_heads", f"a divisor of {heads} heads", kv_heads
        )
    if head_dim is None and checkpoint.config.get("head_dim") is None and hidden % heads:
        raise setting.wrong(
            checkpoint, "num_attention_heads", f"a divisor of hidden_size {hidden}", heads
        )
    if head_dim is None:
        head_dim = setting.integer(checkpoint, "head_dim", hidden // heads)
    if head_dim % 2:
        raise UnsupportedError(
            f"{checkpoint.config_file}: head_dim {head_dim} is odd; rotary position embeddings "
            "rotate pairs of elements"
        )
    context = setting.integer(checkpoint, "max_position_embeddings")
    turns, scale = frequencies(checkpoint, head_dim, context, rope)
    return Shape(
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        context=context,
        vocabulary=setting.integer(checkpoint, "vocab_size"),
        eps=setting.number(checkpoint, "rms_norm_eps", 1e-6),
        activation=Activation(setting.activation(checkpoint, "hidden_act", "silu")),
        frequencies=turns,
        rotary_scale=scale,
        windows=windows,
    )


def layer_count(checkpoint: Checkpoint) -> int:
    """``num_hidden_layers``; more than there are tensors would only exhaust the memory.

    Raises
    ------
    CheckpointError
        If it is wrong.
    """
    layers = setting.integer(checkpoint, "num_hidden_layers")
    if layers > len(checkpoint.entries):
        expected = f"at most one layer per tensor, of which there are {len(checkpoint.entries)}"
        raise setting.wrong(checkpoint, "num_hidden_layers", expected, layers)
    return layers


def windows(
    checkpoint: Checkpoint, default: Callable[[int], bool] | None, *, enabled: bool = True
) -> tuple[int, ...]:
    """Window of every layer, 0 where a layer sees all positions; empty if all do.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its ``sliding_window``, and ``layer_types`` if `default` is given.
    default : callable or None
        Whether a layer slides when the config has no ``layer_types``; None: every layer does, and
        the config has none.
    enabled : bool
        If not, no layer slides (``use_sliding_window``).

    Raises
    ------
    CheckpointError
        If one of them is wrong.
    """
    value = checkpoint.config.get("sliding_window")
    if not enabled or value in (None, 0):
        window = 0
    else:
        window = setting.integer(checkpoint, "sliding_window")
    if window >= setting.integer(checkpoint, "max_position_embeddings"):
        window = 0
    layers = layer_count(checkpoint)
    types = checkpoint.config.get("layer_types") if default is not None else None
    if types is not None:
        known = ("full_attention", "sliding_attention")
        if (
            not isinstance(types, list)
            or len(types) != layers
            or any(item not in known for item in types)
        ):
            raise setting.wrong(
                checkpoint, "layer_types", f"{layers} of {' and '.join(known)}", types
            )
        if "sliding_attention" in types and value in (None, 0):
            raise setting.wrong(
                checkpoint, "sliding_window", "a width, as layer_types has sliding layers", value
            )
        width = setting.integer(checkpoint, "sliding_window") if value else 0
        width = 0 if width >= setting.integer(checkpoint, "max_position_embeddings") else width
        found = tuple(width if item == "sliding_attention" else 0 for item in types)
        return found if any(found) else ()
    if not window:
        return ()
    return tuple(window if default is None or default(layer) else 0 for layer in range(layers))


def build(checkpoint: Checkpoint, sizes: Shape, feed_forward: FeedForward) -> ModelGraph:
    """Graph of a decoder whose layers are attention and `feed_forward`, each with its norm."""

    def layer(draft: Draft, index: int, x: str) -> str:
        x = attention(draft, sizes, index, x)
        return residual(draft, sizes, index, x, feed_forward)

    return model(checkpoint, sizes, layer)


def model(
    checkpoint: Checkpoint, sizes: Shape, layer: Callable[[Draft, int, str], str]
) -> ModelGraph:
    """Embedding, layers, norm and head; see `rtl_gen.checkpoint.registry.import_model`."""
    draft = Draft(checkpoint, Input("input_ids", "token", ()), Input("position", "position", ()))
    draft.ignore(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
    table = draft.tensor("model.embed_tokens.weight", (sizes.vocabulary, sizes.hidden))
    x = draft.node("embedding", Embedding(table), ("input_ids",), (sizes.hidden,))
    for index in range(sizes.layers):
        x = layer(draft, index, x)
    x = norm(draft, "norm", "model.norm", x, sizes.eps)
    head = table
    if not setting.boolean(checkpoint, "tie_word_embeddings", False):
        head = draft.tensor("lm_head.weight", (sizes.vocabulary, sizes.hidden))
    elif draft.has("lm_head.weight"):
        check_tied(draft, checkpoint, table.name, (sizes.vocabulary, sizes.hidden))
    draft.node("logits", Linear(head), (x,), (sizes.vocabulary,))
    return draft.finish(
        architecture_of(checkpoint),
        {"logits": "logits"},
        context=sizes.context,
        vocabulary=sizes.vocabulary,
        bos=setting.begin(checkpoint, sizes.vocabulary),
        eos=setting.tokens(checkpoint, "eos_token_id", sizes.vocabulary),
    )


def check_tied(draft: Draft, checkpoint: Checkpoint, embedding: str, size: tuple[int, ...]) -> None:
    """Check that a stored ``lm_head.weight`` of a tied model is the embedding table.

    Raises
    ------
    CheckpointError
        If it is another tensor: config and weights contradict each other.
    """
    head = draft.tensor("lm_head.weight", size)
    if not np.array_equal(checkpoint.tensor(head.name), checkpoint.tensor(embedding)):
        raise CheckpointError(
            f"{checkpoint.path}: tensor 'lm_head.weight' differs from {embedding!r}, but "
            "config.json says tie_word_embeddings; set it to false or remove the tensor"
        )


def own_table(draft: Draft, module: str, shared: TensorRef, size: tuple[int, int]) -> TensorRef:
    """Embedding table of one side of a translator: its own if stored, else the shared one."""
    name = f"{module}.embed_tokens.weight"
    return draft.tensor(name, size) if draft.has(name) else shared


def norm(draft: Draft, name: str, module: str, x: str, eps: float, groups: int = 1) -> str:
    """RMSNorm with the weight of `module`, over each of `groups` parts."""
    (size,) = draft.shape(x)
    weight = draft.tensor(f"{module}.weight", (size // groups,))
    return draft.node(name, Norm(weight, None, eps, center=False, groups=groups), (x,), (size,))


def linear(draft: Draft, name: str, module: str, x: str, n_out: int, *, bias: bool = False) -> str:
    """Matrix product with the weight, and bias, of `module`."""
    (n_in,) = draft.shape(x)
    weight = draft.tensor(f"{module}.weight", (n_out, n_in))
    offset = draft.tensor(f"{module}.bias", (n_out,)) if bias else None
    return draft.node(name, Linear(weight, offset), (x,), (n_out,))


def attention(draft: Draft, sizes: Shape, layer: int, x: str) -> str:
    """``x + o_proj(attention(norm(x)))``."""
    here, module = f"layers.{layer}.attention", f"model.layers.{layer}.self_attn"
    h = norm(draft, f"{here}.norm", f"model.layers.{layer}.input_layernorm", x, sizes.eps)
    parts = []
    for name, heads in (("q", sizes.heads), ("k", sizes.kv_heads), ("v", sizes.kv_heads)):
        size = heads * sizes.head_dim
        y = linear(draft, f"{here}.{name}", f"{module}.{name}_proj", h, size, bias=sizes.qkv_bias)
        if name != "v" and sizes.qk_norm != "none":
            groups = heads if sizes.qk_norm == "head" else 1
            norm_module = f"{module}.{name}_norm"
            y = norm(draft, f"{here}.{name}_norm", norm_module, y, sizes.eps, groups)
        if sizes.clip is not None:
            clamp = Activation("clamp", limit=sizes.clip)
            y = draft.node(f"{here}.{name}_clip", clamp, (y,), (size,))
        if name != "v":
            rotate = Rotary(heads, sizes.head_dim, sizes.frequencies, sizes.rotary_scale)
            y = draft.node(f"{here}.{name}_rotary", rotate, (y, "position"), (size,))
        parts.append(y)
    op = Attention(
        sizes.heads,
        sizes.kv_heads,
        sizes.head_dim,
        sizes.head_dim**-0.5,
        window=sizes.windows[layer] if sizes.windows else 0,
        sinks=draft.tensor(f"{module}.sinks", (sizes.heads,)) if sizes.sinks else None,
    )
    size = sizes.heads * sizes.head_dim
    mixed = draft.node(f"{here}.mixed", op, (*parts, "position"), (size,))
    out = linear(
        draft, f"{here}.output", f"{module}.o_proj", mixed, sizes.hidden, bias=sizes.output_bias
    )
    return draft.node(f"{here}.residual", Add(), (x, out), (sizes.hidden,))


def residual(draft: Draft, sizes: Shape, layer: int, x: str, feed_forward: FeedForward) -> str:
    """``x + feed_forward(norm(x))``, term by term: a sum rides on its term's product."""
    here = f"layers.{layer}.mlp"
    module = f"model.layers.{layer}.post_attention_layernorm"
    h = norm(draft, f"{here}.norm", module, x, sizes.eps)
    terms = feed_forward(draft, layer, here, h)
    for place, term in enumerate(terms, 1):
        name = f"{here}.residual" if place == len(terms) else f"{here}.residual.{place}"
        x = draft.node(name, Add(), (x, term), (sizes.hidden,))
    return x


def mlp(
    draft: Draft,
    here: str,
    module: str,
    h: str,
    inner: int,
    activation: Activation,
    *,
    bias: bool = False,
) -> str:
    """``down(act(gate(h)) * up(h))``."""
    (size,) = draft.shape(h)
    gate = linear(draft, f"{here}.gate", f"{module}.gate_proj", h, inner, bias=bias)
    up = linear(draft, f"{here}.up", f"{module}.up_proj", h, inner, bias=bias)
    act = draft.node(f"{here}.activation", activation, (gate,), (inner,))
    product = draft.node(f"{here}.product", Mul(), (act, up), (inner,))
    return linear(draft, f"{here}.down", f"{module}.down_proj", product, size, bias=bias)
