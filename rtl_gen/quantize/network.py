"""A ModelGraph with its calibration values, and how a value of it is carried in integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir import model as real
from rtl_gen.ir.types import IntType
from rtl_gen.quantize.recipe import Recipe

Array = NDArray[np.float64]

PRODUCTS = (real.Linear, real.ExpertLinear)
"""Operators that multiply their first input by a constant matrix."""


@dataclass(frozen=True, slots=True)
class Edge:
    """``real value = scale * channel * integer``.

    Parameters
    ----------
    type : IntType
    scale : float
        Positive.
    channel : float64, shape of the value, or None
        Factors that the neighbours' constants absorb; None if all are 1.
    """

    type: IntType
    scale: float
    channel: Array | None = None

    def steps(self) -> Array | float:
        """Real value of one integer step, per channel if channels differ."""
        return self.scale if self.channel is None else self.scale * self.channel


@dataclass(frozen=True, slots=True)
class Network:
    """A ModelGraph with what edges need to know about it.

    Parameters
    ----------
    model : ModelGraph
    weights : mapping of TensorRef to float64
    recipe : Recipe
    floats : mapping of str to float64, shape (samples, *shape)
        Calibration values, steps that do not count left out.
    """

    model: real.ModelGraph
    weights: Mapping[real.TensorRef, Array]
    recipe: Recipe
    floats: Mapping[str, Array]

    def readers(self, name: str) -> list[real.Node]:
        """Nodes that read the value `name`."""
        return [node for node in self.model.nodes if name in node.inputs]

    def producer(self, name: str) -> real.Node | None:
        """Node that defines `name`, None for an input."""
        return next((node for node in self.model.nodes if node.name == name), None)

    def multiplies(self, node: real.Node, name: str) -> bool:
        """Whether all that `node` does with `name` is to multiply it by a matrix."""
        if isinstance(node.op, real.LowRank):
            return node.inputs[0] == name != node.inputs[1]
        return isinstance(node.op, PRODUCTS) and node.inputs[0] == name

    def matrix(self, name: str) -> real.Node | None:
        """Matrix product that defines `name`, directly or through the adapter region beside it."""
        node = self.producer(name)
        while node is not None and isinstance(node.op, real.LowRank):
            alone = len(self.readers(node.inputs[1])) == 1
            node = self.producer(node.inputs[1]) if alone else None
        return node if node is not None and isinstance(node.op, PRODUCTS) else None


def is_relu(node: real.Node) -> bool:
    """Whether the node is a ReLU."""
    return isinstance(node.op, real.Activation) and node.op.kind == "relu"


def fused_relu(model: real.ModelGraph, node: real.Node) -> bool:
    """Whether the node is a ReLU that saturation at 0 computes.

    One behind an adapter region is a function table: the region adds to a signed value.
    """
    if not is_relu(node):
        return False
    regions = {made.name for made in model.nodes if isinstance(made.op, real.LowRank)}
    return node.inputs[0] not in regions
