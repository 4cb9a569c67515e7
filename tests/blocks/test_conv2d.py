"""`rtl_gen.golden.conv2d` against the formula of ``docs/ir.md``; `ConstMatVec` is its block."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_gen.golden.conv2d import conv2d
from rtl_gen.golden.requantize import requantize
from rtl_gen.ir.types import IntType
from tests.blocks.drive import numbers
from tests.harness import seed


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [
        ((1, 3, 3), (1, 1), (1, 1), (0, 0)),
        ((2, 5, 4), (3, 2), (2, 1), (1, 0)),
        ((3, 4, 7), (2, 3), (1, 3), (0, 2)),
    ],
)
def test_every_pixel_is_the_formula(
    shape: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> None:
    rng = np.random.default_rng(seed())
    (channels, height, width), filters, out = shape, 4, IntType(8)
    x = numbers(rng, IntType(8), channels * height * width).reshape(1, *shape)
    weight = numbers(rng, IntType(8), filters * channels * kernel[0] * kernel[1])
    weight = weight.reshape(filters, channels, *kernel)
    bias, multiplier = numbers(rng, IntType(12), filters), rng.integers(1, 1 << 16, filters)

    y = conv2d(x, weight, bias, multiplier, 22, stride, padding, out)

    def pixel(row: int, column: int) -> int:
        inside = 0 <= row < height and 0 <= column < width
        return row * width + column if inside else -1

    for o, r, c in np.ndindex(y.shape[1:]):
        acc = int(bias[o])
        for i, a, b in np.ndindex(channels, *kernel):
            at = pixel(r * stride[0] + a - padding[0], c * stride[1] + b - padding[1])
            if at >= 0:
                acc += int(weight[o, i, a, b]) * int(x[0, i].flat[at])
        assert y[0, o, r, c] == requantize(np.array(acc), int(multiplier[o]), 22, out), (o, r, c)
    assert y.shape[2:] == tuple(
        (size + 2 * p - k) // s + 1
        for size, p, k, s in zip((height, width), padding, kernel, stride, strict=True)
    )
