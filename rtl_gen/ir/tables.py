"""Function tables that belong to the specification, not to a model (``docs/ir.md``).

Golden and hardware both read them from here: they are part of the definition of the operators.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

INDEX_BITS = 10
"""Mantissa bits that index `rsqrt` and `reciprocal`."""

EXP2_FRACTION_BITS = 8
"""Fraction bits of the exponent that index `exp2`."""


def rsqrt() -> NDArray[np.int64]:
    """``round(2**15 * sqrt(2**10 / (m + 1/2)))`` for ``m`` in [256, 1023], at most 65535; 0 below.

    Returns
    -------
    int64, shape (1024,)
        u16 values. Relative error of the square root at most 2**-10.
    """
    table = np.zeros(1 << INDEX_BITS, np.int64)
    for m in range(1 << (INDEX_BITS - 2), 1 << INDEX_BITS):
        doubled = isqrt((1 << (2 * 15 + INDEX_BITS + 2 + 1)) // (2 * m + 1))
        table[m] = min((doubled + 1) // 2, 65535)
    return table


def reciprocal() -> NDArray[np.int64]:
    """``round(2**25 / (m + 1/2))`` for ``m`` in [512, 1023]; 0 below.

    Returns
    -------
    int64, shape (1024,)
        u16 values: 2**15 times the reciprocal of ``m / 2**10``. Relative error at most 2**-10.
    """
    table = np.zeros(1 << INDEX_BITS, np.int64)
    for m in range(1 << (INDEX_BITS - 1), 1 << INDEX_BITS):
        table[m] = ((1 << (25 + 2)) // (2 * m + 1) + 1) // 2
    return table


def exp2() -> NDArray[np.int64]:
    """``round(2**15 * 2**(-f / 256))`` for ``f`` in [0, 255].

    Returns
    -------
    int64, shape (256,)
        u16 values from 32768 down to 16428.
    """
    f = np.arange(1 << EXP2_FRACTION_BITS)
    table: NDArray[np.int64] = np.rint(2.0 ** (15 - f / (1 << EXP2_FRACTION_BITS))).astype(np.int64)
    return table


def gumbel() -> NDArray[np.int64]:
    """Gumbel noise in steps of 2**-8 for the 1024 bins of a 16-bit random number.

    Returns
    -------
    int64, shape (1024,)
        i16 values. Entry ``64 * n + f`` is the noise at the middle of the bin of all ``w`` with
        ``n`` leading zeros (``w`` is 16 bits wide; ``n`` is 15 for ``w`` = 0) followed, after the
        leading one, by the six bits ``f``: ``G = -ln(-ln(1 - (w + 1/2) / 2**16))``.
    """
    n, f = np.divmod(np.arange(1024), 64)
    low = np.floor(2.0 ** (15 - n) * (1 + f / 64))
    high = np.maximum(low, np.ceil(2.0 ** (15 - n) * (1 + (f + 1) / 64)) - 1)
    low = np.where((n == 15) & (f == 0), 0.0, low)
    u = 1 - ((low + high) / 2 + 0.5) / 65536
    return np.asarray(np.rint(256 * -np.log(-np.log(u))), np.int64)
