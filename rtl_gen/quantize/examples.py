"""Data that quantization sees: calibration examples and held-out examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import QuantizationError


@dataclass(frozen=True, slots=True)
class Examples:
    """A batch of sequences of tokens, or of frames.

    Parameters
    ----------
    inputs : int64, shape (batch, steps), or float64, shape (batch, *frame)
        Tokens that the network reads (``bos`` included), or frames as its checkpoint expects them.
    targets : int64, shape (batch, steps) or (batch,), or None
        The token that follows every input token, or the class of every frame.
    mask : bool, shape (batch, steps), or None
        Steps that count; None if all do. Padding after the end of a sequence is false.

    Raises
    ------
    QuantizationError
        If there is no example or the shapes contradict each other.
    """

    inputs: NDArray[np.int64] | NDArray[np.float64]
    targets: NDArray[np.int64] | None = None
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.inputs.ndim < 2 or self.inputs.size == 0:
            raise QuantizationError(
                f"examples: expected (batch, steps) tokens or (batch, ...) frames, found an array "
                f"of shape {self.inputs.shape}; give at least one example"
            )
        expected = self.inputs.shape[:2] if self.is_tokens else self.inputs.shape[:1]
        for name, array in (("targets", self.targets), ("mask", self.mask)):
            if array is not None and array.shape != expected:
                raise QuantizationError(
                    f"examples: expected {name} of shape {expected}, found {array.shape}"
                )

    @property
    def is_tokens(self) -> bool:
        """Whether the examples are sequences of tokens."""
        return bool(np.issubdtype(self.inputs.dtype, np.integer))

    @property
    def steps(self) -> int:
        """Steps of one sequence, 1 for frames."""
        return int(self.inputs.shape[1]) if self.is_tokens else 1

    def counted(self) -> NDArray[np.bool_]:
        """Mask of all steps in one row: bool, shape (batch * steps,)."""
        if self.mask is None:
            return np.ones(len(self.inputs) * self.steps, np.bool_)
        return self.mask.reshape(-1)
