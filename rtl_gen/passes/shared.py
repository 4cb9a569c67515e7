"""Equal constants become one: rotary tables of all layers, embedding and head of a tied model."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from rtl_gen.ir.integer import IntegerGraph, IntegerOp


def share_constants(graph: IntegerGraph) -> IntegerGraph:
    """Let every node read the first of several constants of equal type and data.

    Parameters
    ----------
    graph : IntegerGraph

    Returns
    -------
    IntegerGraph
        Without the other copies.
    """
    first: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    name_of = {}
    for name, item in graph.constants.items():
        key = (str(item.type), item.data.shape, item.data.tobytes())
        name_of[name] = first.setdefault(key, name)
    nodes = tuple(replace(node, op=_renamed(node.op, name_of)) for node in graph.nodes)
    constants = {name: graph.constants[name] for name in first.values()}
    return replace(graph, nodes=nodes, constants=constants)


def _renamed(op: IntegerOp, name_of: dict[str, str]) -> IntegerOp:
    changes: dict[str, Any] = {}
    for field in fields(op):
        value = getattr(op, field.name)
        if isinstance(value, str):
            changes[field.name] = name_of[value]
    return replace(op, **changes)
