"""Golden model of the bit-serial constant matrix-vector product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.const_matvec import exact_product


def serial_matvec(x: NDArray[np.int64], weight: NDArray[np.int64]) -> NDArray[np.int64]:
    """``weight @ x`` of every vector: the accumulators, neither scaled nor rounded.

    Parameters
    ----------
    x : int64, shape (batch, n_in)
    weight : int64, shape (n_out, n_in)

    Returns
    -------
    int64, shape (batch, n_out)
    """
    return exact_product(x, weight)
