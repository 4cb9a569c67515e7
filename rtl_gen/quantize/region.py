"""Real factors of a low-rank update to the integers of a region's memory.

The shifts of a region are wired, so they follow from its types alone: any adapter trained later
finds multipliers for them. Scales lose nothing by that: the step of ``a @ x`` is free, so it is
chosen to be exactly what a 16-bit multiplier gives.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor, log2

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.const_matvec import exact_product
from rtl_gen.golden.requantize import requantize
from rtl_gen.ir.adapter import MULTIPLIER, Factors
from rtl_gen.ir.integer import LowRank, Value
from rtl_gen.ir.range import low_rank_bounds, magnitude
from rtl_gen.ir.types import IntType
from rtl_gen.quantize.solver import best_integers

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_LEAST_MULTIPLIER = 16
"""Multiplier of ``a @ x`` when its accumulator is as large as it can be."""

_HEADROOM = 4
"""How far the largest ratio of ``b @ t`` goes beyond one product filling the type of `y`."""

_LARGEST_SHIFT = 47
_DAMPING = 0.01


def region(draft: LowRank, x: Value, y: Value) -> LowRank:
    """Operator of a region between values of these types.

    Parameters
    ----------
    draft : LowRank
        Its shifts do not matter.
    x, y : Value
        Its inputs.

    Returns
    -------
    LowRank
        `draft` with shifts that give every accumulator from 1/4096 of its bound upward a
        multiplier of full precision for `a`, and thirteen octaves below saturation for `b`.
    """
    bound_a, _ = low_rank_bounds(draft, x)
    shift_a = ceil(log2(_LEAST_MULTIPLIER * bound_a / draft.hidden.max))
    product = draft.element.max * draft.hidden.max
    shift_b = floor(log2(MULTIPLIER.max * product / (_HEADROOM * magnitude(y.type))))
    return replace(
        draft,
        shift_a=min(max(shift_a, 0), _LARGEST_SHIFT),
        shift_b=min(max(shift_b, 0), _LARGEST_SHIFT),
    )


def steps(value: Value) -> Array:
    """Real value of one integer step of every element: float64, shape (n,), or (1,) for all."""
    return np.asarray(value.scale * np.array(value.channel or (1.0,)), np.float64)


def pack_region(op: LowRank, x: Value, y: Value, samples: Integers, a: Array, b: Array) -> Factors:
    """Integers of one region.

    Parameters
    ----------
    op : LowRank
    x, y : Value
        Its inputs.
    samples : int64, shape (count, n_in)
        Values of x that the region meets; they choose the range of ``a @ x``.
    a : float64, shape (rank, n_in)
    b : float64, shape (n_out, rank)

    Returns
    -------
    Factors
    """
    a_integers, a_scale = _rows(a * steps(x), op.element)
    acc = exact_product(samples, a_integers)
    peak = np.maximum(abs(acc).max(axis=0), 1)
    fill = np.floor(op.hidden.max * 2.0**op.shift_a / peak)
    multiplier_a = np.where(abs(a_integers).max(axis=1) > 0, fill.clip(1, MULTIPLIER.max), 0)
    multiplier_a = multiplier_a.astype(np.int64)
    t = requantize(acc, multiplier_a, op.shift_a, op.hidden)
    # what one step of t stands for, exactly; a row that is off has none
    t_step = a_scale * 2.0**op.shift_a / np.maximum(multiplier_a, 1)
    wanted = b * t_step / steps(y)[:, None] * 2.0**op.shift_b
    b_integers, multiplier_b = _columns(wanted, op.element, t)
    return Factors(a_integers, b_integers, multiplier_a, multiplier_b)


def _rows(weight: Array, type_: IntType) -> tuple[Integers, Array]:
    """Nearest integers of every row, whose largest element fills the type."""
    largest = abs(weight).max(axis=1)
    scale = np.where(largest > 0, largest, 1.0) / type_.max
    return np.rint(weight / scale[:, None]).astype(np.int64), scale


def _columns(wanted: Array, type_: IntType, t: Integers) -> tuple[Integers, Integers]:
    """Integers and whole multipliers with ``multiplier[:, None] * integers ~ wanted``.

    The integers of a row are chosen against the error of ``b @ t``, not each for itself.
    """
    largest = abs(wanted).max(axis=1)
    multiplier = np.ceil(largest / type_.max).clip(0, MULTIPLIER.max)
    scale = np.maximum(multiplier, 1.0)
    moment = (t.T.astype(np.float64) @ t) / max(len(t), 1)
    mean = float(np.diag(moment).mean()) or 1.0
    integers = best_integers(wanted, scale, type_, moment + _DAMPING * mean * np.eye(len(moment)))
    integers[multiplier == 0] = 0
    return integers, multiplier.astype(np.int64)
