"""Golden model of requantization: accumulators to a narrower integer type."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.types import IntType


def saturate(x: NDArray[np.int64], out: IntType) -> NDArray[np.int64]:
    """``min(max(x, out.min), out.max)``.

    Parameters
    ----------
    x : int64, any shape
    out : IntType

    Returns
    -------
    int64, shape of `x`
    """
    return x.clip(out.min, out.max)


def round_shift(
    x: NDArray[np.int64], shift: int | np.integer | NDArray[np.int64]
) -> NDArray[np.int64]:
    """``(x + ((1 << shift) >> 1)) >> shift``: division by a power of two, rounding half up.

    Parameters
    ----------
    x : int64, any shape
        ``|x| + 2**(shift - 1)`` stays below ``2**63``.
    shift : int, or int64 broadcastable to `x`
        Non-negative.

    Returns
    -------
    int64, shape of `x`
    """
    half = np.left_shift(np.int64(1), shift) >> 1
    return np.asarray((x + half) >> shift, np.int64)


def requantize(
    acc: NDArray[np.int64], multiplier: int | NDArray[np.int64], shift: int, out: IntType
) -> NDArray[np.int64]:
    """Rescale accumulators to `out`, rounding half up and saturating.

    Parameters
    ----------
    acc : int64, any shape
        ``|acc * multiplier|`` stays below ``2**62``.
    multiplier : int, or int64 broadcastable to `acc`
        1 to 65535.
    shift : int
        0 to 47.
    out : IntType
        Type of the result.

    Returns
    -------
    int64, shape of `acc`
        ``sat_out((acc * multiplier + ((1 << shift) >> 1)) >> shift)``.

    Notes
    -----
    Rounding as in gemmlowp's fixed-point requantization, with a round-half-up shift in place of
    round-half-away-from-zero (one adder instead of two).
    """
    return saturate(round_shift(acc * multiplier, shift), out)
