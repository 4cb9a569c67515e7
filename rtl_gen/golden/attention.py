"""Golden model of causal attention over the key/value cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.norm import bit_length
from rtl_gen.golden.requantize import round_shift, saturate
from rtl_gen.ir import tables
from rtl_gen.ir.types import Dyadic, IntType

_EXP2 = tables.exp2()
_RECIPROCAL = tables.reciprocal()


def attention(
    q: NDArray[np.int64],
    keys: NDArray[np.int64],
    values: NDArray[np.int64],
    heads: int,
    score: Dyadic,
    shift: int,
    out: IntType,
    sinks: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Softmax-weighted mean of `values`, one query against all positions it sees.

    Parameters
    ----------
    q : int64, shape (batch, heads * head_dim)
        i8.
    keys, values : int64, shape (batch, positions, kv_heads, head_dim)
        i8; the last position is the step's own.
    heads : int
        Multiple of kv_heads.
    score : Dyadic
        Factor from products of steps of q and k to 2**-8 units of log2.
    shift : int
        31 - j for results in steps of ``2**-j`` of a value's step.
    out : IntType
    sinks : int64, shape (heads,), or None
        Scores that take part in the softmax without a value.

    Returns
    -------
    int64, shape (batch, heads * head_dim)

    Notes
    -----
    `docs/ir.md`, "Attention". ``|s| < 2**14 * head_dim`` and ``|A| < 2**22 * positions`` are far
    below 2**53, so both matrix products are exact in float64.
    """
    batch, _, kv_heads, head_dim = keys.shape
    grouped = q.reshape(batch, kv_heads, heads // kv_heads, head_dim).astype(np.float64)
    k = keys.transpose(0, 2, 3, 1).astype(np.float64)  # (batch, kv_heads, head_dim, positions)
    v = values.transpose(0, 2, 1, 3).astype(np.float64)  # (batch, kv_heads, positions, head_dim)

    s = (grouped @ k).astype(np.int64)
    if sinks is not None:
        sink = sinks.reshape(kv_heads, heads // kv_heads, 1)
        s = np.concatenate([s, np.broadcast_to(sink, (batch, *sink.shape))], axis=-1)
    below = s.max(axis=-1, keepdims=True) - s
    z = np.minimum((below * score.multiplier) >> score.shift, 4095)
    p = _EXP2[z & 255] >> (z >> 8)
    total = p.sum(axis=-1, keepdims=True)
    p = p[..., : k.shape[-1]]
    b = bit_length(total)
    r = _RECIPROCAL[total >> (b - 10)]
    a = (p.astype(np.float64) @ v).astype(np.int64)
    y = saturate(round_shift((a >> (b - 16)) * r, shift), out)
    return y.reshape(batch, heads * head_dim)
