"""Golden model of the elementwise product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.requantize import requantize
from rtl_gen.ir.types import Dyadic, IntType


def mul(
    a: NDArray[np.int64], b: NDArray[np.int64], scale: Dyadic, out: IntType
) -> NDArray[np.int64]:
    """Return ``a * b`` requantized by one scale.

    Parameters
    ----------
    a, b : int64, one shape
    scale : Dyadic
    out : IntType

    Returns
    -------
    int64, shape of `a`
    """
    return requantize(a * b, scale.multiplier, scale.shift, out)
