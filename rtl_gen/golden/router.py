"""Golden model of routing: which experts a token goes to, and how much each counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.norm import bit_length
from rtl_gen.golden.requantize import saturate
from rtl_gen.ir import tables
from rtl_gen.ir.types import Dyadic, IntType

_EXP2 = tables.exp2()
_RECIPROCAL = tables.reciprocal()


def largest(x: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Indices of the k largest elements of each row, the largest first, equal ones by index.

    Parameters
    ----------
    x : int64, shape (..., n)
    k : int
        At most n.

    Returns
    -------
    int64, shape (..., k)
    """
    return np.asarray(np.argsort(-x, axis=-1, kind="stable")[..., :k], np.int64)


def route(
    scores: NDArray[np.int64],
    k: int,
    bias: NDArray[np.int64] | None,
    groups: int,
    kept: int,
    best: int,
) -> NDArray[np.int64]:
    """Experts of every token.

    Parameters
    ----------
    scores : int64, shape (batch, experts)
    k : int
    bias : int64, shape (experts,), or None
        Added for the choice alone.
    groups, kept, best : int
        Only the `kept` of `groups` equal groups with the largest sums of their `best` largest
        scores take part.

    Returns
    -------
    int64, shape (batch, k)

    Notes
    -----
    `docs/ir.md`, "Route".
    """
    ranked = scores if bias is None else scores + bias
    if kept < groups:
        parts = ranked.reshape(len(ranked), groups, -1)
        chosen = largest(-np.sort(-parts, axis=-1)[..., :best].sum(axis=-1), kept)
        stays = np.zeros(parts.shape[:2], np.bool_)
        np.put_along_axis(stays, chosen, True, axis=1)
        below = ranked.min() - 1
        ranked = np.where(stays[..., None], parts, below).reshape(ranked.shape)
    return largest(ranked, k)


def gate(
    scores: NDArray[np.int64],
    choice: NDArray[np.int64],
    score: Dyadic | None,
    normalize: bool,
    out: IntType,
) -> NDArray[np.int64]:
    """Weight of every chosen expert, 14 fraction bits.

    Parameters
    ----------
    scores : int64, shape (batch, experts)
    choice : int64, shape (batch, k)
    score : Dyadic or None
        Factor from steps of the scores to 2**-8 units of log2 (softmax); None: the scores, which
        are not negative, are the weights.
    normalize : bool
        Divide by the sum of the chosen ones.
    out : IntType

    Returns
    -------
    int64, shape (batch, k)

    Notes
    -----
    `docs/ir.md`, "Gate".
    """
    p = scores
    if score is not None:
        among = np.take_along_axis(scores, choice, axis=1) if normalize else scores
        below = (among.max(axis=1, keepdims=True) - scores).clip(0)
        z = np.minimum((below * score.multiplier) >> score.shift, 4095)
        p = _EXP2[z & 255] >> (z >> 8)
    chosen = np.take_along_axis(p, choice, axis=1)
    if score is None and not normalize:
        return saturate(chosen, out)
    total = np.maximum((chosen if normalize else p).sum(axis=1, keepdims=True), 1)
    b = bit_length(total)
    r = _RECIPROCAL[(total << 10) >> b]
    return saturate((chosen * r + (np.int64(1) << b)) >> (b + 1), out)
