"""Proved ranges: no accumulator of a chip can overflow, and the proof is these numbers.

Every bound holds for all inputs of the value's type, not only for those met in calibration, and
for partial sums in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.integer import (
    Attention,
    Constant,
    ConstMatVec,
    Conv2d,
    Embedding,
    ExpertMatVec,
    Gate,
    IntegerGraph,
    LowRank,
    Node,
    Norm,
    Value,
)
from rtl_gen.ir.types import IntType


def magnitude(type_: IntType) -> int:
    """Largest absolute value of `type_`."""
    return max(-type_.min, type_.max)


def row_bounds(node: Node, graph: IntegerGraph) -> NDArray[np.int64]:
    """Largest absolute value of the accumulator of every row.

    Parameters
    ----------
    node : Node
        `Embedding`, `ConstMatVec`, `ExpertMatVec` or `Conv2d`.
    graph : IntegerGraph
        Gives the weights and the type of the input.

    Returns
    -------
    int64, shape (rows,), of all experts one after another
        ``sum_k |weight[row, k]| * max|x| + |bias[row]|``; for an embedding
        ``max_k |table[row, k]|``.

    Raises
    ------
    ValueError
        If `node` has no accumulator of this kind.
    """
    match node.op:
        case Embedding(table=table):
            return np.asarray(abs(graph.constants[table].data).max(axis=1), np.int64)
        case ConstMatVec() | Conv2d():
            weight = graph.constants[node.op.weight].data
            x = magnitude(graph.value(node.inputs[0]).type)
            bound = abs(weight.reshape(len(weight), -1)).sum(axis=1) * x
            if node.op.bias is not None:
                bound = bound + abs(graph.constants[node.op.bias].data)
            return np.asarray(bound, np.int64)
        case ExpertMatVec():
            weight = graph.constants[node.op.weight].data
            bound = abs(weight).sum(axis=2) * magnitude(graph.value(node.inputs[0]).type)
            if node.op.bias is not None:
                bound = bound + abs(graph.constants[node.op.bias].data)
            return np.asarray(bound.reshape(-1), np.int64)
    raise ValueError(f"node {node.name}: {type(node.op).__name__} has no weight rows")


def accumulator(node: Node, graph: IntegerGraph) -> IntType:
    """Narrowest signed type that holds every accumulator of the node, whatever its input.

    Parameters
    ----------
    node : Node
        `Embedding`, `ConstMatVec`, `ExpertMatVec` or `Conv2d`.
    graph : IntegerGraph

    Returns
    -------
    IntType
        Signed.

    Raises
    ------
    ValueError
        If `node` has no accumulator of this kind.
    """
    return symmetric(int(row_bounds(node, graph).max()))


def low_rank_columns(op: LowRank, x: Value) -> int:
    """Elements of the first input that a row of `a` multiplies: all, or those of a window."""
    return x.shape[0] * prod(op.kernel) if op.kernel else prod(x.shape)


def low_rank_bounds(op: LowRank, x: Value) -> tuple[int, int]:
    """Largest absolute accumulators of ``a @ x`` and ``b @ t`` for any contents of the memory.

    The bounds come from the types alone: an adapter image has no invalid contents.

    Parameters
    ----------
    op : LowRank
    x : Value
        Its first input.

    Returns
    -------
    int, int
    """
    element = magnitude(op.element)
    return (
        low_rank_columns(op, x) * element * magnitude(x.type),
        op.rank * element * magnitude(op.hidden),
    )


def symmetric(bound: int) -> IntType:
    """Narrowest signed type that holds ``-bound`` to ``bound``."""
    return IntType.holding(-max(bound, 1), max(bound, 1))


def unsigned(bound: int) -> IntType:
    """Narrowest unsigned type that holds 0 to `bound`."""
    return IntType.holding(0, bound)


@dataclass(frozen=True, slots=True)
class NormWidths:
    """Types of the intermediate values of a `Norm`, named as in ``docs/ir.md``.

    Parameters
    ----------
    total : IntType
        S, the sum of x.
    squares : IntType
        ``sum_i x[i]**2``.
    q, h, d : IntType
        Q, h and d[i].
    product : IntType
        ``d[i] * r`` with its rounding constant.
    t : IntType
        The normalized element.
    y : IntType
        ``t[i] * gain[i] + bias[i]`` with its rounding constant, before the shift.
    """

    total: IntType
    squares: IntType
    q: IntType
    h: IntType
    d: IntType
    product: IntType
    t: IntType
    y: IntType


def normalized_bound(n: int, fraction: int) -> int:
    """Largest ``|t|`` of a `Norm` of n elements: ``sqrt(n) * 2**fraction * (1 + 2**-9) + 1``.

    Notes
    -----
    ``|n x - S| <= sqrt(n) * sqrt(Q)`` by Cauchy-Schwarz, the reciprocal square root is at most
    ``1 + 2**-10`` too large plus half a unit of 2**-15, and rounding adds at most 1.
    """
    root = isqrt(n << (2 * fraction)) + 1
    return root + (root >> 9) + 2


def norm_widths(n: int, x: IntType, op: Norm, gain: Constant, bias: Constant | None) -> NormWidths:
    """Types of the intermediate values of a `Norm` over n elements of type `x`.

    Parameters
    ----------
    n : int
        Number of elements.
    x : IntType
        Their type.
    op : Norm
    gain, bias : Constant
        The constants that `op` names.

    Returns
    -------
    NormWidths
    """
    largest = magnitude(x)
    squares = n * largest**2
    q = n * squares + op.eps
    d = (2 if op.center else 1) * n * largest
    t = normalized_bound(n, op.fraction)
    h = (q.bit_length() + 1) // 2
    y = t * int(abs(gain.data).max()) + ((1 << op.shift) >> 1)
    if bias is not None:
        y += int(abs(bias.data).max())
    return NormWidths(
        total=symmetric(n * largest),
        squares=unsigned(squares),
        q=unsigned(q),
        h=unsigned(h),
        d=symmetric(d),
        # the quotient bounds the product: t is the product shifted right by at most 15 + h - F
        product=symmetric(min(d * 65535, (t + 1) << (15 + h - op.fraction))),
        t=symmetric(t),
        y=symmetric(y),
    )


@dataclass(frozen=True, slots=True)
class GateWidths:
    """Types of the intermediate values of a `Gate`, named as in ``docs/ir.md``.

    Parameters
    ----------
    below, scaled : IntType
        ``(max s) - s[i]`` and its product with the score's multiplier (softmax only).
    p, total, product : IntType
        p, L, and ``p * r`` with its rounding constant.
    """

    below: IntType
    scaled: IntType
    p: IntType
    total: IntType
    product: IntType


def gate_widths(op: Gate, scores: IntType, experts: int, k: int) -> GateWidths:
    """Types of the intermediate values of a `Gate`.

    Parameters
    ----------
    op : Gate
    scores : IntType
        Of its input.
    experts, k : int
        Number of scores, and of chosen ones.

    Returns
    -------
    GateWidths
    """
    below = scores.max - scores.min
    p = scores.max if op.score is None else 1 << 15
    total = p * (k if op.normalize else experts)
    return GateWidths(
        below=unsigned(below),
        scaled=unsigned(below * (op.score.multiplier if op.score is not None else 1)),
        p=unsigned(p),
        total=unsigned(total),
        product=unsigned(p * 65535 + (1 << total.bit_length())),
    )


@dataclass(frozen=True, slots=True)
class AttentionWidths:
    """Types of the intermediate values of an `Attention`, named as in ``docs/ir.md``.

    Parameters
    ----------
    s : IntType
        Scores, before scaling.
    below : IntType
        ``(max s) - s[t]``.
    scaled : IntType
        ``below * score.multiplier``.
    z, p, total, b, a : IntType
        z, p, L, b and A.
    shifted : IntType
        ``A >> (b - 16)``.
    product : IntType
        ``shifted * r`` with its rounding constant.
    """

    s: IntType
    below: IntType
    scaled: IntType
    z: IntType
    p: IntType
    total: IntType
    b: IntType
    a: IntType
    shifted: IntType
    product: IntType


def attention_widths(op: Attention, q: IntType, k: IntType, v: IntType) -> AttentionWidths:
    """Types of the intermediate values of an `Attention`.

    Parameters
    ----------
    op : Attention
    q, k, v : IntType
        Types of the query, key and value inputs.

    Returns
    -------
    AttentionWidths
    """
    s = op.head_dim * magnitude(q) * magnitude(k)
    total = (op.context + (op.sinks is not None)) << 15
    # |A| <= max|v| * L and L < 2**b, so |A >> (b - 16)| <= max|v| * 2**16
    shifted = magnitude(v) << 16
    return AttentionWidths(
        s=symmetric(s),
        below=unsigned(2 * s),
        scaled=unsigned(2 * s * op.score.multiplier),
        z=IntType(12, signed=False),
        p=IntType(16, signed=False),
        total=unsigned(total),
        b=unsigned(total.bit_length()),
        a=symmetric(magnitude(v) * total),
        shifted=symmetric(shifted),
        product=symmetric(shifted * 65535 + ((1 << op.shift) >> 1)),
    )
