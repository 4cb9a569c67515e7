"""Golden model of the two-dimensional convolution."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rtl_gen.golden.const_matvec import const_matvec
from rtl_gen.ir.types import IntType


def conv2d(
    x: NDArray[np.int64],
    weight: NDArray[np.int64],
    bias: NDArray[np.int64] | None,
    multiplier: NDArray[np.int64],
    shift: int,
    stride: tuple[int, int],
    padding: tuple[int, int],
    out: IntType,
) -> NDArray[np.int64]:
    """Zero-padded convolution; every output pixel is a `const_matvec` of its window.

    Parameters
    ----------
    x : int64, shape (batch, in_ch, h, w)
    weight : int64, shape (out_ch, in_ch, kh, kw)
    bias : int64, shape (out_ch,), or None
    multiplier : int64, shape (out_ch,)
        1 to 65535.
    shift : int
        0 to 47.
    stride, padding : (int, int)
        Rows, columns.
    out : IntType

    Returns
    -------
    int64, shape (batch, out_ch, (h + 2*ph - kh)//sh + 1, (w + 2*pw - kw)//sw + 1)
    """
    out_ch, _, *kernel = weight.shape
    pixels = windows(x, (kernel[0], kernel[1]), stride, padding)
    shape = pixels.shape[:3]
    flat = pixels.reshape(-1, pixels.shape[3])
    y = const_matvec(flat, weight.reshape(out_ch, -1), bias, multiplier, shift, out)
    return y.reshape(*shape, out_ch).transpose(0, 3, 1, 2)


def windows(
    x: NDArray[np.int64], kernel: tuple[int, int], stride: tuple[int, int],
    padding: tuple[int, int],
) -> NDArray[np.int64]:  # fmt: skip
    """What every output pixel sees of `x`, channel by channel, zeros outside.

    Returns
    -------
    int64, shape (batch, rows, columns, in_ch * kh * kw)
    """
    (ph, pw), (sh, sw) = padding, stride
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    found = sliding_window_view(padded, kernel, axis=(2, 3))[:, :, ::sh, ::sw]
    return found.transpose(0, 2, 3, 1, 4, 5).reshape(*np.take(found.shape, (0, 2, 3)), -1)
