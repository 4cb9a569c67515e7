"""A computed gate becomes a vector as long as what it weighs, so that any unit can multiply by it.

The gate of a shared expert is a product with one row and a table behind it. A chip multiplies
vectors element by element; only gates of a router are held in registers. So the row is stored once
for every element: the same integers everywhere, at the price of one small product.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rtl_gen.ir.integer import (
    Constant,
    ConstMatVec,
    Gate,
    IntegerGraph,
    Lookup,
    Mul,
    Node,
    Weigh,
)


def spread_gates(graph: IntegerGraph) -> IntegerGraph:
    """Turn every `Weigh` by a single computed gate into a `Mul` by equal gates.

    Parameters
    ----------
    graph : IntegerGraph

    Returns
    -------
    IntegerGraph
        With the same outputs. Gates of routers stay, and so do gates that something else reads or
        that are not a matrix of one row with tables behind it.
    """
    for node in graph.nodes:
        made = _makers(graph, node)
        if made:
            graph = _spread(graph, node, made)
    return graph


def _makers(graph: IntegerGraph, weigh: Node) -> list[Node]:
    """The nodes that compute the gate of `weigh`, product first; empty if it is to stay."""
    if not isinstance(weigh.op, Weigh):
        return []
    nodes = {node.name: node for node in graph.nodes}
    made: list[Node] = []
    reader, name = weigh.name, weigh.inputs[1]
    while True:
        node = nodes.get(name)
        readers = [other.name for other in graph.nodes for x in other.inputs if x == name]
        if node is None or isinstance(node.op, Gate) or readers != [reader]:
            return []
        if name in graph.outputs.values() or node.value.shape != (1,) or node.value.channel:
            return []
        made.insert(0, node)
        if isinstance(node.op, ConstMatVec):
            return made
        if not isinstance(node.op, Lookup):
            return []
        reader, name = name, node.inputs[0]


def _spread(graph: IntegerGraph, weigh: Node, made: list[Node]) -> IntegerGraph:
    count = weigh.value.shape[0]
    product = made[0].op
    assert isinstance(product, ConstMatVec)
    assert isinstance(weigh.op, Weigh)
    names = [name for name in (product.weight, product.bias, product.multiplier) if name]
    constants = dict(graph.constants)
    renamed = {name: f"{made[0].name}.spread.{name.rsplit('.', 1)[-1]}" for name in names}
    for name, copy in renamed.items():
        constants[copy] = Constant(constants[name].type, np.repeat(constants[name].data, count, 0))
    wide = replace(
        product, weight=renamed[product.weight], multiplier=renamed[product.multiplier],
        bias=renamed[product.bias] if product.bias else None,
    )  # fmt: skip
    changed = {node.name: replace(node, value=replace(node.value, shape=(count,))) for node in made}
    changed[made[0].name] = replace(changed[made[0].name], op=wide)
    changed[weigh.name] = replace(weigh, op=Mul(weigh.op.scale))
    nodes = tuple(changed.get(node.name, node) for node in graph.nodes)
    return replace(graph, nodes=nodes, constants=constants)
