"""The quantization recipe: how many bits every tensor gets, and who chooses the integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from rtl_gen.errors import QuantizationError
from rtl_gen.ir.types import IntType

_WEIGHT_TYPES = {f"int{bits}": IntType(bits) for bits in range(2, 9)}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Bits per tensor by patterns on node names; the last pattern that matches decides.

    Parameters
    ----------
    weights : mapping of str to str
        Shell pattern on node names to ``"int2"`` ... ``"int8"``, e.g.
        ``{"*": "int8", "layers.*.mlp.*": "int4"}``.
    activation_bits : int
        Width of the inputs of matrix-vector products, 4 to 16.
    activations : mapping of str to int
        Shell pattern on the names of the nodes that produce such inputs to another width.
    attention_bits : int
        Width of queries, keys and values, 4 to 10. The chip's cache holds 8 by default.
    residual_bits : int
        Width of sums and of what they add, 8 to 16.
    solver : "gptq" or "nearest"
        How weights become integers.
    factors : "free" or "powers"
        "powers": rows of matrices and outputs of norms are scaled by powers of two, so that
        nothing but a shift remains of their factors.
    adapter_bits, adapter_hidden_bits : int
        Width of the factors of an adapter, 2 to 8, and of the values between them, 4 to 12.

    Raises
    ------
    QuantizationError
        If a type, width or solver is not one of those above.
    """

    weights: Mapping[str, str] = field(default_factory=lambda: {"*": "int8"})
    activation_bits: int = 8
    activations: Mapping[str, int] = field(default_factory=dict)
    attention_bits: int = 8
    residual_bits: int = 16
    solver: Literal["gptq", "nearest"] = "gptq"
    factors: Literal["free", "powers"] = "free"
    adapter_bits: int = 8
    adapter_hidden_bits: int = 8

    def __post_init__(self) -> None:
        for pattern, name in self.weights.items():
            if name not in _WEIGHT_TYPES:
                raise QuantizationError(
                    f"recipe, weights[{pattern!r}]: expected one of {', '.join(_WEIGHT_TYPES)}, "
                    f"found {name!r}"
                )
        for key, bits in {"activation_bits": self.activation_bits, **self.activations}.items():
            if not 4 <= bits <= 16:
                raise QuantizationError(
                    f"recipe, {key}: expected 4 to 16 activation bits, found {bits}"
                )
        if not 4 <= self.attention_bits <= 10:
            raise QuantizationError(
                f"recipe, attention_bits: expected 4 to 10, found {self.attention_bits}"
            )
        if not 8 <= self.residual_bits <= 16:
            raise QuantizationError(
                f"recipe, residual_bits: expected 8 to 16, found {self.residual_bits}"
            )
        if self.factors not in ("free", "powers"):
            raise QuantizationError(
                f"recipe, factors: expected 'free' or 'powers', found {self.factors!r}"
            )
        if self.solver not in ("gptq", "nearest"):
            raise QuantizationError(
                f"recipe, solver: expected 'gptq' or 'nearest', found {self.solver!r}"
            )

    def weight_type(self, node: str) -> IntType:
        """Type of the weights of `node`.

        Raises
        ------
        QuantizationError
            If no pattern matches.
        """
        names = [name for pattern, name in self.weights.items() if fnmatchcase(node, pattern)]
        if names:
            return _WEIGHT_TYPES[names[-1]]
        raise QuantizationError(
            f"recipe, weights: no pattern matches node {node!r} (patterns: "
            f"{', '.join(self.weights)}); add '*' as the first pattern"
        )

    def activation_width(self, node: str) -> int:
        """Bits of the value of `node` as input of a matrix-vector product."""
        widths = [bits for pattern, bits in self.activations.items() if fnmatchcase(node, pattern)]
        return widths[-1] if widths else self.activation_bits
