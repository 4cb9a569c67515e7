"""How every value of a network is carried in integers: type, scale and factors per channel.

Values joined by Add, MaxPool2d, Reshape or a fused ReLU have one scale. The type follows from what
reads the value (`docs/quantization.md`, "Widths").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import ceil, floor, log2

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import QuantizationError
from rtl_gen.ir import model as real
from rtl_gen.ir.types import IntType
from rtl_gen.quantize.calibrate import fitted, span
from rtl_gen.quantize.channel import balanced, channel_factors, importance
from rtl_gen.quantize.network import Edge, Network, fused_relu, is_relu
from rtl_gen.reference.operators import activation, sigmoid

Array = NDArray[np.float64]

LOOKUP_BITS = 10
"""Width of the input of a function table."""

ROTARY_HEADROOM_BITS = 2
"""Bits that a value before its rotation has above the range of the value after it."""

_RESIDUAL_MARGIN = 1.5
_WIDE_MARGIN = 1.25
_LOOKUP_SAMPLES = 1 << 15


def guard_bits(rotated: IntType) -> int:
    """Fraction bits of a rotation's 16-bit input beyond those of its output of type `rotated`."""
    return 16 - ROTARY_HEADROOM_BITS - rotated.width


def plan_edges(network: Network) -> dict[str, Edge]:
    """Edge of every value but tokens and positions.

    Parameters
    ----------
    network : Network

    Returns
    -------
    dict of str to Edge

    Raises
    ------
    QuantizationError
        If what reads a value asks for types that contradict each other.
    """
    classes = _classes(network.model)
    edges: dict[str, Edge] = {}
    # a rotation's input follows its output and an attention's output follows its values, so
    # these come last; no chain of them is longer than one
    tied = [members for members in classes if _tie(network, members) is not None]
    free = [members for members in classes if _tie(network, members) is None]
    for members in free:
        edge = _of_powers(network, members, _free_edge(network, members))
        edges.update(dict.fromkeys(members, edge))
    for node in network.model.nodes:
        if isinstance(node.op, real.Attention):
            edges |= balanced(network, node, node.op, edges)
            edges |= _scored_by_powers(network, node, node.op, edges)
    for members in tied:
        edge = _tied_edge(network, members, _tie(network, members), edges)
        edges.update(dict.fromkeys(members, edge))
    for node in network.model.nodes:
        if isinstance(node.op, real.Mul) and edges[node.name].channel is not None:
            scaled = node.inputs[1]
            edges[scaled] = _with_channel(network, scaled, edges[node.name].channel)
    for node in reversed(network.model.nodes):
        if isinstance(node.op, real.LowRank) and network.matrix(node.name) is not None:
            edges[node.inputs[1]] = edges[node.name]
    for members in classes:
        # slots share their experts' matrices, so also what those were scaled for
        widest = max((edges[name] for name in members), key=lambda edge: edge.scale)
        edges.update(dict.fromkeys(members, widest))
    return edges | {
        node.name: _routing_edge(network, node)
        for node in network.model.nodes
        if isinstance(node.op, real.Route | real.Gate)
    }


def _routing_edge(network: Network, node: real.Node) -> Edge:
    """Edge of a choice (indices) or of gates (14 fraction bits), the same for every model."""
    if isinstance(node.op, real.Gate):
        return Edge(IntType(15, signed=False), node.op.scale * 2.0**-14)
    experts = network.floats[node.inputs[0]].shape[-1]
    return Edge(IntType.holding(0, max(experts - 1, 1)), 1.0)


