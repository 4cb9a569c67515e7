"""Factors per channel that neighbouring constants absorb: finer steps at no cost in hardware."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir import model as real
from rtl_gen.quantize.calibrate import fitted
from rtl_gen.quantize.network import Edge, Network

Array = NDArray[np.float64]


_QUERY_SHARE = 0.4
"""Exponent of the queries' range in a channel factor; 0.5 would give q and k the same range."""


def balanced(
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
    halves = 2 if "rotary" in sources else 1
    q_range = abs(q).reshape(len(q), op.kv_heads, group, halves, -1).max(axis=(0, 2))
    k_range = abs(k).reshape(len(k), op.kv_heads, halves, -1).max(axis=0)
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
    if network.matrix(name) is not None:
        return "direct"
    if isinstance(node.op, real.Rotary) and len(network.readers(node.inputs[0])) == 1:
        return "rotary" if network.matrix(node.inputs[0]) is not None else None
    return None


def channel_factors(network: Network, *names: str) -> Array | None:
    """Factors that give every channel of a matrix product's input about the same range.

    Several names are the slots of one choice, which share their factors.

    They cost nothing: a Norm's gain, a Mul's second operand or the attention's values absorb them
    on one side, the columns of the weights on the other.
    """
    if not all(_absorbed(network, name) for name in names):
        return None
    largest = np.max([abs(network.floats[name]).max(axis=0) for name in names], axis=0)
    largest = _away_from_zero(largest)
    return np.asarray(largest / np.exp(np.log(largest).mean()), np.float64)


def _absorbed(network: Network, name: str) -> bool:
    """Whether neighbours of a value can absorb factors of its channels."""
    node = network.producer(name)
    readers = network.readers(name)
    if node is None:
        return False
    if network.matrix(name) is not None and len(readers) == 1:
        # values of an attention whose result only matrix products read
        reader = readers[0]
        if not isinstance(reader.op, real.Attention) or reader.inputs[2] != name:
            return False
        if reader.inputs.count(name) > 1 or not _only_products(network, reader.name):
            return False
    elif isinstance(node.op, real.Mul):
        source = network.matrix(node.inputs[1])
        alone = len(network.readers(node.inputs[1])) == 1 and node.inputs[0] != node.inputs[1]
        if source is None or not alone:
            return False
        if not _only_products(network, name):
            return False
    elif not isinstance(node.op, real.Norm) or node.op.groups > 1:
        return False
    else:
        return _only_products(network, name)
    return True


def _away_from_zero(ranges: Array) -> Array:
    """Ranges with a floor for channels that are always about 0."""
    return np.asarray(np.maximum(ranges, 1e-3 * ranges.max() + 1e-30), np.float64)


def _only_products(network: Network, name: str) -> bool:
    readers = network.readers(name)
    kept = name not in network.model.outputs.values()
    return kept and bool(readers) and all(network.multiplies(node, name) for node in readers)


def importance(network: Network, name: str, channel: Array | None) -> Array:
    """Squared norm of the weights that multiply every channel."""
    total: Array = np.zeros(network.floats[name].shape[1:])
    for node in network.readers(name):
        if isinstance(node.op, real.Linear):
            weight = network.weights[node.op.weight] * (1.0 if channel is None else channel)
            total = total + (weight**2).sum(axis=0).reshape(total.shape)
        elif isinstance(node.op, real.ExpertLinear):
            for ref in node.op.weights:
                weight = network.weights[ref] * (1.0 if channel is None else channel)
                total = total + (weight**2).sum(axis=0) / len(node.op.weights)
    return total if total.any() else np.ones_like(total)
