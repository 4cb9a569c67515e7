"""Golden model of the embedding table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.requantize import requantize
from rtl_gen.ir.types import IntType


def embedding(
    index: NDArray[np.int64],
    table: NDArray[np.int64],
    multiplier: NDArray[np.int64],
    shift: int,
    out: IntType,
) -> NDArray[np.int64]:
    """Row `index` of `table`, times the row's multiplier, requantized.

    Parameters
    ----------
    index : int64, shape (batch,)
        Rows, 0 to rows - 1.
    table : int64, shape (rows, n)
    multiplier : int64, shape (rows,)
        1 to 65535.
    shift : int
        0 to 47.
    out : IntType

    Returns
    -------
    int64, shape (batch, n)
    """
    return requantize(table[index], multiplier[index][..., None], shift, out)
