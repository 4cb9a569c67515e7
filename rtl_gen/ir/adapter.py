"""An adapter in exact integers: the contents of a chip's adapter memory. See ``docs/ir.md``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.integer import IntegerGraph, LowRank, Node
from rtl_gen.ir.range import low_rank_columns
from rtl_gen.ir.types import IntType

MULTIPLIER = IntType(16, signed=False)
"""Type of the multipliers of an adapter; 0 is allowed, and makes the row 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Contents of one adapter region, int64 arrays.

    Parameters
    ----------
    a : shape (rank, n_in)
    b : shape (n_out, rank)
    multiplier_a : shape (rank,)
    multiplier_b : shape (n_out,)
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    multiplier_a: NDArray[np.int64]
    multiplier_b: NDArray[np.int64]

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """The four arrays by name."""
        return {
            "a": self.a,
            "b": self.b,
            "multiplier_a": self.multiplier_a,
            "multiplier_b": self.multiplier_b,
        }


@dataclass(frozen=True, slots=True, eq=False)
class AdapterImage:
    """Contents of one slot.

    Parameters
    ----------
    name : str
    base : str
        Digest of the integer graph it was made for (`rtl_gen.ir.serialize.digest`).
    factors : mapping of str to Factors
        By `LowRank` node, every one of them.
    origin : mapping of str to str
        Where the numbers came from.
    """

    name: str
    base: str
    factors: Mapping[str, Factors]
    origin: Mapping[str, str] = field(default_factory=dict)


def regions(graph: IntegerGraph) -> list[tuple[Node, LowRank]]:
    """Adapter regions of a graph in evaluation order."""
    return [(node, node.op) for node in graph.nodes if isinstance(node.op, LowRank)]


def shapes(graph: IntegerGraph, node: Node, op: LowRank) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of a region's `Factors`, by name."""
    n_in = low_rank_columns(op, graph.value(node.inputs[0]))
    n_out = node.value.shape[0]
    return {
        "a": (op.rank, n_in),
        "b": (n_out, op.rank),
        "multiplier_a": (op.rank,),
        "multiplier_b": (n_out,),
    }


def types(op: LowRank) -> dict[str, IntType]:
    """Types of the arrays of a region's `Factors`, by name."""
    return {
        "a": op.element,
        "b": op.element,
        "multiplier_a": MULTIPLIER,
        "multiplier_b": MULTIPLIER,
    }


def empty(graph: IntegerGraph, node: Node, op: LowRank) -> Factors:
    """Factors that leave the region's value as it is: zeros."""
    return Factors(**{
        name: np.zeros(shape, np.int64) for name, shape in shapes(graph, node, op).items()
    })  # fmt: skip


def check(image: AdapterImage, graph: IntegerGraph) -> None:
    """Check that `image` has an element for every place of the memory, each of its type.

    Raises
    ------
    ValueError
        Naming the region and what is wrong.
    """
    nodes = regions(graph)
    if set(image.factors) != {node.name for node, _ in nodes}:
        raise ValueError(f"expected regions {[n.name for n, _ in nodes]}, found "
                         f"{sorted(image.factors)}")  # fmt: skip
    for node, op in nodes:
        found, wanted, kinds = image.factors[node.name].arrays(), shapes(graph, node, op), types(op)
        for name, array in found.items():
            if array.dtype != np.int64 or array.shape != wanted[name]:
                raise ValueError(
                    f"region {node.name}, {name}: expected int64 of shape {wanted[name]}, found "
                    f"{array.dtype} of shape {array.shape}"
                )
            low, high = int(array.min()), int(array.max())
            if low < kinds[name].min or high > kinds[name].max:
                raise ValueError(
                    f"region {node.name}, {name}: expected elements of {kinds[name]}, found "
                    f"{low} to {high}"
                )
