"""Tensors of a graph, read from the memories that an instruction addresses.

This is the inverse of what `rtl_gen.images` writes, made from ``docs/evidence.md`` ("Where a chip
keeps its numbers") and sharing no code with it: a wrong layout on either side shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from flow.evidence.design import EvidenceError
from flow.evidence.layout import Integers, Reader, Tensor
from rtl_gen.ir import integer as ir
from rtl_gen.ir.types import IntType

MULTIPLIER_BITS = 16
GAIN_BITS = 16
ANGLE_BITS = 16


def stacks(
    entries: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, int]]
) -> Iterator[range]:
    """Instructions whose etched matrices lie below one another.

    Each feeds the lanes (`group_rows`) and lets its own rows out (`rows`); while more rows have
    been fed than let out, the next product's are among them.
    """
    left = begin = 0
    for index, (entry, row) in enumerate(zip(entries, rows, strict=True)):
        if entry["head"] != "matvec" or row.get("source", 0) or row.get("expert", 0):
            continue
        begin = begin if left else index
        left += 0 if row.get("continued", 0) else row["group_rows"]
        left = max(0, left - row["rows"])
        if not left:
            yield range(begin, index + 1)


def of_node(
    reader: Reader, node: ir.Node, row: Mapping[str, int], entry: Mapping[str, Any]
) -> Iterator[Tensor]:
    """Tensors of one node, but for the weights of etched matrices, which share groups."""
    head, op = entry["head"], node.op
    if isinstance(op, ir.ConstMatVec | ir.Conv2d) and head == "matvec":
        yield from _rows(reader, op, "matvec_row", row["row_base"], _order(reader, entry))
    elif isinstance(op, ir.ConstMatVec) and head == "etched":
        yield from _rows(reader, op, "etched_row", row["etched_row"], _order(reader, entry))
        yield from _wired(reader, op, node, row["etched_core"], _order(reader, entry))
    elif isinstance(op, ir.ExpertMatVec) and head == "matvec":
        yield from _experts(reader, op, row)
    elif isinstance(op, ir.ExpertMatVec) and head == "etched":
        yield from _expert_rows(reader, op, "etched_row", row["etched_row"], row["row_stride"])
        yield from _wired_experts(reader, op, node, row["etched_core"])
    elif isinstance(op, ir.Embedding) and head == "embedding":
        yield from _embedding(reader, op, row)
    elif isinstance(op, ir.Norm) and head == "norm":
        yield from _norm(reader, op, row)
    elif isinstance(op, ir.Rotary) and "rotary" in entry["tail"]:
        yield from _rotary(reader, op, row)
    elif isinstance(op, ir.Attention) and head == "attend" and op.sinks is not None:
        base, together = row["sink_base"], int(reader.manifest["plan"]["heads"])
        width, index = reader.width("attention_sink", together), np.arange(op.heads)
        place = (base + index // together, index % together * width)
        data = reader.numbers("attention_sink", *place, width, signed=True)
        yield Tensor(op.sinks, f"attention_sink, word {base}", data)
    elif isinstance(op, ir.Route) and head == "route" and op.bias is not None:
        base = row["bias_base"]
        (experts,) = reader.graph.constants[op.bias].data.shape
        width, word = reader.width("router_bias", 1), base + np.arange(experts)
        data = reader.numbers("router_bias", word, np.array(0), width, signed=True)
        yield Tensor(op.bias, f"router_bias, word {base}", data)
    elif isinstance(op, ir.Lookup) and "lookup" in entry["tail"]:
        low = reader.graph.value(node.inputs[0]).type.min
        base = row["lookup_offset"] + low
        shape = reader.graph.constants[op.table].data.shape
        word = base + np.arange(prod(shape))
        width = reader.width("lookup", 1)
        data = reader.numbers("lookup", word, np.array(0), width, signed=True)
        yield Tensor(op.table, f"lookup, word {base}", data.reshape(shape))
    elif isinstance(op, ir.Sample):
        shape = reader.graph.constants[op.noise].data.shape
        width = reader.width("gumbel", 1)
        data = reader.numbers("gumbel", np.arange(prod(shape)), np.array(0), width, signed=True)
        yield Tensor(op.noise, "gumbel, word 0", data.reshape(shape))


def _order(reader: Reader, entry: Mapping[str, Any]) -> Integers:
    """Row of the matrix that leaves as the k-th, for every k.

    Rows that a rotation follows, at once or behind an adapter region, leave head by head, a beat of
    the head's first half and a beat of its second half by turns.
    """
    rows = reader.graph.constants[_product(reader, entry).weight].data.shape[0]
    found = [node for node in reader.graph.nodes if node.name in entry["nodes"]]
    rotary = next((node.op for node in found if isinstance(node.op, ir.Rotary)), None)
    if rotary is not None and "rotary" not in entry["tail"]:
        rotary = None
    elif rotary is None and len(found) == 1:
        rotary = _behind_region(reader.graph, found[0].name)
    place = np.arange(rows)
    if rotary is None:
        return place
    half, beat = rotary.head_dim // 2, reader.elements
    head, inside = place // rotary.head_dim, place % rotary.head_dim
    pair, element = inside // beat, inside % beat
    return head * rotary.head_dim + pair % 2 * half + pair // 2 * beat + element


def _behind_region(graph: ir.IntegerGraph, name: str) -> ir.Rotary | None:
    """Rotation of the product `name` as adapter regions change it."""
    adapted = name
    for node in graph.nodes:
        if isinstance(node.op, ir.LowRank) and node.inputs[1] == adapted:
            adapted = node.name
    readers = (node.op for node in graph.nodes if adapted in node.inputs and adapted != name)
    return next((op for op in readers if isinstance(op, ir.Rotary)), None)


def _product(reader: Reader, entry: Mapping[str, Any]) -> ir.ConstMatVec | ir.Conv2d:
    """The product that an instruction of the matrix unit computes.

    Raises
    ------
    EvidenceError
        If there is not exactly one.
    """
    nodes = [node for node in reader.graph.nodes if node.name in entry["nodes"]]
    ops = [node.op for node in nodes if isinstance(node.op, ir.ConstMatVec | ir.Conv2d)]
    if len(ops) != 1:
        raise EvidenceError(f"{len(ops)} products in one instruction: {entry['nodes']}")
    return ops[0]


def _matrix(reader: Reader, base: int, rows: int, columns: int) -> Integers:
    """Rows from word `base` on, filled up to whole groups of `lanes`.

    In a group lie, word after word, `elements` columns of every row.
    """
    lanes, elements = reader.lanes, reader.elements
    width = reader.width("matvec_weight", lanes * elements)
    r, k = np.meshgrid(np.arange(-(-rows // lanes) * lanes), np.arange(columns), indexing="ij")
    word = base + r // lanes * (columns // elements) + k // elements
    offset = (r % lanes * elements + k % elements) * width
    return reader.numbers("matvec_weight", word, offset, width, signed=True)


def of_stack(reader: Reader, stack: range, rows: Sequence[Mapping[str, int]]) -> Iterator[Tensor]:
    """Matrices below one another.

    Raises
    ------
    EvidenceError
        If an instruction does not go on where the one before ends, or rows behind the last are not
        zero.
    """
    entries = reader.manifest["schedule"]
    pieces = [(_product(reader, entries[k]), _order(reader, entries[k])) for k in stack]
    shapes = [reader.graph.constants[op.weight].data.shape for op, _ in pieces]
    total, columns = sum(shape[0] for shape in shapes), prod(shapes[0][1:])
    base = rows[stack[0]]["weight_base"]
    _check_bases(reader, [rows[k] for k in stack], columns, pieces[0][0].weight)
    found = _matrix(reader, base, total, columns)
    if found[total:].any():
        raise EvidenceError(f"{pieces[-1][0].weight}: rows behind the last are not zero")
    first = 0
    for (op, order), shape in zip(pieces, shapes, strict=True):
        weight = np.zeros((shape[0], columns), np.int64)
        weight[order] = found[first : first + shape[0]]
        first += shape[0]
        yield Tensor(op.weight, f"matvec_weight, word {base}", weight.reshape(shape))


def _check_bases(
    reader: Reader, stack: Sequence[Mapping[str, int]], columns: int, first: str
) -> None:
    """Each instruction feeds the groups behind those of the one before."""
    groups, base = 0, stack[0]["weight_base"]
    for row in stack:
        if row.get("continued", 0):
            continue
        expected = base + groups * (columns // reader.elements)
        if row["weight_base"] != expected:
            raise EvidenceError(
                f"products from {first} on: one reads weights from word {row['weight_base']}, "
                f"not {expected}, where those before it end"
            )
        groups += -(-row["group_rows"] * reader.elements // reader.lanes)


def _rows(
    reader: Reader, op: ir.ConstMatVec | ir.Conv2d, memory: str, base: int, order: Integers
) -> Iterator[Tensor]:
    """Multiplier and bias of every row, in the order in which rows leave."""
    multiplier, bias = np.zeros((2, len(order)), np.int64)
    multiplier[order], bias[order] = _row_numbers(reader, memory, base, len(order))
    yield Tensor(op.multiplier, f"{memory}, word {base}", multiplier)
    yield from _bias(op.bias, op.weight, f"{memory}, word {base}", bias)


def _bias(name: str | None, of: str, where: str, data: Integers) -> Iterator[Tensor]:
    """The bias beside `of`.

    Raises
    ------
    EvidenceError
        If there is one that the graph has not.
    """
    if name is not None:
        yield Tensor(name, where, data)
    elif data.any():
        raise EvidenceError(f"{of} has no bias, but {where} holds one")


def _wired(
    reader: Reader, op: ir.ConstMatVec, node: ir.Node, index: int, order: Integers
) -> Iterator[Tensor]:
    """Weights of a matrix that is an adder graph."""
    if reader.cores is None:
        return
    x = reader.graph.value(node.inputs[0]).type
    found = reader.cores.matrix(index, len(order), IntType(x.width + (not x.signed))).data
    if found.shape != reader.graph.constants[op.weight].data.shape:
        raise EvidenceError(f"{op.weight}: etched_core{index} has the shape {found.shape}")
    weight = np.zeros_like(found)
    weight[order] = found
    yield Tensor(op.weight, f"etched_core{index}", weight)


def _wired_experts(
    reader: Reader, op: ir.ExpertMatVec, node: ir.Node, index: int
) -> Iterator[Tensor]:
    """Weights of all experts, an adder graph each; the hardware adds the choice to the first."""
    if reader.cores is None:
        return
    x = reader.graph.value(node.inputs[0]).type
    kind = IntType(x.width + (not x.signed))
    count, rows, columns = reader.graph.constants[op.weight].data.shape
    found = [reader.cores.matrix(index + expert, rows, kind).data for expert in range(count)]
    wrong = {matrix.shape for matrix in found} - {(rows, columns)}
    if wrong:
        raise EvidenceError(f"{op.weight}: etched_core{index} and on have the shapes {wrong}")
    yield Tensor(op.weight, f"etched_core{index} to {index + count - 1}", np.stack(found))


def _row_numbers(reader: Reader, memory: str, base: int, count: int) -> tuple[Integers, Integers]:
    """Multipliers and biases of `count` rows stored beat after beat."""
    first, offset, pitch = reader.stream(memory, base, count)
    bias = (offset + MULTIPLIER_BITS, pitch - MULTIPLIER_BITS)
    return (
        reader.numbers(memory, first, offset, MULTIPLIER_BITS, signed=False),
        reader.numbers(memory, first, *bias, signed=True),
    )


def _experts(reader: Reader, op: ir.ExpertMatVec, row: Mapping[str, int]) -> Iterator[Tensor]:
    """Matrices of all experts, each at its own address; the hardware adds the stride."""
    shape = reader.graph.constants[op.weight].data.shape
    count, rows, columns = shape
    weight = np.zeros(shape, np.int64)
    for expert in range(count):
        base = row["weight_base"] + expert * row["weight_stride"]
        found = _matrix(reader, base, rows, columns)
        if found[rows:].any():
            raise EvidenceError(f"{op.weight}: rows of expert {expert} behind the last are not 0")
        weight[expert] = found[:rows]
    yield Tensor(op.weight, f"matvec_weight, word {row['weight_base']}", weight)
    yield from _expert_rows(reader, op, "matvec_row", row["row_base"], row["row_stride"])


def _expert_rows(
    reader: Reader, op: ir.ExpertMatVec, memory: str, base: int, stride: int
) -> Iterator[Tensor]:
    """Multipliers and biases of the rows of all experts."""
    shape = reader.graph.constants[op.multiplier].data.shape
    count, rows = shape
    multiplier, bias = np.zeros((2, *shape), np.int64)
    for expert in range(count):
        found = _row_numbers(reader, memory, base + expert * stride, rows)
        multiplier[expert], bias[expert] = found
    yield Tensor(op.multiplier, f"{memory}, word {base}", multiplier)
    yield from _bias(op.bias, op.weight, f"{memory}, word {base}", bias)


def _embedding(reader: Reader, op: ir.Embedding, row: Mapping[str, int]) -> Iterator[Tensor]:
    shape = reader.graph.constants[op.table].data.shape
    base = row["table_base"]
    word, offset, width = reader.stream("embedding_table", base, prod(shape))
    table = reader.numbers("embedding_table", word, offset, width, signed=True)
    yield Tensor(op.table, f"embedding_table, word {base}", table.reshape(shape))
    base = row["embedding_row"]
    word = base + np.arange(shape[0])
    width = reader.width("embedding_row", 1)
    multiplier = reader.numbers("embedding_row", word, np.array(0), width, signed=False)
    yield Tensor(op.multiplier, f"embedding_row, word {base}", multiplier)


def _norm(reader: Reader, op: ir.Norm, row: Mapping[str, int]) -> Iterator[Tensor]:
    (n,) = reader.graph.constants[op.gain].data.shape
    base = row["gain_base"]
    where = f"norm_gain, word {base}"
    word, offset, pitch = reader.stream("norm_gain", base, n)
    yield Tensor(op.gain, where, reader.numbers("norm_gain", word, offset, GAIN_BITS, signed=True))
    bias = reader.numbers("norm_gain", word, offset + GAIN_BITS, pitch - GAIN_BITS, signed=True)
    yield from _bias(op.bias, op.gain, where, bias)


def _rotary(reader: Reader, op: ir.Rotary, row: Mapping[str, int]) -> Iterator[Tensor]:
    shape = reader.graph.constants[op.cos].data.shape
    base = row["rotary_base"]
    word, offset, _ = reader.stream("rotary", base, prod(shape))
    for name, shift in ((op.cos, 0), (op.sin, ANGLE_BITS)):
        data = reader.numbers("rotary", word, offset + shift, ANGLE_BITS, signed=True)
        yield Tensor(name, f"rotary, word {base}", data.reshape(shape))
