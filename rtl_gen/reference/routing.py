"""Routing of tokens to experts in float64.

Every function works on any leading axes; ``...`` is ``(batch, time)`` in the interpreter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.model import Activation, Scores
from rtl_gen.reference.operators import activation, linear, sigmoid, softmax

Real = NDArray[np.float64]
Integers = NDArray[np.int64]


def route(
    logits: Real,
    k: int,
    kind: Scores,
    bias: Real | None = None,
    groups: int = 1,
    kept: int = 1,
    best: int = 2,
) -> Integers:
    """Indices of the k largest scores, the largest first, of equal ones the lowest index first.

    Parameters
    ----------
    logits : float64, shape (..., experts)
    k, kind, bias, groups, kept, best
        As `rtl_gen.ir.model.Route` says.

    Returns
    -------
    int64, shape (..., k)

    Notes
    -----
    Shazeer et al. 2017, "Outrageously Large Neural Networks", equation 5; groups and bias:
    DeepSeek-AI 2024, "DeepSeek-V3 Technical Report", section 2.1.2.
    """
    # a softmax keeps the order of the logits, and rounding must not make ties of them
    ranked = logits if kind == "softmax" and bias is None else scores(logits, kind)
    if bias is not None:
        ranked = ranked + bias
    if kept < groups:
        parts = ranked.reshape(*ranked.shape[:-1], groups, -1)
        sums = -np.sort(-parts, axis=-1)[..., :best].sum(-1)
        chosen = largest(sums, kept)
        stays = np.zeros(sums.shape, np.bool_)
        np.put_along_axis(stays, chosen, True, axis=-1)
        ranked = np.where(stays[..., None], parts, -np.inf).reshape(ranked.shape)
    return largest(ranked, k)


def largest(x: Real, k: int) -> Integers:
    """Indices of the k largest elements of the last axis, the lowest of equal ones first."""
    return np.asarray(np.argsort(-x, axis=-1, kind="stable")[..., :k], np.int64)


def scores(logits: Real, kind: Scores) -> Real:
    """Softmax over the last axis, or sigmoid."""
    return softmax(logits) if kind == "softmax" else sigmoid(logits)


def gate(logits: Real, choice: Integers, kind: Scores, scale: float, *, normalize: bool) -> Real:
    """Chosen scores, divided by their sum if `normalize`, times `scale`; value (..., k)."""
    chosen = np.take_along_axis(scores(logits, kind), choice, -1)
    if normalize:
        chosen = chosen / chosen.sum(-1, keepdims=True)
    return chosen * scale


def capacity(gates: Real, choice: Integers, taken: Integers, limit: int) -> tuple[Real, Integers]:
    """Gates with 0 for tokens whose expert is full, and how many each has taken after them.

    Parameters
    ----------
    gates : float64, shape (batch, time, k)
    choice : int64, shape (batch, time, k)
    taken : int64, shape (batch, experts)
        Tokens that each expert has been offered so far.
    limit : int

    Returns
    -------
    gates : float64, shape (batch, time, k)
    taken : int64, shape (batch, experts)

    Notes
    -----
    Fedus et al. 2021, "Switch Transformers", section 2.2; with k of 2: Lepikhin et al. 2020,
    "GShard", algorithm 1, where all first choices come before the second ones.
    """
    kept = np.zeros(choice.shape, np.bool_)
    for slot in range(choice.shape[-1]):
        offered = np.eye(taken.shape[-1], dtype=np.int64)[choice[..., slot]]
        place = taken[:, None] + offered.cumsum(1)
        kept[..., slot] = np.take_along_axis(place, choice[..., slot, None], -1)[..., 0] <= limit
        taken = place[:, -1]
    return np.where(kept, gates, 0.0), taken


def expert_linear(
    x: Real, expert: Integers, weights: list[Real], biases: list[Real] | None
) -> Real:
    """``weights[expert] @ x + biases[expert]``; x (..., n), expert (...), value (..., rows)."""
    y = np.empty((*expert.shape, len(weights[0])))
    for index in np.unique(expert):
        here = expert == index
        y[here] = linear(x[here], weights[index], biases[index] if biases else None)
    return y


def expert_choice(
    x: Real,
    logits: Real,
    gate: list[Real],
    up: list[Real],
    down: list[Real],
    function: Activation,
    limit: float,
) -> Real:
    """Sum of the experts' outputs for the tokens that they choose.

    Parameters
    ----------
    x : float64, shape (batch, time, n)
    logits : float64, shape (batch, time, experts)
    gate, up, down : list of float64
        Matrices of each expert.
    function : Activation
    limit : float
        Mean number of experts per token: each takes ``int(time * limit / experts)`` tokens.

    Returns
    -------
    float64, shape of `x`

    Notes
    -----
    Zhou et al. 2022, "Mixture-of-Experts with Expert Choice Routing", section 3.2.
    """
    probability = softmax(logits)
    count = min(max(int(x.shape[1] * limit / len(gate)), 1), x.shape[1])
    y = np.zeros_like(x)
    for e in range(len(gate)):
        chosen = largest(probability[..., e], count)
        tokens = np.take_along_axis(x, chosen[..., None], 1)
        inner = activation(
            linear(tokens, gate[e], None), function.kind, function.alpha, function.limit
        )
        out = linear(inner * linear(tokens, up[e], None), down[e], None)
        weight = np.take_along_axis(probability[..., e], chosen, 1)[..., None]
        for row in range(len(x)):
            np.add.at(y[row], chosen[row], weight[row] * out[row])
    return y
