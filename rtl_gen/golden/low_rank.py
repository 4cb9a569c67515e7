"""Golden model of an adapter region: a low-rank update from programmable memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.add import add
from rtl_gen.golden.const_matvec import exact_product
from rtl_gen.golden.conv2d import windows
from rtl_gen.golden.requantize import requantize
from rtl_gen.ir.adapter import Factors
from rtl_gen.ir.integer import LowRank
from rtl_gen.ir.types import IntType


def low_rank(
    x: NDArray[np.int64], y: NDArray[np.int64], factors: Factors | None, op: LowRank, out: IntType
) -> NDArray[np.int64]:
    """``sat(y + requantize(b @ requantize(a @ x)))``; `y` without an adapter.

    Parameters
    ----------
    x : int64, shape (batch, ...)
        ``n_in`` elements in row-major order after the batch axis; beside a convolution
        (batch, in_ch, h, w).
    y : int64, shape (batch, n_out), or (batch, out_ch, rows, columns)
    factors : Factors or None
        Any integers of the region's types.
    op : LowRank
    out : IntType
        Of `y` and of the result.

    Returns
    -------
    int64, shape of `y`

    Notes
    -----
    E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021, section 4.1.
    """
    if factors is None:
        return y
    acc = exact_product(seen(x, op), factors.a)
    t = requantize(acc, factors.multiplier_a, op.shift_a, op.hidden)
    u = requantize(exact_product(t, factors.b), factors.multiplier_b, op.shift_b, out)
    return add(y, np.moveaxis(u.reshape(len(y), *y.shape[2:], -1), -1, 1), out)


def seen(x: NDArray[np.int64], op: LowRank) -> NDArray[np.int64]:
    """Rows that `a` multiplies: int64, shape (batch, n_in), or (batch * rows * columns, n_in)."""
    if not op.kernel:
        return x.reshape(len(x), -1)
    found = windows(x, (op.kernel[0], op.kernel[1]), op.stride, op.padding)
    return found.reshape(-1, found.shape[3])
