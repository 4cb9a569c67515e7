"""How every value of a network is carried in integers: type, scale and factors per channel.

Values joined by Add, MaxPool2d, Reshape or a fused ReLU have one scale. The type follows from what
reads the value (`docs/quantization.md`, "Widths").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import floor, log2

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import QuantizationError
from rtl_gen.ir import model as real
from rtl_gen.ir.types import IntType
from rtl_gen.quantize.calibrate import fitted, span
from rtl_gen.quantize.recipe import Recipe
from rtl_gen.reference.operators import activation

Array = NDArray[np.float64]

LOOKUP_BITS = 10
"""Width of the input of a function table."""

ROTARY_HEADROOM_BITS = 2
"""Bits that a value before its rotation has above the range of the value after it."""

_QUERY_SHARE = 0.4
"""Exponent of the queries' range in a channel factor; 0.5 would give q and k the same range."""

_RESIDUAL_MARGIN = 1.5
_WIDE_MARGIN = 1.25
_LOOKUP_SAMPLES = 1 << 15


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


def guard_bits(rotated: IntType) -> int:
    """Fraction bits of a rotation's 16-bit input beyond those of its output of type `rotated`."""
    return 16 - ROTARY_HEADROOM_BITS - rotated.width


def is_relu(node: real.Node) -> bool:
    """Whether the node is a ReLU, which saturation at 0 computes."""
    return isinstance(node.op, real.Activation) and node.op.kind == "relu"


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
        edge = _free_edge(network, members)
        edges.update(dict.fromkeys(members, edge))
    for node in network.model.nodes:
        if isinstance(node.op, real.Attention):
            edges |= _balanced(network, node, node.op, edges)
    for members in tied:
        edge = _tied_edge(network, members, _tie(network, members), edges)
        edges.update(dict.fromkeys(members, edge))
    for node in network.model.nodes:
        if isinstance(node.op, real.Mul) and edges[node.name].channel is not None:
            scaled = node.inputs[1]
            edges[scaled] = _with_channel(network, scaled, edges[node.name].channel)
    return edges


def _classes(model: real.ModelGraph) -> list[tuple[str, ...]]:
    """Values that must have one scale, in order of definition."""
    parent = {item.name: item.name for item in model.inputs if item.kind == "frame"}
    parent |= {node.name: node.name for node in model.nodes}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in model.nodes:
        joins = isinstance(node.op, real.Add | real.MaxPool2d | real.Reshape) or is_relu(node)
        for name in node.inputs if joins else ():
            parent[root(node.name)] = root(name)
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
    wanted = fitted(x, type_, _importance(network, node.name, channel))
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
        if not any(is_relu(node) for node in network.readers(name))
    ]
    if any(_adds(network, name) for name in members):
        return Edge(type_, max(span(x, type_, _RESIDUAL_MARGIN) for x in samples))
    if reader == "lookup":
        return Edge(type_, _lookup_scale(network, members, type_))
    if reader == "attention":
        channel = _channel(network, members[0]) if len(members) == 1 else None
        x = samples[0] if channel is None else samples[0] / channel
        return Edge(type_, fitted(x, type_), channel)
    if width >= 12:
        return Edge(type_, max(span(x, type_, _WIDE_MARGIN) for x in samples))
    channel = _channel(network, members[0]) if len(members) == 1 else None
    if channel is not None:
        x = samples[0] / channel
        weight = _importance(network, members[0], channel)
        return Edge(type_, fitted(x, type_, weight), channel)
    return Edge(type_, max(fitted(x, type_) for x in samples))


def _balanced(
    network: Network, node: real.Node, op: real.Attention, edges: Mapping[str, Edge]
) -> dict[str, Edge]:
    """Edges of queries and keys with opposite channel factors, which leave the scores alone.

    A channel's queries and keys then have about the same range. The two channels that a rotation
    mixes share a factor, and so do the query heads that read one key head.
    """
    q_name, k_name = node.inputs[:2]
    sources = [_scalable(network, name, node.name) for name in (q_name, k_name)]
    if None in sources:
        return {}
    q, k = network.floats[q_name], network.floats[k_name]
    group = op.heads // op.kv_heads
    q_range = abs(q).reshape(len(q), op.kv_heads, group, 2, -1).max(axis=(0, 2))
    k_range = abs(k).reshape(len(k), op.kv_heads, 2, -1).max(axis=0)
    if "rotary" in sources:
        q_range, k_range = (
            np.broadcast_to(x.max(axis=1, keepdims=True), x.shape) for x in (q_range, k_range)
        )
    q_range, k_range = _away_from_zero(q_range), _away_from_zero(k_range)
    k_channel = k_range ** (1 - _QUERY_SHARE) / q_range**_QUERY_SHARE
    k_channel = k_channel.reshape(op.kv_heads, op.head_dim)
    q_channel = (1 / k_channel).repeat(group, axis=0).reshape(-1)
    k_channel = k_channel.reshape(-1)
    return {
        q_name: Edge(edges[q_name].type, fitted(q / q_channel, edges[q_name].type), q_channel),
        k_name: Edge(edges[k_name].type, fitted(k / k_channel, edges[k_name].type), k_channel),
    }


