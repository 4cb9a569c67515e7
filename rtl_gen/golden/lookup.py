"""Golden model of the function table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.types import IntType


def lookup(x: NDArray[np.int64], table: NDArray[np.int64], source: IntType) -> NDArray[np.int64]:
    """``table[x - source.min]``.

    Parameters
    ----------
    x : int64, any shape
        Elements of `source`.
    table : int64, shape (2**source.width,)
    source : IntType
        Type of `x`.

    Returns
    -------
    int64, shape of `x`
    """
    return table[x - source.min]
