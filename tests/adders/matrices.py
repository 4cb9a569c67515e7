"""Constant matrices that the adder graphs and the blocks made of them are tested with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.harness import seed


def _drawn(low: int, high: int, rows: int, columns: int) -> NDArray[np.int64]:
    rng = np.random.default_rng([seed(), high, rows, columns])
    return rng.integers(low, high, (rows, columns), endpoint=True)


MATRICES: dict[str, NDArray[np.int64]] = {
    "int4": _drawn(-8, 7, 9, 12),
    "int8": _drawn(-128, 127, 5, 6),
    "ternary": _drawn(-1, 1, 12, 16),
    "zero rows and columns": _drawn(-8, 7, 6, 6) * np.outer([0, 1, 1, 0, 1, 0], [1, 1, 0, 1, 0, 1]),
    "all zero": np.zeros((2, 3), np.int64),
    "most negative": np.full((3, 5), -8),
    "most positive": np.full((2, 4), 127),
    "single column": np.array([[0], [1], [-1], [7], [-8], [3], [-128], [64]]),
    "single row": np.array([[5, -3, 0, 8, -8, 1, 1, -1]]),
    "one by one": np.array([[-1]]),
    "equal rows": np.repeat(_drawn(-8, 7, 2, 5), 3, axis=0),
    "opposite rows": np.array([[3, -5, 2, 7], [-3, 5, -2, -7], [6, -10, 4, 14]]),
    "negative rows": -abs(_drawn(-3, 3, 5, 5)) - 1,
}
"""Name to matrix, int64, shape (n_out, n_in)."""

SIMULATED = (
    "int4",
    "int8",
    "zero rows and columns",
    "all zero",
    "single column",
    "one by one",
    "opposite rows",
    "negative rows",
)
"""The ones that make every kind of node; the others differ in their numbers alone."""
