"""Lowering: a ModelGraph becomes an IntegerGraph, node by node in evaluation order.

The integer values of the calibration data are computed along the way, so that every matrix is
solved for the inputs that the chip will give it, not for those of the float model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log2

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import QuantizationError
from rtl_gen.ir import integer as ir
from rtl_gen.ir import model as real
from rtl_gen.ir import tables
from rtl_gen.ir.operator_rule import EPS_BITS
from rtl_gen.ir.range import attention_widths, normalized_bound
from rtl_gen.ir.types import IntType
from rtl_gen.ir.verify import verify
from rtl_gen.passes import remove_dead, share_constants, spread_gates
from rtl_gen.quantize.calibrate import trace
from rtl_gen.quantize.edge import guard_bits, plan_edges
from rtl_gen.quantize.examples import Examples
from rtl_gen.quantize.latent import unfold
from rtl_gen.quantize.lowering import LARGEST_SHIFT, Lowering, dyadic
from rtl_gen.quantize.network import Edge, Network, fused_relu
from rtl_gen.quantize.part import Part, joined, padded, rows
from rtl_gen.quantize.product import conv2d, embedding, linear, low_rank
from rtl_gen.quantize.recipe import Recipe
from rtl_gen.quantize.refusal import refuse
from rtl_gen.quantize.routed import routed
from rtl_gen.reference.operators import activation

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_ROTARY_BITS = 14
_T_BITS = 18


def quantize(
    model: real.ModelGraph,
    weights: Mapping[real.TensorRef, Array],
    recipe: Recipe,
    calibration: Examples,
    origin: Mapping[str, str],
    adapters: Sequence[Part] = (),
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
    adapters : sequence of Part
        Adapters that the ranges have to hold, too.

    Returns
    -------
    IntegerGraph
        Verified. The same arguments give the same graph.

    Raises
    ------
    QuantizationError
        If the model has an edge or a number that the integer operators cannot carry.
    """
    folded = model
    model, weights = unfold(folded, weights)
    refuse(model)
    adapters = [replace(part, weights=unfold(folded, part.weights)[1]) for part in adapters]
    parts = padded([Part(weights, calibration), *adapters])
    traces = [trace(model, part.weights, part.examples) for part in parts]
    values = {name: np.concatenate([found[name] for found in traces]) for name in traces[0]}
    calibration = joined(parts)
    counted = calibration.counted()
    if not counted.any():
        raise QuantizationError("calibration: the mask leaves no step that counts")
    samples = {name: value[counted] for name, value in values.items()}
    network = Network(model, weights, recipe, samples)
    lowering = Lowering(network, plan_edges(network), counted, calibration.steps)
    lowering.parts = [(r, p.weights) for r, p in zip(rows(parts), parts, strict=True)]
    _start(lowering, calibration)
    for node in model.nodes:
        _lower(lowering, node)
    graph = share_constants(remove_dead(spread_gates(_finish(lowering, origin))))
    try:
        verify(graph)
    except ValueError as error:
        raise QuantizationError(f"the integer graph breaks a rule: {error}") from error
    return graph


def _start(lowering: Lowering, calibration: Examples) -> None:
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
            case "memory":
                raise QuantizationError("the encoder's output has no integer form")
        lowering.inputs.append(ir.Input(item.name, item.kind, value))


def _finish(lowering: Lowering, origin: Mapping[str, str]) -> ir.IntegerGraph:
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


def _lower(lowering: Lowering, node: real.Node) -> None:
    if fused_relu(lowering.network.model, node):
        _fuse_relu(lowering, node)
        return
    match node.op:
        case real.LowRank():
            low_rank(lowering, node, node.op)
            return
        case real.Embedding(table):
            op: ir.IntegerOp = embedding(lowering, node, table)
        case real.Linear():
            op = linear(lowering, node, node.op)
        case real.Conv2d():
            op = conv2d(lowering, node, node.op)
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
            op = ir.Mul(dyadic(node, a * b / lowering.edges[node.name].scale))
        case real.MaxPool2d(kernel, stride):
            op = ir.MaxPool2d(kernel, stride)
        case real.Reshape():
            op = ir.Reshape()
        case real.Route() | real.Gate() | real.ExpertLinear() | real.Weigh():
            op = routed(lowering, node)
        case _:
            raise TypeError(f"node {node.name}: refuse() lets {type(node.op).__name__} through")
    lowering.node(node, op)


