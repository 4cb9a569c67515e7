"""What calibration runs: the base and each adapter, on data of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import QuantizationError
from rtl_gen.ir.model import TensorRef
from rtl_gen.quantize.examples import Examples

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """One run of the network in calibration.

    Parameters
    ----------
    weights : mapping of TensorRef to float64
        The base's, with the factors of the adapter if it is an adapter's run
        (`rtl_gen.adapter.apply.beside`).
    examples : Examples
    """

    weights: Mapping[TensorRef, Array]
    examples: Examples


def padded(parts: Sequence[Part]) -> list[Part]:
    """Parts whose examples have the same number of steps; what is added does not count.

    Raises
    ------
    QuantizationError
        If some are tokens and some are frames.
    """
    if len({part.examples.is_tokens for part in parts}) > 1:
        raise QuantizationError("calibration: examples of base and adapters are of different kinds")
    steps = max(part.examples.steps for part in parts)
    return [Part(part.weights, _padded(part.examples, steps)) for part in parts]


def joined(parts: Sequence[Part]) -> Examples:
    """Examples of all parts, one after the other; targets are left out."""
    masks = [part.examples.counted() for part in parts]
    inputs = np.concatenate([part.examples.inputs for part in parts])
    if not parts[0].examples.is_tokens:
        return Examples(inputs)
    return Examples(inputs, None, np.concatenate(masks).reshape(inputs.shape))


def rows(parts: Sequence[Part]) -> list[slice]:
    """Where the steps of every part lie among those of all."""
    ends = np.cumsum([len(part.examples.inputs) * part.examples.steps for part in parts]).tolist()
    return [slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False)]


def _padded(examples: Examples, steps: int) -> Examples:
    missing = steps - examples.steps
    if missing == 0:
        return examples
    shape = examples.inputs.shape
    mask = np.ones(shape, np.bool_) if examples.mask is None else examples.mask
    margin = ((0, 0), (0, missing))
    inputs = np.pad(np.asarray(examples.inputs, np.int64), margin)
    return Examples(inputs, None, np.pad(mask, margin))
