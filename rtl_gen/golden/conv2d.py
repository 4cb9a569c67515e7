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
    (ph, pw), (sh, sw) = padding, stride
    out_ch, _, kh, kw = weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    windows = sliding_window_view(padded, (kh, kw), axis=(2, 3))[:, :, ::sh, ::sw]
    batch, _, rows, columns = windows.shape[:4]
    pixels = windows.transpose(0, 2, 3, 1, 4, 5).reshape(batch * rows * columns, -1)
    y = const_matvec(pixels, weight.reshape(out_ch, -1), bias, multiplier, shift, out)
    return y.reshape(batch, rows, columns, out_ch).transpose(0, 3, 1, 2)
