"""Choice of the integers of a weight matrix: to nearest, or against the error of the outputs.

Both give ``weight ~ scale[:, None] * integers``. With H the second moment of the layer's inputs as
the chip will see them, the error of row w's output is ``(scale*q - w)' H (scale*q - w)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.types import IntType

Array = NDArray[np.float64]

_CLIPS = {2: 0.2, 3: 0.3, 4: 0.45, 5: 0.6, 6: 0.7, 7: 0.8, 8: 0.85}
"""Smallest fraction of a row's range worth trying, by width."""

_CANDIDATES = 16

_HALVINGS = 3
"""Scales worth trying where only powers of two are allowed, from the one that clips nothing."""

_SWEEPS = 8
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Solution:
    """Integers and the real value of one step of each row.

    Parameters
    ----------
    integers : int64, shape (rows, n)
    scale : float64, shape (rows,)
        Positive.
    """

    integers: NDArray[np.int64]
    scale: Array


def nearest(weight: Array, type_: IntType, unit: Array | None = None) -> Solution:
    """Round to nearest, with the scale of each row that gives the least squared error.

    Parameters
    ----------
    weight : float64, shape (rows, n)
    type_ : IntType
    unit : float64, shape (rows,), or None
        Scales are these times powers of two; None leaves them free.

    Returns
    -------
    Solution
    """
    best = _Best(len(weight), weight.shape[1])
    for scale in _scales(weight, type_, 4 * _CANDIDATES, unit):
        q = np.rint(weight / scale[:, None]).clip(type_.min, type_.max)
        best.offer(q, scale, ((q * scale[:, None] - weight) ** 2).sum(axis=1))
    return best.solution()


def gptq(weight: Array, type_: IntType, moment: Array, unit: Array | None = None) -> Solution:
    """Integers that minimize the error of the outputs over the calibration inputs.

    Every candidate scale is solved column by column with the rounding error of each column spread
    over the columns not yet rounded; every row's best candidate is refined by coordinate descent
    on integers in turn with the least-squares scale.

    Parameters
    ----------
    weight : float64, shape (rows, n)
    type_ : IntType
    moment : float64, shape (n, n)
        Positive definite (damped) second moment of the inputs.
    unit : float64, shape (rows,), or None
        As in `nearest`.

    Returns
    -------
    Solution

    Notes
    -----
    E. Frantar et al., "GPTQ", ICLR 2023, section 3, with columns in order of decreasing moment.
    """
    order = np.argsort(-np.diag(moment), kind="stable")
    w, h = weight[:, order], moment[np.ix_(order, order)]
    # row i of the upper Cholesky factor of the inverse: how column i's error moves columns > i
    factor = np.linalg.cholesky(np.linalg.inv(h)).T
    best = _Best(*w.shape)
    for scale in _scales(weight, type_, _CANDIDATES, unit):
        q = _feed_errors_forward(w, scale, type_, factor)
        error = q * scale[:, None] - w
        best.offer(q, scale, ((error @ h) * error).sum(axis=1))
    solution = best.solution()
    q, scale = solution.integers.astype(np.float64), solution.scale
    for _ in range(_ROUNDS if unit is None else 0):
        q = _descend(q, w, scale, type_, h)
        scale = _best_scale(q, w, scale, h)
    q = _descend(q, w, scale, type_, h)
    integers = np.empty(w.shape, np.int64)
    integers[:, order] = q.astype(np.int64)
    return Solution(integers, scale)


def best_integers(weight: Array, scale: Array, type_: IntType, moment: Array) -> NDArray[np.int64]:
    """Integers for given scales that minimize the error of the outputs.

    Parameters
    ----------
    weight : float64, shape (rows, n)
    scale : float64, shape (rows,)
        Positive.
    type_ : IntType
    moment : float64, shape (n, n)
        As in `gptq`.

    Returns
    -------
    int64, shape (rows, n)
    """
    factor = np.linalg.cholesky(np.linalg.inv(moment)).T
    q = _feed_errors_forward(weight, scale, type_, factor)
    return _descend(q, weight, scale, type_, moment).astype(np.int64)


def _scales(weight: Array, type_: IntType, count: int, unit: Array | None) -> list[Array]:
    """Candidate scales, from the one that holds every weight downward."""
    largest = np.maximum(weight.max(axis=1) / type_.max, weight.min(axis=1) / type_.min)
    full = np.where(largest > 0, largest, 1.0)
    clips = np.linspace(1.0, _CLIPS[type_.width], count)
    # the first holds the negated row too
    symmetric = np.where(largest > 0, abs(weight).max(axis=1), 1.0) / type_.max
    if unit is not None:
        top = unit * 2.0 ** np.ceil(np.log2(symmetric / unit))
        return [top / (1 << k) for k in range(_HALVINGS)]
    return [symmetric, *(full * clip for clip in clips)]


def _feed_errors_forward(w: Array, scale: Array, type_: IntType, factor: Array) -> Array:
    rest = w.copy()
    q = np.empty_like(w)
    for i in range(w.shape[1]):
        q[:, i] = np.rint(rest[:, i] / scale).clip(type_.min, type_.max)
        error = (rest[:, i] - q[:, i] * scale) / factor[i, i]
        rest[:, i + 1 :] -= np.outer(error, factor[i, i + 1 :])
    return q


def _descend(q: Array, w: Array, scale: Array, type_: IntType, h: Array) -> Array:
    """Coordinate descent: no single integer of the result can be moved with profit."""
    q = q.copy()
    gradient = (q * scale[:, None] - w) @ h
    for _ in range(_SWEEPS):
        moved = False
        for i in range(w.shape[1]):
            wish = q[:, i] - gradient[:, i] / (scale * h[i, i])
            change = np.rint(wish).clip(type_.min, type_.max) - q[:, i]
            rows = np.flatnonzero(change)
            if rows.size:
                moved = True
                q[rows, i] += change[rows]
                gradient[rows] += np.outer(change[rows] * scale[rows], h[i])
        if not moved:
            break
    return q


def _best_scale(q: Array, w: Array, scale: Array, h: Array) -> Array:
    """Least-squares scale of every row for given integers."""
    qh = q @ h
    power = (qh * q).sum(axis=1)
    match = (qh * w).sum(axis=1)
    good = (power > 0) & (match > 0)
    return np.where(good, match / np.where(good, power, 1.0), scale)


class _Best:
    """Best candidate of every row so far."""

    def __init__(self, rows: int, columns: int) -> None:
        self._q = np.zeros((rows, columns))
        self._scale = np.ones(rows)
        self._error = np.full(rows, np.inf)

    def offer(self, q: Array, scale: Array, error: Array) -> None:
        """Keep the rows of this candidate that are better than all before."""
        better = error < self._error
        self._q[better], self._scale[better] = q[better], scale[better]
        self._error[better] = error[better]

    def solution(self) -> Solution:
        return Solution(self._q.astype(np.int64), self._scale)