def _classes(model: real.ModelGraph) -> list[tuple[str, ...]]:
    """Values that must have one scale, in order of definition."""
    parent = {item.name: item.name for item in model.inputs if item.kind == "frame"}
    routing = {n.name for n in model.nodes if isinstance(n.op, real.Route | real.Gate)}
    parent |= {node.name: node.name for node in model.nodes if node.name not in routing}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in model.nodes:
        joins = isinstance(node.op, real.Add | real.MaxPool2d | real.Reshape)
        joins |= fused_relu(model, node)
        joined = node.inputs[1:] if isinstance(node.op, real.LowRank) else node.inputs
        for name in joined if joins or isinstance(node.op, real.LowRank) else ():
            parent[root(node.name)] = root(name)
    first: dict[object, real.Node] = {}
    for node in model.nodes:  # what the slots of a choice share: matrices, then their tables
        if isinstance(node.op, real.ExpertLinear):
            other = first.setdefault(node.op.weights, node)
            parent[root(node.inputs[0])] = root(other.inputs[0])
        elif isinstance(node.op, real.Activation) and not fused_relu(model, node):
            other = first.setdefault((node.op, root(node.inputs[0])), node)
        else:
            continue
        parent[root(node.name)] = root(other.name)
    members: dict[str, list[str]] = {}
    for name in parent:
        members.setdefault(root(name), []).append(name)
    return [tuple(names) for names in members.values()]


def _tie(network: Network, members: tuple[str, ...]) -> real.Node | None:
    """Rotary that reads, or Attention that defines, this class: its scale follows another's."""
    for name in members:
        node = network.producer(name)
        if node is not None and isinstance(node.op, real.Attention):
            return node
        for reader in network.readers(name):
            if isinstance(reader.op, real.Rotary):
                return reader
    return None


