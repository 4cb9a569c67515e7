"""Golden model of RMSNorm and LayerNorm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.requantize import round_shift, saturate
from rtl_gen.ir import tables
from rtl_gen.ir.types import IntType

_RSQRT = tables.rsqrt()


def bit_length(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits of every non-negative element, 0 for 0: `int.bit_length`, elementwise.

    Parameters
    ----------
    x : int64, any shape
        Non-negative.

    Returns
    -------
    int64, shape of `x`
    """
    length = np.zeros_like(x)
    rest = x
    for step in (32, 16, 8, 4, 2, 1):
        large = rest >= np.int64(1) << step
        length = length + step * large
        rest = np.where(large, rest >> step, rest)
    return length + (rest > 0)


def norm(
    x: NDArray[np.int64],
    gain: NDArray[np.int64],
    bias: NDArray[np.int64] | None,
    eps: int,
    center: bool,
    fraction: int,
    shift: int,
    out: IntType,
    groups: int = 1,
) -> NDArray[np.int64]:
    """Root-mean-square norm, or layer norm if `center`, by a reciprocal square root table.

    Parameters
    ----------
    x : int64, shape (batch, groups * n)
        At most 16 bits wide; n at most 2**14.
    gain : int64, shape (n,)
        i16.
    bias : int64, shape (n,), or None
        In steps of ``2**-shift`` of the output.
    eps : int
        At least 1.
    center : bool
        Subtract the mean (LayerNorm).
    fraction : int
        Fraction bits of the normalized vector, 0 to 15.
    shift : int
        At least 1.
    out : IntType
    groups : int
        Equal parts of x, each a vector of its own.

    Returns
    -------
    int64, shape of `x`

    Notes
    -----
    `docs/ir.md`, "Norm".
    """
    shape = x.shape
    x = x.reshape(shape[0] * groups, -1)
    n = x.shape[1]
    total = x.sum(axis=1, keepdims=True) if center else np.zeros((len(x), 1), np.int64)
    q = n * (x * x).sum(axis=1, keepdims=True) - total**2 + eps
    h = (bit_length(q) + 1) // 2
    # floor(q * 2**10 / 4**h), without leaving int64 when q is large
    m = np.where(2 * h >= 10, q >> (2 * h - 10).clip(0), q << (10 - 2 * h).clip(0))
    r = _RSQRT[m]
    d = n * x - total
    t = round_shift(d * r, 15 + h - fraction)
    product = t * gain if bias is None else t * gain + bias
    return saturate(round_shift(product, shift), out).reshape(shape)
