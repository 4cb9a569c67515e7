"""Removal of what no output depends on."""

from __future__ import annotations

from dataclasses import fields, replace

from rtl_gen.ir.integer import IntegerGraph, IntegerOp


def constant_names(op: IntegerOp, graph: IntegerGraph) -> list[str]:
    """Names of the constants that an operator reads."""
    arguments = (getattr(op, field.name) for field in fields(op))
    return [item for item in arguments if isinstance(item, str) and item in graph.constants]


def remove_dead(graph: IntegerGraph) -> IntegerGraph:
    """Drop nodes that no output depends on, and constants that no node reads.

    Parameters
    ----------
    graph : IntegerGraph

    Returns
    -------
    IntegerGraph
        With the same inputs and outputs.
    """
    needed = set(graph.outputs.values())
    kept = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    nodes = tuple(reversed(kept))
    read = {name for node in nodes for name in constant_names(node.op, graph)}
    constants = {name: item for name, item in graph.constants.items() if name in read}
    return replace(graph, nodes=nodes, constants=constants)
