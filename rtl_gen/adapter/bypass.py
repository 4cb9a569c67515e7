"""The base that a chip with adapter regions is while no adapter is active."""

from __future__ import annotations

from dataclasses import replace

from rtl_gen.ir.integer import IntegerGraph, LowRank, Node


def bypass(graph: IntegerGraph) -> IntegerGraph:
    """`graph` without its adapter regions: every region's value is its operand y.

    Computes what `graph` computes without an adapter, value by value (``docs/ir.md``, "LowRank").
    """
    same: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(same.get(name, name) for name in node.inputs)
        if isinstance(node.op, LowRank):
            same[node.name] = inputs[1]
        else:
            nodes.append(replace(node, inputs=inputs))
    outputs = {public: same.get(name, name) for public, name in graph.outputs.items()}
    return replace(graph, nodes=tuple(nodes), outputs=outputs)
