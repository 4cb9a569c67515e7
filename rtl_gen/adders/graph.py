"""A constant matrix as a graph of adders, its exact value, its bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.types import IntType


@dataclass(frozen=True, slots=True)
class Adder:
    """One two-input node: ``left + sign * (right << shift)``.

    Parameters
    ----------
    left, right : int
        Indices of earlier values: inputs come first, then the adders in order.
    shift : int
        Non-negative.
    sign : int
        1 or -1.
    """

    left: int
    right: int
    shift: int
    sign: int


@dataclass(frozen=True, slots=True)
class Output:
    """One row of the product: ``sign * (value << shift)``."""

    value: int
    shift: int
    sign: int


@dataclass(frozen=True, slots=True)
class AdderGraph:
    """Adders that together compute ``weight @ x``.

    Parameters
    ----------
    inputs : int
        Number of elements of x; they are the values ``0 … inputs - 1``.
    adders : tuple of Adder
        Adder j is the value ``inputs + j`` and reads earlier values only.
    outputs : tuple of Output or None
        One per row; None for a row of zeros.

    Raises
    ------
    ValueError
        If an adder or an output reads a value that does not exist before it.
    """

    inputs: int
    adders: tuple[Adder, ...]
    outputs: tuple[Output | None, ...]

    def __post_init__(self) -> None:
        for value, adder in enumerate(self.adders, self.inputs):
            if not (0 <= adder.left < value and 0 <= adder.right < value):
                raise ValueError(f"value {value} is computed from later values: {adder}")
            if adder.shift < 0 or adder.sign not in {1, -1}:
                raise ValueError(f"value {value}: shift below 0 or sign not 1 or -1: {adder}")
        count = self.inputs + len(self.adders)
        for row, output in enumerate(self.outputs):
            if output is None:
                continue
            if not 0 <= output.value < count:
                raise ValueError(f"row {row} reads value {output.value} of {count}")
            if output.shift < 0 or output.sign not in {1, -1}:
                raise ValueError(f"row {row}: shift below 0 or sign not 1 or -1: {output}")


def evaluate(graph: AdderGraph, x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Value of every row, computed adder by adder.

    Parameters
    ----------
    graph : AdderGraph
    x : int64, shape (n_in, ...)

    Returns
    -------
    int64, shape (n_out, ...)
    """
    values = list(x)
    for adder in graph.adders:
        values.append(values[adder.left] + adder.sign * (values[adder.right] << adder.shift))
    zero = np.zeros(x.shape[1:], np.int64)
    rows = [zero if o is None else o.sign * (values[o.value] << o.shift) for o in graph.outputs]
    return np.asarray(rows, np.int64).reshape(len(rows), *x.shape[1:])


def matrix(graph: AdderGraph) -> NDArray[np.int64]:
    """Matrix that `graph` computes, shape (n_out, n_in): its value at the unit vectors."""
    return evaluate(graph, np.eye(graph.inputs, dtype=np.int64))


def coefficients(graph: AdderGraph) -> NDArray[np.int64]:
    """Linear form of every value in the inputs. int64, shape (values, n_in)."""
    forms = np.zeros((graph.inputs + len(graph.adders), graph.inputs), np.int64)
    forms[: graph.inputs] = np.eye(graph.inputs, dtype=np.int64)
    for value, adder in enumerate(graph.adders, graph.inputs):
        forms[value] = forms[adder.left] + adder.sign * (forms[adder.right] << adder.shift)
    return forms


def extremes(forms: NDArray[np.int64], x: IntType) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Smallest and largest value of linear forms over all inputs of type `x`.

    Parameters
    ----------
    forms : int64, shape (rows, n_in)
    x : IntType

    Returns
    -------
    low, high : int64, shape (rows,)

    Notes
    -----
    Both are reached: the elements of x are independent, so each takes the end that its
    coefficient's sign wants. The widths that follow are therefore the narrowest.
    """
    positive = np.maximum(forms, 0).sum(axis=1)
    negative = np.minimum(forms, 0).sum(axis=1)
    return positive * x.min + negative * x.max, positive * x.max + negative * x.min


def value_types(graph: AdderGraph, x: IntType) -> list[IntType]:
    """Narrowest signed type of every value of the graph, inputs first."""
    low, high = extremes(coefficients(graph), x)
    return [_signed(int(a), int(b)) for a, b in zip(low, high, strict=True)]


def accumulator(weight: NDArray[np.int64], x: IntType) -> IntType:
    """Narrowest signed type that holds every element of ``weight @ x``."""
    low, high = extremes(weight, x)
    return _signed(int(low.min(initial=0)), int(high.max(initial=0)))


def _signed(low: int, high: int) -> IntType:
    return IntType.holding(min(low, -1), max(high, 0))


def depths(graph: AdderGraph) -> list[int]:
    """Adders on the longest path to every value; 0 for inputs."""
    found = [0] * graph.inputs
    for adder in graph.adders:
        found.append(max(found[adder.left], found[adder.right]) + 1)
    return found


def depth(graph: AdderGraph) -> int:
    """Adders on the longest path to an output."""
    found = depths(graph)
    return max((found[o.value] for o in graph.outputs if o is not None), default=0)
