"""A weight matrix in integers, solved for the inputs and outputs met in calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.types import IntType
from rtl_gen.quantize.solver import gptq, nearest

Array = NDArray[np.float64]

DAMPING = 0.01
"""Fraction of the mean second moment added to its diagonal."""

RIDGE = 0.1
"""The same for the correction of weights towards the float outputs."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """``weight ~ scale[:, None] * integers``, with a real-valued bias.

    Parameters
    ----------
    integers : int64, shape (rows, ...)
    scale : float64, shape (rows,)
    bias : float64, shape (rows,), or None
    type : IntType
        Of the integers.
    """

    integers: NDArray[np.int64]
    scale: Array
    bias: Array | None
    type: IntType


def solve_matrix(
    weight: Array, bias: Array | None, type_: IntType, solver: str, x: Array, target: Array,
    unit: Array | None = None,
) -> Matrix:  # fmt: skip
    """Integers and bias whose outputs for `x` come near `target`.

    Parameters
    ----------
    weight : float64, shape (rows, n)
    bias : float64, shape (rows,), or None
    type_ : IntType
    solver : "gptq" or "nearest"
        "nearest" ignores `x` and `target`.
    x : float64, shape (samples, n)
        Inputs as the chip sees them.
    target : float64, shape (samples, rows)
        Outputs wanted for them.
    unit : float64, shape (rows,), or None
        Scales of rows are these times powers of two; None leaves them free.

    Returns
    -------
    Matrix
    """
    if solver == "nearest":
        solution = nearest(weight, type_, unit)
        return Matrix(solution.integers, solution.scale, bias, type_)
    # with a bias, means are its business and the weights answer for deviations only
    x_mean = x.mean(axis=0) if bias is not None else np.zeros(x.shape[1])
    y_mean = target.mean(axis=0) if bias is not None else np.zeros(target.shape[1])
    deviation = x - x_mean
    moment = deviation.T @ deviation / len(x)
    mean = float(np.diag(moment).mean()) or 1.0
    identity = np.eye(len(moment))
    cross = (target - y_mean).T @ deviation / len(x)
    ridge = moment + RIDGE * mean * identity
    corrected = weight + np.linalg.solve(ridge, (cross - weight @ moment).T).T
    solution = gptq(corrected, type_, moment + DAMPING * mean * identity, unit)
    if bias is not None:
        bias = y_mean - (solution.integers * solution.scale[:, None]) @ x_mean
    return Matrix(solution.integers, solution.scale, bias, type_)
