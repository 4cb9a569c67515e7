"""Lowering of matrix products, convolutions and embedding tables."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden import low_rank as golden
from rtl_gen.ir import integer as ir
from rtl_gen.ir import model as real
from rtl_gen.ir.types import IntType
from rtl_gen.quantize.lowering import U16, Lowering, multipliers
from rtl_gen.quantize.matrix import Matrix, solve_matrix
from rtl_gen.quantize.region import pack_region, region
from rtl_gen.quantize.solver import nearest

Array = NDArray[np.float64]


def embedding(lowering: Lowering, node: real.Node, table: real.TensorRef) -> ir.Embedding:
    """Table of nearest integers, one scale a row."""
    assert isinstance(node.op, real.Embedding)
    weight = node.op.scale * lowering.network.weights[table]
    solution = nearest(
        weight,
        lowering.network.recipe.weight_type(node.name),
        _unit(lowering, node, 1.0, len(weight)),
    )
    type_ = lowering.network.recipe.weight_type(node.name)
    factors, shift = multipliers(node.name, solution.scale / lowering.edges[node.name].scale)
    return ir.Embedding(
        lowering.constant(f"{node.name}.table", type_, solution.integers),
        lowering.constant(f"{node.name}.multiplier", U16, factors),
        shift,
    )


def linear(lowering: Lowering, node: real.Node, op: real.Linear) -> ir.ConstMatVec:
    """Matrix solved for the integer calibration inputs of the node."""
    source = lowering.names.get(node.inputs[0], node.inputs[0])
    edge = lowering.edges[source]
    weight = op.scale * lowering.network.weights[op.weight]
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
        _unit(lowering, node, edge.scale, len(weight)),
    )
    return ir.ConstMatVec(*_requantized(lowering, node, matrix, edge.scale))


def low_rank(lowering: Lowering, node: real.Node, op: real.LowRank) -> None:
    """Add an adapter region; the calibration steps of an adapter get what its integers give."""
    x, y = (lowering.names.get(name, name) for name in node.inputs)
    shapes = {made.name: made.value.shape for made in lowering.nodes}
    shapes |= {item.name: item.value.shape for item in lowering.inputs}
    x_value, y_value = (lowering.value(name, shapes[name]) for name in (x, y))
    recipe = lowering.network.recipe
    element, hidden = IntType(recipe.adapter_bits), IntType(recipe.adapter_hidden_bits)
    draft = ir.LowRank(op.rank, element, hidden, 0, 0)
    if op.beside is not None:
        kernel = lowering.network.weights[op.beside.weight].shape[2:]
        draft = replace(draft, kernel=kernel, stride=op.beside.stride, padding=op.beside.padding)
    made = region(draft, x_value, y_value)
    lowering.node(node, made)
    result = lowering.integers[node.name].copy()  # without an adapter the value is y itself
    lowering.integers[node.name] = result
    for rows, weights in lowering.parts:
        if op.a not in weights:
            continue
        operands = [lowering.integers[name][rows] for name in (x, y)]
        samples = golden.seen(operands[0][lowering.counted[rows]], made)
        a, b = weights[op.a].reshape(op.rank, -1), weights[op.b]
        factors = pack_region(made, x_value, y_value, samples, a, b)
        out = lowering.nodes[-1].value.type
        result[rows] = golden.low_rank(operands[0], operands[1], factors, made, out)


def _target(lowering: Lowering, node: real.Node) -> Array:
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


def conv2d(lowering: Lowering, node: real.Node, op: real.Conv2d) -> ir.Conv2d:
    """Kernel solved as the matrix that multiplies every window."""
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
        _unit(lowering, node, edge.scale, out_ch),
    )
    matrix = Matrix(matrix.integers.reshape(weight.shape), matrix.scale, matrix.bias, matrix.type)
    constants = _requantized(lowering, node, matrix, edge.scale)
    return ir.Conv2d(*constants, op.stride, op.padding)


def _unit(lowering: Lowering, node: real.Node, step: float, rows: int) -> Array | None:
    """Scale of a row of weights whose factor is 1, if factors have to be powers of two."""
    if lowering.network.recipe.factors == "free":
        return None
    steps = np.broadcast_to(np.reshape(lowering.edges[node.name].steps(), -1), (rows,))
    return np.asarray(steps / step, np.float64)


def _requantized(
    lowering: Lowering, node: real.Node, matrix: Matrix, step: float
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
    return weight, bias, lowering.constant(f"{node.name}.multiplier", U16, factors), shift
