"""The operators of a ModelGraph in float64.

Every function works on any leading axes: ``...`` is ``(batch, time)`` in the interpreter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.model import ActivationKind

Real = NDArray[np.float64]
Integers = NDArray[np.int64]

_erf = np.frompyfunc(math.erf, 1, 1)


def embedding(index: Integers, table: Real) -> Real:
    """``table[index]``; index (...), table (rows, n), value (..., n).

    Raises
    ------
    ValueError
        If an index is not a row of the table.
    """
    if index.size and not 0 <= index.min() <= index.max() < len(table):
        raise ValueError(
            f"index from {index.min()} to {index.max()} into a table of {len(table)} rows"
        )
    rows: Real = table[index]
    return rows


def sinusoid(position: Integers, frequencies: Real) -> Real:
    """Sines, then cosines, of ``position * frequencies``; value (..., 2 * frequencies).

    Notes
    -----
    Vaswani et al. 2017, section 3.5, in the order of tensor2tensor.
    """
    angle = position[..., None] * frequencies
    return np.concatenate([np.sin(angle), np.cos(angle)], -1)


def linear(x: Real, weight: Real, bias: Real | None) -> Real:
    """``weight @ x + bias``; x (..., n_in), weight (n_out, n_in), value (..., n_out)."""
    # One product of two matrices: NumPy would loop over the leading axes of a stack.
    y: Real = (x.reshape(-1, x.shape[-1]) @ weight.T).reshape(*x.shape[:-1], len(weight))
    return y if bias is None else y + bias


def low_rank(x: Real, y: Real, a: Real, b: Real) -> Real:
    """``y + b @ (a @ x)``; x (..., n_in), y (..., n_out), a (rank, n_in), b (n_out, rank)."""
    return y + linear(linear(x, a, None), b, None)


def norm(
    x: Real,
    weight: Real | None,
    bias: Real | None,
    eps: float,
    *,
    center: bool,
    groups: int = 1,
) -> Real:
    """``(x - mean) / sqrt(variance + eps) * weight + bias``; mean is 0 unless `center`.

    Each of the `groups` equal parts of x by itself; weight and bias have the size of a part.

    Notes
    -----
    Ba et al. 2016, "Layer Normalization"; Zhang and Sennrich 2019, "Root Mean Square Layer
    Normalization".
    """
    parts = x.reshape(*x.shape[:-1], groups, -1)
    if center:
        parts = parts - parts.mean(-1, keepdims=True)
    y: Real = parts / np.sqrt((parts * parts).mean(-1, keepdims=True) + eps)
    if weight is not None:
        y = y * weight
    return (y if bias is None else y + bias).reshape(x.shape)


def rotary(
    x: Real,
    position: Integers,
    heads: int,
    frequencies: Real,
    scale: float,
    *,
    first: int = 0,
    interleaved: bool = False,
) -> Real:
    """Rotate pairs of each head's elements by ``position * frequencies`` radians, times `scale`.

    x (..., heads * head_dim), position broadcastable to (...), frequencies (pairs,). Elements
    before `first` stay.

    Notes
    -----
    Su et al. 2021, "RoFormer", in Hugging Face's order: element j is paired with j + head_dim / 2;
    `interleaved`: 2 j with 2 j + 1, the order of the paper.
    """
    angle = position[..., None, None] * frequencies
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    head = x.reshape(*x.shape[:-1], heads, -1)
    still, turned = head[..., :first], head[..., first:]
    axis = -1 if interleaved else -2
    pairs = turned.reshape(*turned.shape[:-1], *((-1, 2) if interleaved else (2, -1)))
    a, b = np.moveaxis(pairs, axis, 0)
    rotated = np.stack([a * cos - b * sin, b * cos + a * sin], axis).reshape(turned.shape)
    return np.concatenate([still, rotated], -1).reshape(x.shape)


def softmax(x: Real) -> Real:
    """``exp(x) / sum(exp(x))`` over the last axis."""
    y: Real = x - x.max(-1, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(-1, keepdims=True)
    return y


def attention(
    q: Real,
    keys: Real,
    values: Real,
    position: int,
    scale: float,
    *,
    window: int = 0,
    sinks: Real | None = None,
    bias: Real | None = None,
    causal: bool = True,
) -> Real:
    """Grouped-query attention of a block of consecutive positions.

    Parameters
    ----------
    q : float64, shape (batch, time, heads, head_dim)
        Queries of positions ``position`` to ``position + time - 1``.
    keys, values : float64, shape (batch, position + time, kv_heads, head_dim)
        Of all positions up to the last one; values may have another head_dim.
    position : int
    scale : float
        Factor on the scores.
    window : int
        Positions that a query sees, its own the last; 0 for all.
    sinks : float64, shape (heads,), or None
        Scores of a position without a value.
    bias : float64, shape (heads, time, position + time), or None
        Added to the scores.
    causal : bool
        Whether later positions are hidden.

    Returns
    -------
    float64, shape (batch, time, heads, head_dim of the values)

    Notes
    -----
    Vaswani et al. 2017, equation 1; grouped: Ainslie et al. 2023. Query head ``h`` reads
    key/value head ``h // (heads // kv_heads)``.
    """
    batch, time, heads, head_dim = q.shape
    length, kv_heads = keys.shape[1:3]
    group = heads // kv_heads
    grouped = q.reshape(batch, time, kv_heads, group, head_dim).transpose(0, 2, 3, 1, 4)
    scores = grouped @ keys.transpose(0, 2, 3, 1)[:, :, None] * scale
    if bias is not None:
        scores = scores + bias.reshape(kv_heads, group, time, length)
    here, there = position + np.arange(time)[:, None], np.arange(length)
    hidden = (there > here) if causal else np.zeros((time, length), np.bool_)
    if window:
        hidden = hidden | (there <= here - window)
    scores = np.where(hidden, -np.inf, scores)
    if sinks is not None:
        sink = np.broadcast_to(sinks.reshape(kv_heads, group, 1, 1), (*scores.shape[:-1], 1))
        scores = np.concatenate([scores, sink], -1)
    weights = softmax(scores)[..., :length]
    mixed = weights @ values.transpose(0, 2, 1, 3)[:, :, None]
    return mixed.transpose(0, 3, 1, 2, 4).reshape(batch, time, heads, -1)


def distance_bias(
    table: Real, time: int, length: int, position: int, distance: int, *, causal: bool
) -> Real:
    """Scores by the distance of key and query, float64 (heads, time, length).

    Parameters
    ----------
    table : float64, shape (buckets, heads)
    time, length : int
        Queries, from `position` on, and keys, from 0 on.
    position, distance : int
        The last bucket holds distances of `distance` and more.
    causal : bool
        If not, half of the buckets are for keys after the query.

    Notes
    -----
    Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 2.1, as T5 computes
    it: half of the buckets hold one distance each, the others grow logarithmically.
    """
    relative = np.arange(length) - (position + np.arange(time))[:, None]
    buckets = len(table)
    base = np.zeros(relative.shape, np.int64)
    if causal:
        far = np.maximum(-relative, 0)
    else:
        buckets //= 2
        base = np.where(relative > 0, buckets, 0)
        far = abs(relative)
    exact = buckets // 2
    # in float32 as the reference computes it: bucket edges depend on the rounding
    ratio = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact))
    growth = ratio / np.float32(math.log(distance / exact)) * np.float32(buckets - exact)
    large = np.minimum(exact + growth.astype(np.int64), buckets - 1)
    bucket = base + np.where(far < exact, far, large)
    return np.asarray(table[bucket].transpose(2, 0, 1), np.float64)


def sigmoid(x: Real) -> Real:
    """``1 / (1 + exp(-x))``, written with tanh because exp(-x) overflows."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def activation(x: Real, kind: ActivationKind, alpha: float = 0.0, limit: float = math.inf) -> Real:
    """Elementwise nonlinearity; `alpha` and `limit` as `rtl_gen.ir.model.Activation` says.

    Notes
    -----
    gelu: ``x * Phi(x)``; gelu_tanh and quick_gelu are the approximations of Hendrycks and Gimpel
    2016, section 2.
    """
    match kind:
        case "relu":
            return np.maximum(x, 0.0)
        case "silu":
            return x * sigmoid(x)
        case "gelu":
            return x * (0.5 + 0.5 * np.asarray(_erf(x / math.sqrt(2)), np.float64))
        case "gelu_tanh":
            return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        case "quick_gelu":
            return x * sigmoid(1.702 * x)
        case "sigmoid":
            return sigmoid(x)
        case "tanh":
            return np.tanh(x)
        case "clamp":
            return np.clip(x, -limit, limit) + alpha
        case "gated":
            below = np.minimum(x, limit)
            return below * sigmoid(alpha * below)


def conv2d(
    x: Real, weight: Real, bias: Real | None, stride: tuple[int, int], padding: tuple[int, int]
) -> Real:
    """Cross-correlation, zero padded; x (..., in_ch, h, w), weight (out_ch, in_ch, kh, kw)."""
    edges = [(0, 0)] * (x.ndim - 2) + [(p, p) for p in padding]
    windows = _windows(np.pad(x, edges), (weight.shape[2], weight.shape[3]), stride)
    # windows (..., in_ch, rows, columns, kh, kw), summed over in_ch, kh and kw
    y = np.moveaxis(np.tensordot(windows, weight, ((-5, -2, -1), (1, 2, 3))), -1, -3)
    return y if bias is None else y + bias[:, None, None]


def maxpool2d(x: Real, kernel: tuple[int, int], stride: tuple[int, int]) -> Real:
    """Maximum over windows; x (..., channels, h, w)."""
    return np.asarray(_windows(x, kernel, stride).max((-2, -1)))


def _windows(x: Real, kernel: tuple[int, int], stride: tuple[int, int]) -> Real:
    """View (..., rows, columns, kh, kw) of x (..., h, w)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(-2, -1))
    return windows[..., :: stride[0], :: stride[1], :, :]
