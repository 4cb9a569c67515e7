"""An adapter applied to the float network: merged into its weights, or beside them in regions."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtl_gen.adapter.reader import LoraAdapter
from rtl_gen.errors import CheckpointError, UnsupportedError
from rtl_gen.ir import model as real

Array = NDArray[np.float64]
Weights = Mapping[real.TensorRef, Array]


def merge(
    graph: real.ModelGraph, weights: Weights, adapter: LoraAdapter
) -> tuple[real.ModelGraph, dict[real.TensorRef, Array]]:
    """Network whose weights are ``weight + b @ a``; an adapter of any operator with weights.

    Tensors that several nodes share (a tied embedding) change only where the adapter sits.

    Parameters
    ----------
    graph : ModelGraph
    weights : mapping of TensorRef to float64
    adapter : LoraAdapter

    Returns
    -------
    graph : ModelGraph
        With references of their own for the adapted tensors.
    weights : dict of TensorRef to float64

    Raises
    ------
    CheckpointError
        If an update has another shape than the tensor it belongs to.
    """
    merged = dict(weights)
    nodes = []
    for node in graph.nodes:
        pair, op = adapter.pairs.get(node.name), node.op
        if pair is None:
            nodes.append(node)
            continue
        ref = real.TensorRef(f"{node.name}.merged")
        if isinstance(op, real.Embedding):
            merged[ref] = _sum(weights[op.table], pair.delta().T, node.name)
            nodes.append(replace(node, op=replace(op, table=ref)))
        elif isinstance(op, real.Linear | real.Conv2d):
            merged[ref] = _sum(weights[op.weight], pair.delta(), node.name)
            nodes.append(replace(node, op=replace(op, weight=ref)))
        else:
            raise TypeError(f"node {node.name} has no weight")
    return replace(graph, nodes=tuple(nodes)), merged


def _sum(weight: Array, delta: Array, node: str) -> Array:
    if weight.shape != delta.shape:
        raise CheckpointError(
            f"node {node}: the adapter's update has shape {list(delta.shape)}, the base's tensor "
            f"{list(weight.shape)}; the adapter belongs to another base"
        )
    return weight + delta


def beside(
    graph: real.ModelGraph, weights: Weights, adapter: LoraAdapter
) -> dict[real.TensorRef, Array]:
    """Weights of a network with adapter regions, the adapter's factors in them.

    Parameters
    ----------
    graph : ModelGraph
        From `rtl_gen.adapter.region.insert`.
    weights : mapping of TensorRef to float64
        Of the base.
    adapter : LoraAdapter

    Returns
    -------
    dict of TensorRef to float64
        Factors are filled with zeros up to the rank of their region; a region that the adapter
        leaves alone has zeros only.

    Raises
    ------
    UnsupportedError
        If the adapter changes a tensor without a region or has a higher rank than one.
    """
    by_target = {
        node.name.removesuffix(SUFFIX): (node, node.op)
        for node in graph.nodes
        if isinstance(node.op, real.LowRank)
    }
    ranks = {target: op.rank for target, (_, op) in by_target.items()}
    tables = {node.name for node in graph.nodes if isinstance(node.op, real.Embedding)}
    check_fit(adapter, ranks, tables)
    shapes = {item.name: item.shape for item in graph.inputs}
    shapes |= {item.name: item.shape for item in graph.nodes}
    found = dict(weights)
    for target, (node, op) in by_target.items():
        window = (int(np.prod(shapes[node.inputs[0]])),)
        if op.beside is not None:
            window = weights[op.beside.weight].shape[1:]
        a, b = np.zeros((op.rank, *window)), np.zeros((node.shape[0], op.rank))
        pair = adapter.pairs.get(target)
        if pair is not None:
            a[: pair.rank], b[:, : pair.rank] = pair.a, pair.b
        found[op.a], found[op.b] = a, b
    return found


SUFFIX = ".adapted"
"""A region's node is named like the node it adapts, with this behind."""


def check_fit(adapter: LoraAdapter, ranks: Mapping[str, int], tables: Container[str]) -> None:
    """Refuse an adapter that the regions of a network cannot hold.

    Parameters
    ----------
    adapter : LoraAdapter
    ranks : mapping of str to int
        Of the regions, by the node they stand beside.
    tables : container of str
        Embeddings, which no region can stand beside.

    Raises
    ------
    UnsupportedError
        If the adapter changes what has no region, or has a higher rank than one.
    """
    for target, pair in adapter.pairs.items():
        if target in tables:
            raise UnsupportedError(
                f"adapter {adapter.name}: it changes {target}, which is a table, and "
                "regions stand beside matrix products and convolutions only; merge it into the "
                "checkpoint (merge_and_unload of PEFT) and etch that, or train an adapter of these"
            )
        if target not in ranks:
            raise UnsupportedError(
                f"adapter {adapter.name}: it changes {target}, which has no adapter region "
                f"(regions: {', '.join(list(ranks)[:4]) or 'none'}"
                f"{', …' if len(ranks) > 4 else ''}); name it in the model's adapters.tensors "
                "and build the chip again, or train an adapter of the others"
            )
        if pair.rank > ranks[target]:
            raise UnsupportedError(
                f"adapter {adapter.name}: its update of {target} has rank {pair.rank}, the chip's "
                f"region holds {ranks[target]}; raise adapters.rank of the model and build the "
                f"chip again, or train an adapter of rank {ranks[target]}"
            )
