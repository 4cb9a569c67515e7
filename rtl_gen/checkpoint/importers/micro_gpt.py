"""MicroGPT: norms without gains, learned positions, multi-head attention, a plain MLP, no biases.

Tensors are called as in the published single-file program: ``wte``, ``wpe``, ``lm_head`` and
``layer0.attn_wq`` to ``layer0.mlp_fc2``, each stored (out, in). The config has GPT-2's keys.
"""

from __future__ import annotations

from rtl_gen.checkpoint import setting
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

ARCHITECTURES = ("MicroGPT",)


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a microGPT checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    hidden = setting.integer(checkpoint, "n_embd")
    context = setting.integer(checkpoint, "n_positions")
    vocabulary = setting.integer(checkpoint, "vocab_size")
    draft = Draft(checkpoint, Input("input_ids", "token", ()), Input("position", "position", ()))
    table = draft.tensor("wte", (vocabulary, hidden))
    positions = draft.tensor("wpe", (context, hidden))
    token = draft.node("embedding.token", Embedding(table), ("input_ids",), (hidden,))
    place = draft.node("embedding.position", Embedding(positions), ("position",), (hidden,))
    x = draft.node("embedding", Add(), (token, place), (hidden,))
    x = _norm(draft, checkpoint, "embedding.norm", x)
    for layer in range(setting.integer(checkpoint, "n_layer")):
        x = _attention(draft, checkpoint, layer, x)
        x = _mlp(draft, checkpoint, layer, x)
    _linear(draft, "logits", "lm_head", x, vocabulary)
    return draft.finish(
        architecture_of(checkpoint),
        {"logits": "logits"},
        context=context,
        vocabulary=vocabulary,
        bos=setting.begin(checkpoint, vocabulary),
        eos=setting.tokens(checkpoint, "eos_token_id", vocabulary),
    )


def _norm(draft: Draft, checkpoint: Checkpoint, name: str, x: str) -> str:
    eps = setting.number(checkpoint, "layer_norm_epsilon", 1e-5)
    return draft.node(name, Norm(None, None, eps, center=False), (x,), draft.shape(x))


def _linear(draft: Draft, name: str, tensor: str, x: str, n_out: int) -> str:
    (n_in,) = draft.shape(x)
    return draft.node(name, Linear(draft.tensor(tensor, (n_out, n_in))), (x,), (n_out,))


def _attention(draft: Draft, checkpoint: Checkpoint, layer: int, x: str) -> str:
    """``x + wo(attention(norm(x)))``."""
    here, tensor = f"layers.{layer}.attention", f"layer{layer}.attn_w"
    (size,) = draft.shape(x)
    heads = setting.integer(checkpoint, "n_head")
    if size % heads:
        raise setting.wrong(checkpoint, "n_head", f"a divisor of n_embd {size}", heads)
    h = _norm(draft, checkpoint, f"{here}.norm", x)
    parts = tuple(_linear(draft, f"{here}.{name}", f"{tensor}{name}", h, size) for name in "qkv")
    op = Attention(heads, heads, size // heads, (size // heads) ** -0.5)
    mixed = draft.node(f"{here}.mixed", op, (*parts, "position"), (size,))
    out = _linear(draft, f"{here}.output", f"{tensor}o", mixed, size)
    return draft.node(f"{here}.residual", Add(), (x, out), (size,))


def _mlp(draft: Draft, checkpoint: Checkpoint, layer: int, x: str) -> str:
    """``x + fc2(act(fc1(norm(x))))``."""
    here, tensor = f"layers.{layer}.mlp", f"layer{layer}.mlp_fc"
    (size,) = draft.shape(x)
    inner = setting.integer(checkpoint, "n_inner", 4 * size)
    h = _norm(draft, checkpoint, f"{here}.norm", x)
    up = _linear(draft, f"{here}.up", f"{tensor}1", h, inner)
    kind = setting.activation(checkpoint, "activation_function", "relu")
    act = draft.node(f"{here}.activation", Activation(kind), (up,), (inner,))
    down = _linear(draft, f"{here}.down", f"{tensor}2", act, size)
    return draft.node(f"{here}.residual", Add(), (x, down), (size,))
