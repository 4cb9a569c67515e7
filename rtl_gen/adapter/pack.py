"""A trained adapter as the integers of a chip's adapter memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rtl_gen.adapter.apply import SUFFIX, check_fit
from rtl_gen.adapter.reader import LoraAdapter, LoraPair
from rtl_gen.golden import interpreter
from rtl_gen.golden.low_rank import seen
from rtl_gen.ir import integer as ir
from rtl_gen.ir import serialize
from rtl_gen.ir.adapter import AdapterImage, Factors, check, empty, regions, shapes, types
from rtl_gen.ir.range import low_rank_columns
from rtl_gen.quantize.examples import Examples
from rtl_gen.quantize.quality import frame_integers
from rtl_gen.quantize.region import pack_region

Array = NDArray[np.float64]


def pack(graph: ir.IntegerGraph, adapter: LoraAdapter, examples: Examples) -> AdapterImage:
    """Quantize an adapter for a chip.

    Parameters
    ----------
    graph : IntegerGraph
        What the chip computes.
    adapter : LoraAdapter
    examples : Examples
        Inputs the adapter is meant for; they choose the ranges of ``a @ x``.

    Returns
    -------
    AdapterImage
        Bound to `graph`.

    Raises
    ------
    UnsupportedError
        If the chip has no region for a tensor of the adapter, or none of its rank.
    """
    ranks = {node.name.removesuffix(SUFFIX): op.rank for node, op in regions(graph)}
    tables = {node.name for node in graph.nodes if isinstance(node.op, ir.Embedding)}
    check_fit(adapter, ranks, tables)
    item = next(item for item in graph.inputs if item.kind != "position")
    batch, steps = len(examples.inputs), examples.steps
    if examples.is_tokens:
        x = np.asarray(examples.inputs, np.int64).reshape(-1)
    else:
        x = frame_integers(graph, np.asarray(examples.inputs, np.float64))
    values = {item.name: x}
    values |= {
        other.name: np.tile(np.arange(steps), batch)
        for other in graph.inputs
        if other.kind == "position"
    }
    counted = examples.counted()
    found: dict[str, Factors] = {}
    for node in graph.nodes:
        if isinstance(node.op, ir.Sample):
            continue
        operands = [values[name] for name in node.inputs]
        if isinstance(node.op, ir.LowRank):
            found[node.name] = _factors(graph, node, node.op, adapter.pairs, operands[0][counted])
        image = AdapterImage(adapter.name, "", found)
        values[node.name] = interpreter.evaluate_sequences(graph, node, operands, steps, image)
    origin = {"adapter": adapter.digest, "rank": str(max(p.rank for p in adapter.pairs.values()))}
    packed = AdapterImage(adapter.name, serialize.digest(graph), found, origin)
    check(packed, graph)
    return packed


def random_image(graph: ir.IntegerGraph, seed: int) -> AdapterImage:
    """Contents that no training makes: every element random over its whole type."""
    rng = np.random.default_rng(seed)
    found = {}
    for node, op in regions(graph):
        kinds = types(op)
        found[node.name] = Factors(**{
            name: rng.integers(kinds[name].min, kinds[name].max, shape, np.int64, endpoint=True)
            for name, shape in shapes(graph, node, op).items()
        })  # fmt: skip
    return AdapterImage("random", serialize.digest(graph), found, {"seed": str(seed)})


def _factors(
    graph: ir.IntegerGraph,
    node: ir.Node,
    op: ir.LowRank,
    pairs: Mapping[str, LoraPair],
    x: NDArray[np.int64],
) -> Factors:
    pair = pairs.get(node.name.removesuffix(SUFFIX))
    if pair is None:
        return empty(graph, node, op)
    x_value, y_value = (graph.value(name) for name in node.inputs)
    a = np.zeros((op.rank, low_rank_columns(op, x_value)))
    b = np.zeros((node.value.shape[0], op.rank))
    a[: pair.rank], b[:, : pair.rank] = pair.a.reshape(pair.rank, -1), pair.b
    return pack_region(op, x_value, y_value, seen(x, op), a, b)