def _fuse_relu(lowering: Lowering, node: real.Node) -> None:
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


def _norm(lowering: Lowering, node: real.Node, op: real.Norm) -> ir.Norm:
    n = node.shape[0] // op.groups
    edge, source = lowering.edges[node.name], lowering.edges[node.inputs[0]]
    weights = lowering.network.weights
    gain = np.ones(n) if op.weight is None else weights[op.weight]
    gain = gain / _part_steps(node, edge, op.groups)
    fraction = 15
    while normalized_bound(n, fraction) >= 1 << (_T_BITS - 1):
        fraction -= 1
    # gain * 2**(shift - fraction) uses 16 bits
    largest = max(float(abs(gain).max()), 2.0**-LARGEST_SHIFT)
    shift = min(int(np.floor(log2(IntType(16).max / largest))) + fraction, LARGEST_SHIFT)
    if shift < 1:
        raise QuantizationError(f"node {node.name}: its gain is too large for its output scale")
    data = np.rint(gain * 2.0 ** (shift - fraction)).astype(np.int64)
    bias = None
    if op.bias is not None:
        offset = np.rint(weights[op.bias] / _part_steps(node, edge, op.groups) * 2.0**shift).astype(
            np.int64
        )
        type_ = IntType.holding(min(int(offset.min()), -1), max(int(offset.max()), 1))
        bias = lowering.constant(f"{node.name}.bias", type_, offset)
    eps = max(1, round(op.eps * (n / source.scale) ** 2))
    if eps >= 1 << EPS_BITS:
        raise QuantizationError(
            f"node {node.name}: its epsilon of {op.eps:g} takes {eps.bit_length()} bits, more than "
            f"{EPS_BITS}, because its input is as small as {source.scale:.2g} a step; scale the "
            "checkpoint's residual stream up"
        )
    return ir.Norm(
        gain=lowering.constant(f"{node.name}.gain", IntType(16), data),
        bias=bias,
        eps=eps,
        center=op.center,
        fraction=fraction,
        shift=shift,
        groups=op.groups,
    )


def _part_steps(node: real.Node, edge: Edge, groups: int) -> Array | float:
    """Real value of one step of a norm's output; parts that share a gain share their steps."""
    if groups > 1 and edge.channel is not None:
        raise QuantizationError(
            f"node {node.name}: its {groups} groups share one gain, so its channels cannot have "
            "factors of their own"
        )
    return edge.steps()


def _rotary(lowering: Lowering, node: real.Node, op: real.Rotary) -> ir.Rotary:
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


def _attention(lowering: Lowering, node: real.Node, op: real.Attention) -> ir.Attention:
    q, k, v = (lowering.edges[name].scale for name in node.inputs[:3])
    j = round(log2(v / lowering.edges[node.name].scale))
    context = lowering.network.model.context
    found = ir.Attention(
        heads=op.heads,
        kv_heads=op.kv_heads,
        head_dim=op.head_dim,
        context=context,
        score=dyadic(node, q * k * op.scale * log2(np.e) * 256),
        shift=31 - j,
        window=op.window if op.window < context else 0,
    )
    if op.sinks is None:
        return found
    types = [lowering.edges[name].type for name in node.inputs[:3]]
    kind = attention_widths(found, *types).s
    steps = np.rint(lowering.network.weights[op.sinks] / (q * k * op.scale))
    # A sink beyond every score takes nearly all or nothing of the softmax, wherever it is.
    scores = steps.clip(kind.min, kind.max).astype(np.int64)
    return replace(found, sinks=lowering.constant(f"{node.name}.sinks", kind, scores))


def _lookup(lowering: Lowering, node: real.Node, op: real.Activation) -> ir.Lookup:
    edge, source = lowering.edges[node.name], lowering.edges[node.inputs[0]]
    x = np.arange(source.type.min, source.type.max + 1).astype(np.float64) * source.scale
    y = np.rint(activation(x, op.kind, op.alpha, op.limit) / edge.scale).clip(
        edge.type.min, edge.type.max
    )
    return ir.Lookup(lowering.constant(f"{node.name}.table", edge.type, y.astype(np.int64)))