def _tied_edge(
    network: Network, members: tuple[str, ...], node: real.Node | None, edges: Mapping[str, Edge]
) -> Edge:
    if node is None:
        raise TypeError("not a tied class")
    if isinstance(node.op, real.Rotary):
        rotated = edges[node.name]
        return Edge(IntType(16), rotated.scale / (1 << guard_bits(rotated.type)), rotated.channel)
    if len(members) > 1 or not isinstance(node.op, real.Attention):
        raise QuantizationError(
            f"node {node.name}: attention must be read by matrix products, not added or reshaped"
        )
    source = edges[node.inputs[2]]
    channel = None
    if source.channel is not None:
        heads = source.channel.reshape(node.op.kv_heads, node.op.head_dim)
        channel = heads.repeat(node.op.heads // node.op.kv_heads, axis=0).reshape(-1)
    type_ = IntType(network.recipe.activation_width(node.name))
    x = network.floats[node.name] / (1.0 if channel is None else channel)
    wanted = fitted(x, type_, importance(network, node.name, channel))
    # shift = 31 - j: the step is the values' step over a power of two
    j = floor(log2(source.scale / wanted) + 0.5)
    return Edge(type_, source.scale / 2.0**j, channel)


def _free_edge(network: Network, members: tuple[str, ...]) -> Edge:
    width, reader = _width(network, members)
    positive = any(_follows_relu(network, name) for name in members)
    type_ = IntType(min(width, 15), signed=False) if positive else IntType(width)
    samples = [
        network.floats[name].reshape(len(network.floats[name]), -1)
        for name in members
        if not any(fused_relu(network.model, node) for node in network.readers(name))
    ]
    if any(_adds(network, name) for name in members):
        return Edge(type_, max(span(x, type_, _RESIDUAL_MARGIN) for x in samples))
    if reader == "lookup":
        return Edge(type_, _lookup_scale(network, members, type_))
    if reader == "attention":
        name = _alone(network, members)
        channel = channel_factors(network, name) if name else None
        x = np.concatenate(samples)
        return Edge(type_, fitted(x if channel is None else x / channel, type_), channel)
    if width >= 12:
        return Edge(type_, max(span(x, type_, _WIDE_MARGIN) for x in samples))
    channel = channel_factors(network, *members)
    if channel is not None:
        x = np.concatenate(samples) / channel
        weight = importance(network, members[0], channel)
        return Edge(type_, fitted(x, type_, weight), channel)
    return Edge(type_, max(fitted(x, type_) for x in samples))


def _of_powers(network: Network, members: tuple[str, ...], edge: Edge) -> Edge:
    """`edge`, or one near it whose step is a power of two, if the recipe asks for it.

    Steps of all values and of all weights are then what a network trained with such weights has.
    Channels carry a norm's learned gain, times powers of two, where neighbours absorb them.
    """
    if network.recipe.factors == "free":
        return edge
    nodes = [network.producer(name) for name in members]
    ops = [node.op for node in nodes if node is not None and isinstance(node.op, real.Norm)]
    channel = None
    if edge.channel is not None and ops and ops[0].weight is not None:
        learned = abs(network.weights[ops[0].weight])
        gain = np.where(learned > 0, learned, 1.0)
        channel = gain * 2.0 ** np.rint(np.log2(edge.channel / gain))
    return Edge(edge.type, 2.0 ** np.ceil(np.log2(edge.scale) - 0.25), channel)


def _scored_by_powers(
    network: Network, node: real.Node, op: real.Attention, edges: Mapping[str, Edge]
) -> dict[str, Edge]:
    """Queries whose products with the keys are scores times a power of two, if the recipe asks."""
    q_name, k_name = node.inputs[:2]
    if network.recipe.factors == "free" or op.sinks is not None:
        return {}
    if len(network.readers(q_name)) > 1 or q_name == k_name:
        return {}
    edge = edges[q_name]
    factor = log2(edge.scale * edges[k_name].scale * op.scale * log2(np.e))
    return {
        q_name: Edge(edge.type, edge.scale * 2.0 ** (ceil(factor - 0.25) - factor), edge.channel)
    }


def _with_channel(network: Network, name: str, channel: Array | None) -> Edge:
    """Edge of the Mul operand that carries the product's channel factors."""
    x = network.floats[name] / (1.0 if channel is None else channel)
    return Edge(IntType(16), span(x, IntType(16), _WIDE_MARGIN), channel)


def _width(network: Network, members: tuple[str, ...]) -> tuple[int, str]:
    """Bits of a class and the reader that decides them."""
    wants: dict[str, int] = {}
    for name in members:
        if _adds(network, name):
            wants["add"] = network.recipe.residual_bits
        if name in network.model.outputs.values():
            wants["output"] = 16
        for node in network.readers(name):
            match node.op:
                case real.Attention():
                    wants["attention"] = network.recipe.attention_bits
                case real.Activation() if not fused_relu(network.model, node):
                    wants["lookup"] = LOOKUP_BITS
                case real.LowRank() if node.inputs[0] != name:
                    pass
                case real.ExpertLinear() | real.Linear() | real.LowRank() | real.Conv2d():
                    width = network.recipe.activation_width(name)
                    wants["product"] = max(width, wants.get("product", 0))
                case real.Route(scores="sigmoid"):
                    wants["lookup"] = LOOKUP_BITS
                case real.Mul() | real.Norm() | real.Weigh():
                    wants["wide"] = 16
    strict = [key for key in ("attention", "lookup", "add") if key in wants]
    if len(strict) > 1:
        raise QuantizationError(
            f"value {members[0]}: read by {' and '.join(strict)}, which need different widths; "
            "no integer operator converts between them"
        )
    if "add" in wants and any(_follows_relu(network, name) for name in members):
        raise QuantizationError(
            f"value {members[0]}: a ReLU after or before Add is not supported: a sum is signed"
        )
    for key in ("attention", "lookup", "add", "output", "product", "wide"):
        if key in wants:
            return wants[key], key
    return 16, "output"


def _alone(network: Network, members: tuple[str, ...]) -> str | None:
    """The value of a class of one, or of a matrix product and the adapter region beside it."""
    if len(members) == 1:
        return members[0]
    name = members[-1]
    source = network.matrix(name)
    return name if source is not None and set(members) == {source.name, name} else None


def _adds(network: Network, name: str) -> bool:
    node = network.producer(name)
    summed = node is not None and isinstance(node.op, real.Add)
    return summed or any(isinstance(reader.op, real.Add) for reader in network.readers(name))


def _follows_relu(network: Network, name: str) -> bool:
    node = network.producer(name)
    return node is not None and is_relu(node)


def _lookup_scale(network: Network, members: tuple[str, ...], type_: IntType) -> float:
    scales = []
    for name in members:
        for node in network.readers(name):
            function: Callable[[Array], Array] | None = None
            if isinstance(node.op, real.Activation):
                op = node.op
                function = partial(activation, kind=op.kind, alpha=op.alpha, limit=op.limit)
            elif isinstance(node.op, real.Route):
                function = sigmoid
            if function is not None:
                flat = network.floats[name].reshape(-1)
                x = flat[:: -(-len(flat) // _LOOKUP_SAMPLES)][None]
                scales.append(fitted(x, type_, function=function))
    return max(scales)
