"""State of a lowering, and the real factors that it turns into multipliers and shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log2

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import QuantizationError
from rtl_gen.golden.interpreter import evaluate_sequences
from rtl_gen.ir import integer as ir
from rtl_gen.ir import model as real
from rtl_gen.ir.types import Dyadic, IntType
from rtl_gen.quantize.network import Edge, Network

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

U16 = IntType(16, signed=False)
LARGEST_SHIFT = 47
_MULTIPLIER_BITS = 16


@dataclass(slots=True)
class Lowering:
    """The graph so far and the integer calibration values of its nodes."""

    network: Network
    edges: Mapping[str, Edge]
    counted: NDArray[np.bool_]
    steps: int
    inputs: list[ir.Input] = field(default_factory=list)
    nodes: list[ir.Node] = field(default_factory=list)
    constants: dict[str, ir.Constant] = field(default_factory=dict)
    integers: dict[str, Integers] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    parts: Sequence[tuple[slice, Mapping[real.TensorRef, Array]]] = ()

    def constant(self, name: str, type_: IntType, data: Integers) -> str:
        """Add a constant and return its name."""
        self.constants[name] = ir.Constant(type_, data)
        return name

    def graph(self, outputs: Mapping[str, str], origin: Mapping[str, str]) -> ir.IntegerGraph:
        """Return the graph of all nodes so far."""
        model = self.network.model
        return ir.IntegerGraph(
            architecture=model.architecture,
            inputs=tuple(self.inputs),
            nodes=tuple(self.nodes),
            outputs=outputs,
            constants=dict(self.constants),
            context=model.context,
            vocabulary=model.vocabulary,
            bos=model.bos,
            eos=model.eos,
            origin=dict(origin),
        )

    def value(self, name: str, shape: tuple[int, ...], edge: Edge | None = None) -> ir.Value:
        """Type, scale and channel factors of a value."""
        edge = edge or self.edges[name]
        if edge.channel is None:
            return ir.Value(edge.type, shape, edge.scale)
        return ir.Value(edge.type, shape, edge.scale, tuple(edge.channel.reshape(-1).tolist()))

    def node(self, node: real.Node, op: ir.IntegerOp) -> None:
        """Add the integer node of `node` and compute its calibration values."""
        self.append(node, op, self.edges[node.name])

    def append(self, node: real.Node, op: ir.IntegerOp, edge: Edge) -> None:
        """Add a node whose value is carried as `edge` says and compute its calibration values."""
        inputs = tuple(self.names.get(name, name) for name in node.inputs)
        self.nodes.append(ir.Node(node.name, op, inputs, self.value(node.name, node.shape, edge)))
        operands = [self.integers[name] for name in inputs]
        graph = self.graph({}, {})
        self.integers[node.name] = evaluate_sequences(graph, self.nodes[-1], operands, self.steps)

    def real_input(self, name: str) -> Array:
        """Return the counted values of `name`, real units over channel factors."""
        name = self.names.get(name, name)
        x = self.integers[name][self.counted]
        return np.asarray(x.reshape(len(x), -1) * self.edges[name].scale, np.float64)


def dyadic(node: real.Node, ratio: float) -> Dyadic:
    """Nearest scale of a u16 multiplier and a shift of at most 47.

    Raises
    ------
    QuantizationError
        If `ratio` is not positive or is 2**16 or more.
    """
    try:
        scale = Dyadic.nearest(ratio, _MULTIPLIER_BITS)
    except ValueError as error:
        raise QuantizationError(f"node {node.name}: {error}") from error
    if scale.shift > LARGEST_SHIFT:
        scale = Dyadic(max(1, round(ratio * 2.0**LARGEST_SHIFT)), LARGEST_SHIFT)
    return scale


def multipliers(node: str, ratio: Array) -> tuple[Integers, int]:
    """U16 multipliers of all rows and the one shift that uses 16 bits for the largest.

    Parameters
    ----------
    node : str
        For the message.
    ratio : float64, shape (rows,)
        Positive real factors.

    Returns
    -------
    multiplier : int64, shape (rows,)
    shift : int

    Raises
    ------
    QuantizationError
        If a factor of 2**16 or more is needed.
    """
    largest = float(ratio.max())
    shift = min(_MULTIPLIER_BITS - 1 - int(np.floor(log2(largest))), LARGEST_SHIFT)
    if round(largest * 2.0**shift) > U16.max:
        shift -= 1
    if shift < 0:
        raise QuantizationError(
            f"node {node}: its output step is {largest:.3g} times finer than its input's; "
            "calibration data of this range cannot be scaled by the hardware"
        )
    return np.rint(ratio * 2.0**shift).clip(1, U16.max).astype(np.int64), shift
