"""The IntegerGraph's rules (`docs/ir.md`): checked after load, after passes, before emission."""

from __future__ import annotations

from math import isfinite

import numpy as np

from rtl_gen.ir import integer as ir
from rtl_gen.ir.operator_rule import RULES, Site, expect


def verify(graph: ir.IntegerGraph) -> None:
    """Check every rule of ``docs/ir.md``.

    Parameters
    ----------
    graph : IntegerGraph

    Raises
    ------
    ValueError
        At the first broken rule; the message names the node, input, constant or output.
    """
    _verify_inputs(graph)
    _verify_tokens(graph)
    for name, constant in graph.constants.items():
        _verify_constant(name, constant)
    values = {item.name: item.value for item in graph.inputs}
    expect(len(values) == len(graph.inputs), "graph", "unique input names", "a repeated name")
    for node in graph.nodes:
        where = f"node {node.name}"
        expect(node.name not in values, where, "a name defined once", "a second definition")
        for name in node.inputs:
            expect(name in values, where, "inputs defined before use", f"undefined {name!r}")
        operands, rule = RULES[type(node.op)]
        expect(len(node.inputs) == operands, where, f"{operands} inputs", len(node.inputs))
        _verify_value(where, node.value)
        rule(Site(graph, node, tuple(values[name] for name in node.inputs)), node.op)
        values[node.name] = node.value
    for public, name in graph.outputs.items():
        expect(name in values, f"output {public}", "the name of a value", repr(name))


def _verify_inputs(graph: ir.IntegerGraph) -> None:
    expect(graph.context >= 1, "graph", "a context of at least 1", graph.context)
    kinds = [item.kind for item in graph.inputs]
    data = [kind for kind in kinds if kind != "position"]
    expect(len(data) == 1, "graph", "one token or frame input", kinds)
    expect(kinds.count("position") <= 1, "graph", "at most one position input", kinds)
    reads_tokens = data == ["token"]
    expect(
        (graph.vocabulary > 0) == reads_tokens,
        "graph",
        "a vocabulary if it reads tokens, else 0",
        graph.vocabulary,
    )
    for item in graph.inputs:
        where, type_ = f"input {item.name}", item.value.type
        if item.kind == "frame":
            _verify_value(where, item.value)
            continue
        top = (graph.vocabulary if item.kind == "token" else graph.context) - 1
        expect(item.value.shape == (), where, "shape ()", item.value.shape)
        holds = not type_.signed and type_.max >= top
        expect(holds, where, f"an unsigned type that holds {top}", type_)


def _verify_tokens(graph: ir.IntegerGraph) -> None:
    expect(len(graph.bos) <= 1, "graph", "at most one bos token", graph.bos)
    for token in graph.bos + graph.eos:
        in_range = 0 <= token < graph.vocabulary
        expect(in_range, "graph", f"bos and eos below {graph.vocabulary}", token)
    fits = graph.replay == 0 or 2 <= graph.replay < graph.context
    expect(fits, "graph", f"0 or 2 to {graph.context - 1} tokens to replay", graph.replay)
    draws = [node.name for node in graph.nodes if isinstance(node.op, ir.Sample)]
    expect(len(draws) <= 1, "graph", "at most one Sample node", draws)
    if draws:
        found = graph.outputs.get("token")
        expect(found == draws[0], "output token", f"the Sample node {draws[0]!r}", repr(found))


def _verify_value(where: str, value: ir.Value) -> None:
    expect(value.type.width <= 16, where, "a type of at most 16 bits", value.type)
    expect(all(n >= 1 for n in value.shape), where, "positive dimensions", value.shape)
    expect(isfinite(value.scale) and value.scale > 0, where, "a positive scale", value.scale)


def _verify_constant(name: str, constant: ir.Constant) -> None:
    where, data, type_ = f"constant {name}", constant.data, constant.type
    expect(data.dtype == np.int64, where, "int64 data", data.dtype)
    expect(data.size > 0, where, "at least one element", f"shape {data.shape}")
    expect(type_.width <= 48, where, "a type of at most 48 bits", type_)
    low, high = int(data.min()), int(data.max())
    inside = type_.min <= low and high <= type_.max
    expect(inside, where, f"elements of {type_}", f"[{low}, {high}]")
