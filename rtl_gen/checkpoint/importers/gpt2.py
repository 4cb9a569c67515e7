"""GPT2LMHeadModel: LayerNorm, learned positions, multi-head attention, MLP."""

from __future__ import annotations

from rtl_gen.checkpoint import setting
from rtl_gen.checkpoint.decoder import check_tied
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.registry import architecture_of
from rtl_gen.ir.model import (
    Activation,
    Add,
    Attention,
    Embedding,
    Input,
    Linear,
    ModelGraph,
    Norm,
)

ARCHITECTURES = ("GPT2LMHeadModel",)


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a GPT-2 checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    setting.refuse(checkpoint, "add_cross_attention", (False,))
    hidden = setting.integer(checkpoint, "n_embd")
    context = setting.integer(checkpoint, "n_positions")
    vocabulary = setting.integer(checkpoint, "vocab_size")
    draft = Draft(checkpoint, Input("input_ids", "token", ()), Input("position", "position", ()))
    # Files of the first release have no prefix, those that transformers saves today do.
    prefix = "" if draft.has("wte.weight") else "transformer."
    draft.ignore(rf"{prefix}h\.\d+\.attn\.(masked_)?bias")  # the causal mask, not a weight
    table = draft.tensor(f"{prefix}wte.weight", (vocabulary, hidden))
    positions = draft.tensor(f"{prefix}wpe.weight", (context, hidden))
    token = draft.node("embedding.token", Embedding(table), ("input_ids",), (hidden,))
    place = draft.node("embedding.position", Embedding(positions), ("position",), (hidden,))
    x = draft.node("embedding", Add(), (token, place), (hidden,))
    for layer in range(setting.integer(checkpoint, "n_layer")):
        x = _attention(draft, checkpoint, prefix, layer, x)
        x = _mlp(draft, checkpoint, prefix, layer, x)
    x = _norm(draft, checkpoint, "norm", f"{prefix}ln_f", x)
    head = table
    if not setting.boolean(checkpoint, "tie_word_embeddings", True):
        head = draft.tensor("lm_head.weight", (vocabulary, hidden))
    elif draft.has("lm_head.weight"):
        check_tied(draft, checkpoint, table.name, (vocabulary, hidden))
    draft.node("logits", Linear(head), (x,), (vocabulary,))
    return draft.finish(
        architecture_of(checkpoint),
        {"logits": "logits"},
        context=context,
        vocabulary=vocabulary,
        bos=setting.begin(checkpoint, vocabulary),
        eos=setting.tokens(checkpoint, "eos_token_id", vocabulary),
    )


def _norm(draft: Draft, checkpoint: Checkpoint, name: str, module: str, x: str) -> str:
    (size,) = draft.shape(x)
    weight, bias = (
        draft.tensor(f"{module}.weight", (size,)),
        draft.tensor(f"{module}.bias", (size,)),
    )
    eps = setting.number(checkpoint, "layer_norm_epsilon", 1e-5)
    return draft.node(name, Norm(weight, bias, eps, center=True), (x,), (size,))


def _linear(draft: Draft, name: str, module: str, x: str, n_out: int) -> str:
    """Append a ``Conv1D`` module: its weight is stored (in, out)."""
    (n_in,) = draft.shape(x)
    weight = draft.tensor(f"{module}.weight", (n_in, n_out), transpose=True)
    bias = draft.tensor(f"{module}.bias", (n_out,))
    return draft.node(name, Linear(weight, bias), (x,), (n_out,))


def _attention(draft: Draft, checkpoint: Checkpoint, prefix: str, layer: int, x: str) -> str:
    """``x + c_proj(attention(norm(x)))``; c_attn holds q, k and v one after the other."""
    here, module = f"layers.{layer}.attention", f"{prefix}h.{layer}.attn"
    (size,) = draft.shape(x)
    heads = setting.integer(checkpoint, "n_head")
    if size % heads:
        raise setting.wrong(checkpoint, "n_head", f"a divisor of n_embd {size}", heads)
    h = _norm(draft, checkpoint, f"{here}.norm", f"{prefix}h.{layer}.ln_1", x)
    parts = []
    for index, name in enumerate("qkv"):
        rows = (index * size, (index + 1) * size)
        weight = draft.tensor(
            f"{module}.c_attn.weight", (size, 3 * size), transpose=True, rows=rows
        )
        bias = draft.tensor(f"{module}.c_attn.bias", (3 * size,), rows=rows)
        parts.append(draft.node(f"{here}.{name}", Linear(weight, bias), (h,), (size,)))
    scale = 1.0
    if setting.boolean(checkpoint, "scale_attn_weights", True):
        scale = (size // heads) ** -0.5
    if setting.boolean(checkpoint, "scale_attn_by_inverse_layer_idx", False):
        scale /= layer + 1
    op = Attention(heads, heads, size // heads, scale)
    mixed = draft.node(f"{here}.mixed", op, (*parts, "position"), (size,))
    out = _linear(draft, f"{here}.output", f"{module}.c_proj", mixed, size)
    return draft.node(f"{here}.residual", Add(), (x, out), (size,))


def _mlp(draft: Draft, checkpoint: Checkpoint, prefix: str, layer: int, x: str) -> str:
    """``x + c_proj(act(c_fc(norm(x))))``."""
    here, module = f"layers.{layer}.mlp", f"{prefix}h.{layer}.mlp"
    (size,) = draft.shape(x)
    inner = setting.integer(checkpoint, "n_inner", 4 * size)
    h = _norm(draft, checkpoint, f"{here}.norm", f"{prefix}h.{layer}.ln_2", x)
    up = _linear(draft, f"{here}.up", f"{module}.c_fc", h, inner)
    kind = setting.activation(checkpoint, "activation_function", "gelu_new")
    act = draft.node(f"{here}.activation", Activation(kind), (up,), (inner,))
    down = _linear(draft, f"{here}.down", f"{module}.c_proj", act, size)
    return draft.node(f"{here}.residual", Add(), (x, down), (size,))
