"""Golden model of the saturating sum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.requantize import saturate
from rtl_gen.ir.types import IntType


def add(a: NDArray[np.int64], b: NDArray[np.int64], out: IntType) -> NDArray[np.int64]:
    """``sat_out(a + b)``.

    Parameters
    ----------
    a, b : int64, one shape
    out : IntType

    Returns
    -------
    int64, shape of `a`
    """
    return saturate(a + b, out)
