"""What calibration data say: the values of every node, and the scale that serves them best."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.model import ModelGraph, TensorRef
from rtl_gen.ir.types import IntType
from rtl_gen.quantize.examples import Examples
from rtl_gen.reference import advance, initial_state

Array = NDArray[np.float64]

_BLOCK = 64
_CLIPS = np.linspace(1.0, 0.4, 31)
_FITTED_SAMPLES = 4096


def trace(
    model: ModelGraph, weights: Mapping[TensorRef, Array], examples: Examples
) -> dict[str, Array]:
    """Every value of the float model, for every step of every example.

    Parameters
    ----------
    model : ModelGraph
    weights : mapping of TensorRef to float64
    examples : Examples

    Returns
    -------
    dict of str to float64, shape (batch * steps, *shape)
        Sequence by sequence, steps of a sequence in order.
    """
    name = next(item.name for item in model.inputs if item.kind != "position")
    x = examples.inputs if examples.is_tokens else examples.inputs[:, None]
    state = initial_state(model, len(x), examples.steps)
    blocks: dict[str, list[Array]] = {}
    for start in range(0, examples.steps, _BLOCK):
        block = {name: x[:, start : start + _BLOCK]}
        values, state = advance(model, weights, block, state)
        for key, value in values.items():
            blocks.setdefault(key, []).append(value)
    traced = {}
    for key, parts in blocks.items():
        whole = np.concatenate(parts, axis=1)
        traced[key] = whole.reshape(-1, *whole.shape[2:])
    return traced


def span(x: Array, type_: IntType, margin: float) -> float:
    """Scale at which the largest value fits with `margin` to spare.

    Parameters
    ----------
    x : float64, any shape
    type_ : IntType
    margin : float
        At least 1.

    Returns
    -------
    float
        Positive.
    """
    largest = float(abs(x).max())
    return largest * margin / type_.max if largest > 0 else 1.0 / type_.max


def fitted(
    x: Array,
    type_: IntType,
    weight: Array | None = None,
    function: Callable[[Array], Array] | None = None,
) -> float:
    """Scale of least squared error, clipping included.

    Parameters
    ----------
    x : float64, shape (samples, ...)
    type_ : IntType
    weight : float64, broadcastable to one sample, or None
        Importance of the squared error of every channel; equal if None.
    function : callable or None
        Measure the error after this function.

    Returns
    -------
    float
        Positive.
    """
    full = span(x, type_, 1.0)
    x = x[:: -(-len(x) // _FITTED_SAMPLES)]
    exact = x if function is None else function(x)
    best, least = full, np.inf
    for clip in _CLIPS:
        scale = full * clip
        near = np.rint(x / scale).clip(type_.min, type_.max) * scale
        error = ((near if function is None else function(near)) - exact) ** 2
        total = float((error.mean(axis=0) * (1.0 if weight is None else weight)).sum())
        if total < least:
            best, least = scale, total
    return float(best)
