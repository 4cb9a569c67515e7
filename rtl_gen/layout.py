"""Where values live in the vector memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.fabric.address import Loop


@dataclass(frozen=True, slots=True)
class Layout:
    """A value of up to three dimensions, its planes surrounded by zeros where a convolution pads.

    Parameters
    ----------
    base : int
        First word of the buffer, padding included.
    shape : tuple of int
        (channels, height, width), or (n,) for a vector.
    padding : (int, int)
        Rows above and below, columns left and right, of every plane.
    """

    base: int
    shape: tuple[int, ...]
    padding: tuple[int, int] = (0, 0)

    @property
    def row(self) -> int:
        """Words from one row to the next."""
        return self.shape[-1] + 2 * self.padding[1]

    @property
    def plane(self) -> int:
        """Words from one channel to the next."""
        return self.row * (self.shape[1] + 2 * self.padding[0])

    @property
    def size(self) -> int:
        """Words of the buffer."""
        return self.shape[0] if len(self.shape) == 1 else self.shape[0] * self.plane

    def at(self, row: int, column: int) -> int:
        """Address of channel 0 at a row and column, which may lie in the padding."""
        return self.base + (row + self.padding[0]) * self.row + column + self.padding[1]

    def loop(self) -> Loop:
        """All elements in row-major order, without the padding."""
        if len(self.shape) == 1:
            return Loop(self.base, self.shape, (1,))
        counts, strides = list(self.shape), [self.plane, self.row, 1]
        for level in (1, 0):
            if strides[level] == counts[level + 1] * strides[level + 1]:
                counts[level : level + 2] = [counts[level] * counts[level + 1]]
                del strides[level]
        return Loop(self.at(0, 0), tuple(counts), tuple(strides))

    def window(self, row: int, column: int, kernel: tuple[int, int]) -> Loop:
        """Elements of every channel under a kernel at (row, column), channel by channel."""
        return Loop(self.at(row, column), (self.shape[0], *kernel), (self.plane, self.row, 1))

    def pixel(self, row: int, column: int) -> Loop:
        """Every channel at one place."""
        return Loop(self.at(row, column), (self.shape[0],), (self.plane,))


def sides(base: int, heads: int, half: int) -> Loop:
    """Heads whose first and second halves, of `half` beats each, alternate beat by beat."""
    return Loop(base, (heads, half, 2), (2 * half, 1, half))


def spread(beats: NDArray[np.int64], elements: int) -> NDArray[np.int64]:
    """Elements of beats in the order of the beats, int64, shape (len(beats) * elements,)."""
    return np.asarray((beats[:, None] * elements + np.arange(elements)).ravel())


class Allocator:
    """First-fit allocation of buffers whose lifetimes are known."""

    def __init__(self) -> None:
        self.used: list[tuple[int, int]] = []
        self.depth = 0

    def take(self, size: int) -> int:
        """Lowest address with `size` free words."""
        base = 0
        for start, stop in sorted(self.used):
            if base + size <= start:
                break
            base = max(base, stop)
        self.used.append((base, base + size))
        self.depth = max(self.depth, base + size)
        return base

    def free(self, base: int) -> None:
        """Give back the buffer at `base`."""
        self.used = [item for item in self.used if item[0] != base]
