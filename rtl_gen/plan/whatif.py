"""The same network with other sizes, to say what would make it fit.

Only sizes are right: weights are clipped to fewer bits, not quantized again, and what is cut off
from the context is gone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rtl_gen.ir.integer import (
    Attention,
    Constant,
    ConstMatVec,
    Conv2d,
    Embedding,
    ExpertMatVec,
    Input,
    IntegerGraph,
    Node,
    Rotary,
)
from rtl_gen.ir.types import IntType

MATRICES = (ConstMatVec, ExpertMatVec, Conv2d)


def with_weight_bits(graph: IntegerGraph, bits: int) -> IntegerGraph:
    """`graph` with matrices and tables of at most `bits` bits."""
    names = {n.op.weight for n in graph.nodes if isinstance(n.op, MATRICES)}
    names |= {n.op.table for n in graph.nodes if isinstance(n.op, Embedding)}
    constants = dict(graph.constants)
    for name in names:
        old = constants[name]
        if old.type.width > bits:
            type_ = IntType(bits, old.type.signed)
            constants[name] = Constant(type_, np.clip(old.data, type_.min, type_.max))
    return replace(graph, constants=constants)


def with_context(graph: IntegerGraph, context: int) -> IntegerGraph:
    """`graph` with a context of at most `context` positions."""
    if not graph.vocabulary or context >= graph.context:
        return graph
    constants = dict(graph.constants)
    learned = {n.name for n in graph.inputs if n.kind == "position"}
    nodes: list[Node] = []
    for node in graph.nodes:
        op = node.op
        if isinstance(op, Attention):
            op = replace(op, context=context, window=min(op.window, context))
        elif isinstance(op, Rotary):
            for name in (op.cos, op.sin):
                old = constants[name]
                constants[name] = Constant(old.type, old.data[:context])
        elif isinstance(op, Embedding) and node.inputs[0] in learned:
            for name in (op.table, op.multiplier):
                old = constants[name]
                constants[name] = Constant(old.type, old.data[:context])
        nodes.append(replace(node, op=op))
    type_ = IntType.holding(0, context - 1)
    inputs = tuple(
        Input(i.name, i.kind, replace(i.value, type=type_)) if i.kind == "position" else i
        for i in graph.inputs
    )
    return replace(graph, context=context, inputs=inputs, nodes=tuple(nodes), constants=constants)