def _scalable(network: Network, name: str, attention: str) -> str | None:
    """How rows of a product can carry the factors of `name`: direct, through a rotation, or not."""
    node = network.producer(name)
    reads = [reader.name for reader in network.readers(name)]
    if node is None or reads != [attention]:
        return None
    if isinstance(node.op, real.Linear):
        return "direct"
    if isinstance(node.op, real.Rotary) and len(network.readers(node.inputs[0])) == 1:
        source = network.producer(node.inputs[0])
        return "rotary" if source is not None and isinstance(source.op, real.Linear) else None
    return None


def _with_channel(network: Network, name: str, channel: Array | None) -> Edge:
    """Edge of the Mul operand that carries the product's channel factors."""
    x = network.floats[name] / (1.0 if channel is None else channel)
    return Edge(IntType(16), span(x, IntType(16), _WIDE_MARGIN), channel)


def _width(network: Network, members: tuple[str, ...]) -> tuple[int, str]:
    """Bits of a class and the reader that decides them."""
    wants: dict[str, int] = {}
    for name in members:
        if _adds(network, name):
            wants["add"] = 16
        if name in network.model.outputs.values():
            wants["output"] = 16
        for node in network.readers(name):
            match node.op:
                case real.Attention():
                    wants["attention"] = network.recipe.attention_bits
                case real.Activation() if not is_relu(node):
                    wants["lookup"] = LOOKUP_BITS
                case real.Linear() | real.Conv2d():
                    width = network.recipe.activation_width(name)
                    wants["product"] = max(width, wants.get("product", 0))
                case real.Mul() | real.Norm():
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
            if isinstance(node.op, real.Activation):
                kind = node.op.kind
                x = network.floats[name].reshape(-1)
                x = x[:: max(1, len(x) // _LOOKUP_SAMPLES)]
                scales.append(fitted(x, type_, function=partial(activation, kind=kind)))
    return max(scales)


def _channel(network: Network, name: str) -> Array | None:
    """Factors that give every channel of a matrix product's input about the same range.

    They cost nothing: a Norm's gain, a Mul's second operand or the attention's values absorb them
    on one side, the columns of the weights on the other.
    """
    node = network.producer(name)
    readers = network.readers(name)
    if node is None:
        return None
    x = network.floats[name]
    if isinstance(node.op, real.Linear) and len(readers) == 1:
        # values of an attention whose result only matrix products read
        reader = readers[0]
        if not isinstance(reader.op, real.Attention) or reader.inputs[2] != name:
            return None
        if reader.inputs.count(name) > 1 or not _only_products(network, reader.name):
            return None
    elif isinstance(node.op, real.Mul):
        source = network.producer(node.inputs[1])
        alone = len(network.readers(node.inputs[1])) == 1 and node.inputs[0] != node.inputs[1]
        if source is None or not isinstance(source.op, real.Linear) or not alone:
            return None
        if not _only_products(network, name):
            return None
    elif not isinstance(node.op, real.Norm) or not _only_products(network, name):
        return None
    largest = _away_from_zero(abs(x).max(axis=0))
    return np.asarray(largest / np.exp(np.log(largest).mean()), np.float64)


def _away_from_zero(ranges: Array) -> Array:
    """Ranges with a floor for channels that are always about 0."""
    return np.asarray(np.maximum(ranges, 1e-3 * ranges.max() + 1e-30), np.float64)


def _only_products(network: Network, name: str) -> bool:
    readers = network.readers(name)
    kept = name not in network.model.outputs.values()
    return kept and bool(readers) and all(isinstance(node.op, real.Linear) for node in readers)


def _importance(network: Network, name: str, channel: Array | None) -> Array:
    """Squared norm of the weights that multiply every channel."""
    total: Array = np.zeros(network.floats[name].shape[1:])
    for node in network.readers(name):
        if isinstance(node.op, real.Linear):
            weight = network.weights[node.op.weight] * (1.0 if channel is None else channel)
            total = total + (weight**2).sum(axis=0).reshape(total.shape)
    return total if total.any() else np.ones_like(total)
