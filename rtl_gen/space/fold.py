"""What depends on token and position alone is a table: computed now, for every one of them.

In a chip in space that is every embedding, and the sums and norms behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.interpreter import evaluate
from rtl_gen.ir import integer as ir

DEPTH = 4096
"""Most words of such a table."""

FOLDED = (ir.Embedding, ir.Add, ir.Norm, ir.Mul, ir.Lookup, ir.Rotary, ir.Reshape)


@dataclass(frozen=True)
class Table:
    """A value for every token, position or pair of them.

    Parameters
    ----------
    inputs : tuple of str
        Kinds of the graph's inputs that choose the word, the lowest bits first: ``token``,
        ``position``.
    bits : tuple of int
        Of each.
    words : int64, shape (2 ** sum(bits), n)
        Zeros where an input is out of its range.
    """

    inputs: tuple[str, ...]
    bits: tuple[int, ...]
    words: NDArray[np.int64]


def bits_of(count: int) -> int:
    """Address bits of `count` words."""
    return max(1, (count - 1).bit_length())


def fold(graph: ir.IntegerGraph, matrices: bool = False) -> dict[str, Table]:
    """Tables of all values that can be one, by name.

    Parameters
    ----------
    graph : IntegerGraph
    matrices : bool
        Products of matrices become tables, too.

    Raises
    ------
    ValueError
        If the graph reads neither token nor position.
    """
    ranges = {"token": graph.vocabulary, "position": graph.context}
    depends: dict[str, frozenset[str]] = {
        item.name: frozenset({item.kind} if item.kind in ranges else {"frame"})
        for item in graph.inputs
    }
    kinds = {item.name: item.kind for item in graph.inputs}
    folded = (*FOLDED, ir.ConstMatVec) if matrices else FOLDED
    known: dict[str, NDArray[np.int64]] = {}
    tables: dict[str, Table] = {}
    everywhere = np.meshgrid(
        np.arange(graph.vocabulary or 1), np.arange(graph.context), indexing="ij"
    )
    values = dict(
        zip(("token", "position"), (axis.reshape(-1) for axis in everywhere), strict=True)
    )
    known |= {name: values[kind] for name, kind in kinds.items() if kind in values}
    for node in graph.nodes:
        needs = frozenset().union(*(depends[name] for name in node.inputs))
        depends[node.name] = needs
        order = tuple(kind for kind in ("token", "position") if kind in needs)
        bits = tuple(bits_of(ranges[kind]) for kind in order)
        fits = needs <= set(ranges) and 1 << sum(bits) <= DEPTH
        if not fits or not isinstance(node.op, folded) or any(i not in known for i in node.inputs):
            continue
        value = evaluate(graph, node, [known[name] for name in node.inputs])
        known[node.name] = value
        words = np.zeros((1 << sum(bits), value.reshape(len(value), -1).shape[1]), np.int64)
        address, low = np.zeros(len(value), np.int64), 0
        for kind, size in zip(order, bits, strict=True):
            address += values[kind] << low
            low += size
        words[address] = value.reshape(len(value), -1)
        tables[node.name] = Table(order, bits, words)
    return tables
