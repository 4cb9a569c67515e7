"""Vectors that travel in one beat: packing, and those worth testing a matrix with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.types import IntType
from tests.blocks.drive import numbers


def pack(vectors: NDArray[np.int64], width: int) -> list[int]:
    """One integer per row, element 0 in the low bits."""
    mask = (1 << width) - 1
    return [sum((int(e) & mask) << width * k for k, e in enumerate(row)) for row in vectors]


def vectors(
    rng: np.random.Generator, kind: IntType, weight: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """The inputs that take rows to both ends of their range, then `count` random ones."""
    chosen = weight[[0, -1]]
    high = np.where(chosen > 0, kind.max, kind.min)
    low = np.where(chosen > 0, kind.min, kind.max)
    columns = weight.shape[1]
    drawn = [numbers(rng, kind, columns) for _ in range(count)]
    return np.concatenate([high, low, np.full((1, columns), kind.min), np.array(drawn)])
