"""ExpertChoiceMoeLayer: one layer of gated experts that choose their tokens from a block."""

from __future__ import annotations

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.experts import stored
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.registry import architecture_of
from rtl_gen.ir.model import Activation, ExpertChoice, Input, ModelGraph

ARCHITECTURES = ("ExpertChoiceMoeLayer",)

CONTEXT = 512
"""Positions of a block, of a config that does not limit them (``max_position_embeddings``)."""


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of such a layer; see `rtl_gen.checkpoint.registry.import_model`."""
    setting.refuse(checkpoint, "router", ("expert_choice",))
    hidden = setting.integer(checkpoint, "hidden_size")
    inner = setting.integer(checkpoint, "intermediate_size")
    experts = setting.integer(checkpoint, "num_local_experts")
    activation = Activation(setting.activation(checkpoint, "hidden_act", "silu"))
    draft = Draft(checkpoint, Input("x", "frame", (hidden,)))
    logits = decoder.linear(draft, "router", "gate", "x", experts)
    found = stored(draft, "experts", ("w1", "w3", "w2"), experts, hidden, inner)
    capacity = setting.number(checkpoint, "capacity_factor", 2.0)
    op = ExpertChoice(found.gate, found.up, found.down, activation, capacity)
    draft.node("out", op, ("x", logits), (hidden,))
    context = setting.integer(checkpoint, "max_position_embeddings", CONTEXT)
    return draft.finish(architecture_of(checkpoint), {"out": "out"}, context=context)
