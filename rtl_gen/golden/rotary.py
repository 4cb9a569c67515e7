"""Golden model of the rotary position embedding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.requantize import round_shift, saturate
from rtl_gen.ir.types import IntType


def rotary(
    x: NDArray[np.int64],
    position: int | NDArray[np.int64],
    cos: NDArray[np.int64],
    sin: NDArray[np.int64],
    heads: int,
    shift: int,
    out: IntType,
) -> NDArray[np.int64]:
    """Rotate the two halves of every head by the angles of `position`.

    Parameters
    ----------
    x : int64, shape (batch, heads * head_dim)
    position : int, or int64 of shape (batch,)
        0 to context - 1.
    cos, sin : int64, shape (context, head_dim // 2)
        i16.
    heads : int
    shift : int
        At least 0.
    out : IntType

    Returns
    -------
    int64, shape (batch, heads * head_dim)
    """
    low, high = np.moveaxis(x.reshape(len(x), heads, 2, -1), 2, 0)
    c, z = cos[position][..., None, :], sin[position][..., None, :]
    rotated = np.stack([low * c - high * z, high * c + low * z], axis=2)
    return saturate(round_shift(rotated, shift), out).reshape(x.shape)
