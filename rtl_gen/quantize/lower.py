"""Lowering: a ModelGraph becomes an IntegerGraph, node by node in evaluation order.

The integer values of the calibration data are computed along the way, so that every matrix is
solved for the inputs that the chip will give it, not for those of the float model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log2, prod

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import QuantizationError
from rtl_gen.golden.interpreter import evaluate_sequences
from rtl_gen.ir import integer as ir
from rtl_gen.ir import model as real
from rtl_gen.ir import tables
from rtl_gen.ir.range import normalized_bound
from rtl_gen.ir.types import Dyadic, IntType
from rtl_gen.ir.verify import verify
from rtl_gen.passes import remove_dead, share_constants
from rtl_gen.quantize.calibrate import trace
from rtl_gen.quantize.edge import Edge, Network, guard_bits, is_relu, plan_edges
from rtl_gen.quantize.examples import Examples
from rtl_gen.quantize.matrix import Matrix, solve_matrix
from rtl_gen.quantize.recipe import Recipe
from rtl_gen.quantize.solver import nearest
from rtl_gen.reference.operators import activation

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_U16 = IntType(16, signed=False)
_MULTIPLIER_BITS = 16
_LARGEST_SHIFT = 47
_ROTARY_BITS = 14
_T_BITS = 18


def quantize(
    model: real.ModelGraph,
    weights: Mapping[real.TensorRef, Array],
    recipe: Recipe,
    calibration: Examples,
    origin: Mapping[str, str],
) -> ir.IntegerGraph:
    """Lower a network to exact integers.

    Parameters
    ----------
    model : ModelGraph
    weights : mapping of TensorRef to float64
        From `rtl_gen.reference.load_weights`.
    recipe : Recipe
    calibration : Examples
        Sequences no longer than the context; they choose ranges and guide the solver.
    origin : mapping of str to str
        Kept in the graph.

    Returns
    -------
    IntegerGraph
        Verified. The same arguments give the same graph.

    Raises
    ------
    QuantizationError
        If the model has an edge or a number that the integer operators cannot carry.
    """
    values = trace(model, weights, calibration)
    counted = calibration.counted()
    if not counted.any():
        raise QuantizationError("calibration: the mask leaves no step that counts")
    samples = {name: value[counted] for name, value in values.items()}
    network = Network(model, weights, recipe, samples)
    lowering = _Lowering(network, plan_edges(network), counted, calibration.steps)
    _start(lowering, calibration)
    for node in model.nodes:
        _lower(lowering, node)
    graph = share_constants(remove_dead(_finish(lowering, origin)))
    try:
        verify(graph)
    except ValueError as error:
        raise QuantizationError(f"the integer graph breaks a rule: {error}") from error
    return graph


@dataclass(slots=True)
class _Lowering:
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

    def constant(self, name: str, type_: IntType, data: Integers) -> str:
        """Add a constant and return its name."""
        self.constants[name] = ir.Constant(type_, data)
        return name

    def graph(self, outputs: Mapping[str, str], origin: Mapping[str, str]) -> ir.IntegerGraph:
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

    def node(self, node: real.Node, op: ir.IntegerOp) -> None:
        """Add the integer node of `node` and compute its calibration values."""
        edge = self.edges[node.name]
        inputs = tuple(self.names.get(name, name) for name in node.inputs)
        value = ir.Value(edge.type, node.shape, edge.scale)
        self.nodes.append(ir.Node(node.name, op, inputs, value))
        operands = [self.integers[name] for name in inputs]
        graph = self.graph({}, {})
        self.integers[node.name] = evaluate_sequences(graph, self.nodes[-1], operands, self.steps)

    def real_input(self, name: str) -> Array:
        """Return the counted values of `name`, real units over channel factors."""
        name = self.names.get(name, name)
        x = self.integers[name][self.counted]
        return np.asarray(x.reshape(len(x), -1) * self.edges[name].scale, np.float64)


def _start(lowering: _Lowering, calibration: Examples) -> None:
    model = lowering.network.model
    batch, steps = len(calibration.inputs), calibration.steps
    for item in model.inputs:
        match item.kind:
            case "token":
                type_ = IntType.holding(0, max(model.vocabulary - 1, 1))
                value = ir.Value(type_, ())
                lowering.integers[item.name] = calibration.inputs.reshape(-1).astype(np.int64)
            case "position":
                value = ir.Value(IntType.holding(0, max(model.context - 1, 1)), ())
                lowering.integers[item.name] = np.tile(np.arange(steps), batch)
            case "frame":
                edge = lowering.edges[item.name]
                value = ir.Value(edge.type, item.shape, edge.scale)
                x = np.rint(calibration.inputs / edge.scale)
                lowering.integers[item.name] = x.clip(edge.type.min, edge.type.max).astype(np.int64)
        lowering.inputs.append(ir.Input(item.name, item.kind, value))


def _finish(lowering: _Lowering, origin: Mapping[str, str]) -> ir.IntegerGraph:
    model = lowering.network.model
    outputs = {key: lowering.names.get(name, name) for key, name in model.outputs.items()}
    if model.vocabulary and "logits" in outputs:
        scale = lowering.edges[outputs["logits"]].scale
        # beta = scale * 2**(8 + shift) at temperature 1 lands in [512, 1023]
        shift = int(np.clip(np.floor(10 - log2(scale)) - 8, 0, 16))
        noise = lowering.constant("noise", IntType(16), tables.gumbel())
        value = ir.Value(IntType.holding(0, max(model.vocabulary - 1, 1)), ())
        op = ir.Sample(noise, shift)
        lowering.nodes.append(ir.Node("token", op, (outputs["logits"],), value))
        outputs["token"] = "token"
    return lowering.graph(outputs, origin)


def _lower(lowering: _Lowering, node: real.Node) -> None:
    if is_relu(node):
        _fuse_relu(lowering, node)
        return
    match node.op:
        case real.Embedding(table):
            op: ir.IntegerOp = _embedding(lowering, node, table)
        case real.Linear():
            op = _linear(lowering, node, node.op)
        case real.Conv2d():
            op = _conv2d(lowering, node, node.op)
        case real.Norm():
            op = _norm(lowering, node, node.op)
        case real.Rotary():
            op = _rotary(lowering, node, node.op)
        case real.Attention():
            op = _attention(lowering, node, node.op)
        case real.Activation():
            op = _lookup(lowering, node, node.op)
        case real.Add():
            op = ir.Add()
        case real.Mul():
            a, b = (lowering.edges[name].scale for name in node.inputs)
            op = ir.Mul(_dyadic(node, a * b / lowering.edges[node.name].scale))
        case real.MaxPool2d(kernel, stride):
            op = ir.MaxPool2d(kernel, stride)
        case real.Reshape():
            op = ir.Reshape()
    lowering.node(node, op)


def _fuse_relu(lowering: _Lowering, node: real.Node) -> None:
    """Drop a ReLU: the producer's unsigned type saturates at 0, so its value is the ReLU's."""
    source = node.inputs[0]
    producer = next((made for made in lowering.nodes if made.name == source), None)
    if producer is None or not isinstance(producer.op, ir.ConstMatVec | ir.Conv2d):
        raise QuantizationError(
            f"node {node.name}: a ReLU must follow a matrix product or convolution, found "
            f"{source!r}"
        )
    if len(lowering.network.readers(source)) > 1:
        raise QuantizationError(
            f"node {node.name}: its input {source!r} is read by another node too; a fused ReLU "
            "leaves no value before saturation"
        )
    lowering.names[node.name] = source


def _dyadic(node: real.Node, ratio: float) -> Dyadic:
    try:
        scale = Dyadic.nearest(ratio, _MULTIPLIER_BITS)
    except ValueError as error:
        raise QuantizationError(f"node {node.name}: {error}") from error
    if scale.shift > _LARGEST_SHIFT:
        scale = Dyadic(max(1, round(ratio * 2.0**_LARGEST_SHIFT)), _LARGEST_SHIFT)
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
    shift = min(_MULTIPLIER_BITS - 1 - int(np.floor(log2(largest))), _LARGEST_SHIFT)
    if round(largest * 2.0**shift) > _U16.max:
        shift -= 1
    if shift < 0:
        raise QuantizationError(
            f"node {node}: its output step is {largest:.3g} times finer than its input's; "
            "calibration data of this range cannot be scaled by the hardware"
        )
    return np.rint(ratio * 2.0**shift).clip(1, _U16.max).astype(np.int64), shift


def _embedding(lowering: _Lowering, node: real.Node, table: real.TensorRef) -> ir.Embedding:
    solution = nearest(
        lowering.network.weights[table], lowering.network.recipe.weight_type(node.name)
    )
    type_ = lowering.network.recipe.weight_type(node.name)
    factors, shift = multipliers(node.name, solution.scale / lowering.edges[node.name].scale)
    return ir.Embedding(
        lowering.constant(f"{node.name}.table", type_, solution.integers),
        lowering.constant(f"{node.name}.multiplier", _U16, factors),
        shift,
    )


def _linear(lowering: _Lowering, node: real.Node, op: real.Linear) -> ir.ConstMatVec:
    source = lowering.names.get(node.inputs[0], node.inputs[0])
    edge = lowering.edges[source]
    weight = lowering.network.weights[op.weight]
    if edge.channel is not None:
        weight = weight * edge.channel.reshape(-1)
    bias = None if op.bias is None else lowering.network.weights[op.bias]
    matrix = solve_matrix(
        weight,
        bias,
        lowering.network.recipe.weight_type(node.name),
        lowering.network.recipe.solver,
        lowering.real_input(source),
        _target(lowering, node),
    )
    return ir.ConstMatVec(*_requantized(lowering, node, matrix, edge.scale))


def _target(lowering: _Lowering, node: real.Node) -> Array:
    """Return what a product should give: the float output, plus what a sum still lacks.

    A product that is only added to a value computed before also makes up for that value's error.
    """
    floats = lowering.network.floats
    target = floats[node.name]
    readers = lowering.network.readers(node.name)
    if len(readers) == 1 and isinstance(readers[0].op, real.Add):
        (other,) = [name for name in readers[0].inputs if name != node.name] or [node.name]
        if other in lowering.integers:
            target = target + (floats[other] - lowering.real_input(other))
    return target


def _conv2d(lowering: _Lowering, node: real.Node, op: real.Conv2d) -> ir.Conv2d:
    source = lowering.names.get(node.inputs[0], node.inputs[0])
    edge = lowering.edges[source]
    weight = lowering.network.weights[op.weight]
    bias = None if op.bias is None else lowering.network.weights[op.bias]
    out_ch, *window = weight.shape
    x = lowering.real_input(source).reshape(-1, *lowering.network.floats[source].shape[1:])
    ph, pw = op.padding
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    views = np.lib.stride_tricks.sliding_window_view(padded, window[1:], axis=(2, 3))
    views = views[:, :, :: op.stride[0], :: op.stride[1]]
    pixels = views.transpose(0, 2, 3, 1, 4, 5).reshape(-1, prod(window))
    target = lowering.network.floats[node.name].transpose(0, 2, 3, 1).reshape(-1, out_ch)
    matrix = solve_matrix(
        weight.reshape(out_ch, -1),
        bias,
        lowering.network.recipe.weight_type(node.name),
        lowering.network.recipe.solver,
        pixels,
        target,
    )
    matrix = Matrix(matrix.integers.reshape(weight.shape), matrix.scale, matrix.bias, matrix.type)
    constants = _requantized(lowering, node, matrix, edge.scale)
    return ir.Conv2d(*constants, op.stride, op.padding)


def _requantized(
    lowering: _Lowering, node: real.Node, matrix: Matrix, step: float
) -> tuple[str, str | None, str, int]:
    """Constants of a matrix whose inputs have the real step `step`."""
    edge = lowering.edges[node.name]
    acc_step = matrix.scale * step
    out_step = edge.steps()
    ratio = acc_step / (out_step if isinstance(out_step, float) else out_step.reshape(-1))
    factors, shift = multipliers(node.name, ratio)
    weight = lowering.constant(f"{node.name}.weight", matrix.type, matrix.integers)
    bias = None
    if matrix.bias is not None:
        data = np.rint(matrix.bias / acc_step).astype(np.int64)
        type_ = IntType.holding(min(int(data.min()), -1), max(int(data.max()), 1))
        bias = lowering.constant(f"{node.name}.bias", type_, data)
    return weight, bias, lowering.constant(f"{node.name}.multiplier", _U16, factors), shift


def _norm(lowering: _Lowering, node: real.Node, op: real.Norm) -> ir.Norm:
    (n,) = node.shape
    edge, source = lowering.edges[node.name], lowering.edges[node.inputs[0]]
    weights = lowering.network.weights
    gain = np.ones(n) if op.weight is None else weights[op.weight]
    gain = gain / edge.steps()
    fraction = 15
    while normalized_bound(n, fraction) >= 1 << (_T_BITS - 1):
        fraction -= 1
    # gain * 2**(shift - fraction) uses 16 bits
    largest = max(float(abs(gain).max()), 2.0**-_LARGEST_SHIFT)
    shift = min(int(np.floor(log2(IntType(16).max / largest))) + fraction, _LARGEST_SHIFT)
    if shift < 1:
        raise QuantizationError(f"node {node.name}: its gain is too large for its output scale")
    data = np.rint(gain * 2.0 ** (shift - fraction)).astype(np.int64)
    bias = None
    if op.bias is not None:
        offset = np.rint(weights[op.bias] / edge.steps() * 2.0**shift).astype(np.int64)
        type_ = IntType.holding(min(int(offset.min()), -1), max(int(offset.max()), 1))
        bias = lowering.constant(f"{node.name}.bias", type_, offset)
    return ir.Norm(
        gain=lowering.constant(f"{node.name}.gain", IntType(16), data),
        bias=bias,
        eps=max(1, round(op.eps * (n / source.scale) ** 2)),
        center=op.center,
        fraction=fraction,
        shift=shift,
    )


def _rotary(lowering: _Lowering, node: real.Node, op: real.Rotary) -> ir.Rotary:
    bits = _ROTARY_BITS
    while op.scale * 2.0**bits > IntType(16).max:
        bits -= 1
    context = lowering.network.model.context
    angle = np.arange(context)[:, None] * np.array(op.frequencies)
    names = {}
    for name, table in (("cos", np.cos(angle)), ("sin", np.sin(angle))):
        data = np.rint(table * op.scale * 2.0**bits).astype(np.int64)
        names[name] = lowering.constant(f"{node.name}.{name}", IntType(16), data)
    shift = bits + guard_bits(lowering.edges[node.name].type)
    return ir.Rotary(op.heads, op.head_dim, names["cos"], names["sin"], shift)


def _attention(lowering: _Lowering, node: real.Node, op: real.Attention) -> ir.Attention:
    q, k, v = (lowering.edges[name].scale for name in node.inputs[:3])
    j = round(log2(v / lowering.edges[node.name].scale))
    return ir.Attention(
        heads=op.heads,
        kv_heads=op.kv_heads,
        head_dim=op.head_dim,
        context=lowering.network.model.context,
        score=_dyadic(node, q * k * op.scale * log2(np.e) * 256),
        shift=31 - j,
    )


def _lookup(lowering: _Lowering, node: real.Node, op: real.Activation) -> ir.Lookup:
    edge, source = lowering.edges[node.name], lowering.edges[node.inputs[0]]
    x = np.arange(source.type.min, source.type.max + 1).astype(np.float64) * source.scale
    y = np.rint(activation(x, op.kind) / edge.scale).clip(edge.type.min, edge.type.max)
    return ir.Lookup(lowering.constant(f"{node.name}.table", edge.type, y.astype(np.int64)))
