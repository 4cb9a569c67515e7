"""Golden model of the constant matrix-vector product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.requantize import requantize
from rtl_gen.ir.types import IntType


def exact_product(x: NDArray[np.int64], weight: NDArray[np.int64]) -> NDArray[np.int64]:
    """``x @ weight.T`` over unlimited integers.

    Parameters
    ----------
    x : int64, shape (batch, n_in)
    weight : int64, shape (n_out, n_in)

    Returns
    -------
    int64, shape (batch, n_out)
    """
    if x.size == 0 or weight.size == 0:
        return x @ weight.T
    largest = int(abs(weight).sum(axis=1).max()) * int(abs(x).max())
    # Below 2**53 every partial sum is an integer that a float64 holds exactly, in any order of
    # summation, so BLAS gives the integer result.
    if largest < 1 << 53:
        product = x.astype(np.float64) @ weight.T.astype(np.float64)
        return np.asarray(product, np.int64)
    return x @ weight.T


def const_matvec(
    x: NDArray[np.int64],
    weight: NDArray[np.int64],
    bias: NDArray[np.int64] | None,
    multiplier: NDArray[np.int64],
    shift: int,
    out: IntType,
) -> NDArray[np.int64]:
    """``weight @ x + bias``, times a multiplier per row, requantized.

    Parameters
    ----------
    x : int64, shape (batch, ...)
        ``n_in`` elements in row-major order after the batch axis.
    weight : int64, shape (n_out, n_in)
    bias : int64, shape (n_out,), or None
        At the scale of the accumulator.
    multiplier : int64, shape (n_out,)
        1 to 65535.
    shift : int
        0 to 47.
    out : IntType

    Returns
    -------
    int64, shape (batch, n_out)
    """
    acc = exact_product(x.reshape(len(x), -1), weight)
    if bias is not None:
        acc = acc + bias
    return requantize(acc, multiplier, shift, out)
