"""Lowering of routers and experts.

The matrix of an expert is solved for the tokens that reach it, in any slot. An expert that few
tokens reach leans on a prior: all tokens, worth a small number of its own.
"""

from __future__ import annotations

from math import log2

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import QuantizationError
from rtl_gen.ir import integer as ir
from rtl_gen.ir import model as real
from rtl_gen.ir.types import Dyadic, IntType
from rtl_gen.quantize.lowering import U16, Lowering, dyadic, multipliers
from rtl_gen.quantize.matrix import Matrix, solve_matrix
from rtl_gen.quantize.network import Edge
from rtl_gen.reference.operators import sigmoid

Array = NDArray[np.float64]

PRIOR = 0.5
"""All tokens together count as so many tokens of the expert, per element of its input."""

_POOL = 2048
_SCORES = IntType(15, signed=False)
_FRACTION = 14


def routed(lowering: Lowering, node: real.Node) -> ir.IntegerOp:
    """Operator of a `Route`, `Gate`, `ExpertLinear` or `Weigh` node.

    Raises
    ------
    QuantizationError
        If a number of it does not fit the operator.
    """
    match node.op:
        case real.Route():
            return _route(lowering, node, node.op)
        case real.Gate():
            return _gate(lowering, node, node.op)
        case real.ExpertLinear():
            return _experts(lowering, node, node.op)
        case real.Weigh(slot):
            x, gates = (lowering.edges[name].scale for name in node.inputs)
            return ir.Weigh(dyadic(node, x * gates / lowering.edges[node.name].scale), slot)
        case _:
            raise TypeError(f"node {node.name} is not part of a mixture of experts")


def _route(lowering: Lowering, node: real.Node, op: real.Route) -> ir.Route:
    bias = None
    logits = node.inputs[0]
    if op.scores == "sigmoid":
        _add_scores(lowering, logits)
    elif op.bias is not None:
        raise QuantizationError(
            f"node {node.name}: a correction bias on softmax scores has no integer operator; the "
            "float model can be checked, not quantized"
        )
    if op.bias is not None:
        offset = np.rint(lowering.network.weights[op.bias] * 2.0**_FRACTION).astype(np.int64)
        if abs(offset).max() > IntType(16).max:
            raise QuantizationError(
                f"node {node.name}: its correction bias reaches "
                f"{abs(lowering.network.weights[op.bias]).max():.3g}; at most 2 is represented"
            )
        bias = lowering.constant(f"{node.name}.bias", IntType(16), offset)
    return ir.Route(op.k, bias, op.groups, op.kept, op.best)


def _add_scores(lowering: Lowering, logits: str) -> None:
    """Table of sigmoids behind the logits; what reads the logits reads it instead."""
    edge = lowering.edges[logits]
    x = np.arange(edge.type.min, edge.type.max + 1).astype(np.float64) * edge.scale
    table = np.rint(sigmoid(x) * 2.0**_FRACTION).astype(np.int64)
    name = f"{logits}.sigmoid"
    made = next(node for node in lowering.network.model.nodes if node.name == logits)
    op = ir.Lookup(lowering.constant(f"{name}.table", _SCORES, table))
    scored = real.Node(name, made.op, (logits,), made.shape)
    lowering.append(scored, op, Edge(_SCORES, 2.0**-_FRACTION))
    lowering.names[logits] = name


def _gate(lowering: Lowering, node: real.Node, op: real.Gate) -> ir.Gate:
    score: Dyadic | None = None
    if op.scores == "softmax":
        score = dyadic(node, lowering.edges[node.inputs[0]].scale * log2(np.e) * 256)
    return ir.Gate(score, op.normalize)


def _experts(lowering: Lowering, node: real.Node, op: real.ExpertLinear) -> ir.ExpertMatVec:
    slots = [
        other
        for other in lowering.network.model.nodes
        if isinstance(other.op, real.ExpertLinear) and other.op.weights == op.weights
    ]
    first = slots[0]
    if first.name != node.name:  # the same matrices, solved already
        made = next(n for n in lowering.nodes if n.name == first.name)
        assert isinstance(made.op, ir.ExpertMatVec)
        return ir.ExpertMatVec(
            made.op.weight, made.op.bias, made.op.multiplier, made.op.shift, op.slot
        )
    matrices = [_solve(lowering, slots, op, expert) for expert in range(len(op.weights))]
    edge, source = lowering.edges[node.name], lowering.edges[node.inputs[0]]
    acc_step = np.stack([matrix.scale for matrix in matrices]) * source.scale
    ratio = acc_step / edge.steps()
    factors, shift = multipliers(node.name, ratio.reshape(-1))
    bias = None
    if op.biases:
        found = np.stack([lowering.network.weights[ref] for ref in op.biases])
        data = np.rint(found / acc_step).astype(np.int64)
        type_ = IntType.holding(min(int(data.min()), -1), max(int(data.max()), 1))
        bias = lowering.constant(f"{node.name}.bias", type_, data)
    stacked = np.stack([matrix.integers for matrix in matrices])
    return ir.ExpertMatVec(
        lowering.constant(f"{node.name}.weight", matrices[0].type, stacked),
        bias,
        lowering.constant(f"{node.name}.multiplier", U16, factors.reshape(ratio.shape)),
        shift,
        op.slot,
    )


def _solve(
    lowering: Lowering, slots: list[real.Node], op: real.ExpertLinear, expert: int
) -> Matrix:
    """Solve one expert for its tokens, with the prior as further, lighter tokens.

    A token counts where integers and floats chose the expert alike.
    """
    network = lowering.network
    weight = network.weights[op.weights[expert]]
    channel = lowering.edges[slots[0].inputs[0]].channel
    scaled = weight if channel is None else weight * channel.reshape(-1)
    samples: list[tuple[Array, Array]] = []
    pool: list[tuple[Array, Array]] = []
    for mine in slots:
        slot, source = _slot(mine), lowering.names.get(mine.inputs[0], mine.inputs[0])
        if source not in lowering.integers:
            continue  # a later slot of a chain that is not lowered yet
        x, exact = lowering.real_input(source), network.floats[mine.inputs[0]]
        chosen = lowering.integers[mine.inputs[1]][lowering.counted][:, slot]
        agree = chosen == network.floats[mine.inputs[1]][:, slot]
        here = agree & (chosen == expert)
        samples.append((x[here], exact[here]))
        pool.append((x[agree], exact[agree]))
    x, exact = (np.concatenate(parts) for parts in zip(*samples, strict=True))
    all_x, all_exact = (np.concatenate(parts) for parts in zip(*pool, strict=True))
    thin = -(-max(len(all_x), 1) // _POOL)
    all_x, all_exact = all_x[::thin], all_exact[::thin]
    if len(all_x):
        factor = np.sqrt(PRIOR * weight.shape[1] / len(all_x))
        x = np.concatenate([x, factor * all_x])
        exact = np.concatenate([exact, factor * all_exact])
    solver = network.recipe.solver if len(x) else "nearest"
    type_ = network.recipe.weight_type(slots[0].name)
    return solve_matrix(scaled, None, type_, solver, x, exact @ weight.T)


def _slot(node: real.Node) -> int:
    assert isinstance(node.op, real.ExpertLinear)
    return node.op.slot
