"""Sizes of the units, and the units themselves, for one graph."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.lib import wiring

from rtl_gen.adapter.layout import lay_out
from rtl_gen.blocks.add import Add
from rtl_gen.blocks.attention import Attention
from rtl_gen.blocks.const_matvec import ConstMatVec
from rtl_gen.blocks.embedding import Embedding
from rtl_gen.blocks.lookup import Lookup
from rtl_gen.blocks.max_pool import MaxPool
from rtl_gen.blocks.mul import Mul
from rtl_gen.blocks.norm import Norm
from rtl_gen.blocks.rotary import Rotary
from rtl_gen.blocks.router import Router, ScoredRouter
from rtl_gen.blocks.sample import Sample
from rtl_gen.errors import UnsupportedError
from rtl_gen.fabric.etched import Etched, core
from rtl_gen.fabric.lockstep import Lockstep
from rtl_gen.images import Images
from rtl_gen.ir import integer as ir
from rtl_gen.ir.adapter import regions
from rtl_gen.ir.range import low_rank_bounds, symmetric
from rtl_gen.ir.types import IntType
from rtl_gen.plan import Plan
from rtl_gen.program import DATA_FIELDS, Program
from rtl_gen.unit_fields import operand_width

_PRODUCTS = (ir.ConstMatVec, ir.ExpertMatVec, ir.Conv2d)

STREAM_LIMIT = 16
"""Widest element of a stream."""


def signed_width(type_: IntType) -> int:
    """Width of the signed type that holds `type_`."""
    return type_.width + (not type_.signed)


@dataclass(frozen=True, slots=True)
class Widths:
    """Signed widths of a chip's data.

    They follow from the types of the graph; from the weights' values only where a bias is wider
    than its accumulator, so that new weights keep the hardware.
    """

    stream: int
    x: int
    weight: int
    acc: int
    bias: int
    norm_bias: int
    table: int
    qkv: int


def _constant_width(graph: ir.IntegerGraph, names: list[str]) -> int:
    return max((signed_width(graph.constants[name].type) for name in names), default=1)


def widths(graph: ir.IntegerGraph) -> Widths:
    """Sizes for `graph`.

    Raises
    ------
    UnsupportedError
        If a value is wider than a stream.
    """
    numeric = {item.name: item.value for item in graph.inputs if item.kind == "frame"}
    numeric |= {n.name: n.value for n in graph.nodes if not isinstance(n.op, ir.Sample)}
    for name, value in numeric.items():
        if signed_width(value.type) > STREAM_LIMIT:
            raise UnsupportedError(f"value {name} is {value.type}; a stream holds i{STREAM_LIMIT}")
    ops = [node.op for node in graph.nodes]
    products = [
        (node.op, numeric[node.inputs[0]].type)
        for node in graph.nodes
        if isinstance(node.op, _PRODUCTS)
    ]
    acc = 1
    for node, low in regions(graph):
        bounds = low_rank_bounds(low, numeric[node.inputs[0]])
        acc = max(acc, *(symmetric(bound).width for bound in bounds))
    for op, x_type in products:
        weight = graph.constants[op.weight]
        product = signed_width(weight.type) + signed_width(x_type) - 1
        columns = weight.data[0, 0] if isinstance(op, ir.ExpertMatVec) else weight.data[0]
        acc = max(acc, product + (columns.size - 1).bit_length())
    biases = [op.bias for op, _ in products if op.bias is not None]
    norm_biases = [op.bias for op in ops if isinstance(op, ir.Norm) and op.bias is not None]
    tables = [op.table for op in ops if isinstance(op, ir.Embedding)]
    return Widths(
        stream=max(signed_width(value.type) for value in numeric.values()),
        x=max(
            *(signed_width(x_type) for _, x_type in products),
            *(low.hidden.width for _, low in regions(graph)),
            *(signed_width(numeric[node.inputs[0]].type) for node, _ in regions(graph)),
            1,
            1,
        ),
        weight=_constant_width(graph, [op.weight for op, _ in products]),
        acc=acc,
        bias=max(acc, _constant_width(graph, biases)) if biases else 1,
        norm_bias=max(32, _constant_width(graph, norm_biases)) if norm_biases else 1,
        table=_constant_width(graph, tables),
        qkv=operand_width(graph),
    )


def _one_attention(graph: ir.IntegerGraph) -> tuple[ir.Attention, int]:
    """The shape shared by all attention nodes, and how many there are."""
    ops = [n.op for n in graph.nodes if isinstance(n.op, ir.Attention)]
    shapes = {(op.heads, op.kv_heads, op.head_dim, op.context) for op in ops}
    if len(shapes) > 1:
        raise UnsupportedError(f"layers with different attention shapes: {sorted(shapes)}")
    return ops[0], len(ops)


def _one_half(graph: ir.IntegerGraph) -> int:
    halves = {n.op.head_dim // 2 for n in graph.nodes if isinstance(n.op, ir.Rotary)}
    if len(halves) > 1:
        raise UnsupportedError(f"rotary embeddings of different head sizes: {sorted(halves)}")
    return halves.pop()


def _one_router(
    graph: ir.IntegerGraph, sizes: Widths, plan: Plan, bias_depth: int
) -> Router | ScoredRouter:
    """Router of the shape that all layers share."""
    routes = {n.name: n.op for n in graph.nodes if isinstance(n.op, ir.Route)}
    shapes = {
        (graph.value(n.inputs[0]).shape[0], n.value.shape[0], n.op.normalize, n.op.score is None,
         route.groups, route.kept, route.best if route.kept < route.groups else 0)
        for n in graph.nodes
        if isinstance(n.op, ir.Gate)
        for route in [routes[n.inputs[1]]]
    }  # fmt: skip
    if len(shapes) > 1:
        raise UnsupportedError(
            "layers with different routers (experts, chosen, normalized, scores, groups, kept, "
            f"best): {sorted(shapes)}"
        )
    ((experts, k, normalize, scored, groups, kept, best),) = shapes
    width, elements = sizes.stream, plan.elements
    if not scored:
        return Router(width=width, experts=experts, k=k, normalize=normalize, elements=elements)
    return ScoredRouter(
        width=width, experts=experts, k=k, normalize=normalize, elements=elements, groups=groups,
        kept=kept, best=best, bias_depth=bias_depth,
    )  # fmt: skip


def build(
    graph: ir.IntegerGraph, sizes: Widths, program: Program, images: Images, plan: Plan
) -> dict[str, wiring.Component]:
    """Units that the program uses, by name.

    Raises
    ------
    UnsupportedError
        If layers differ in a way that one shared unit cannot serve.
    """
    ops = [node.op for node in graph.nodes]
    depth = {name: len(image.words) for name, image in images.roms.items()}
    peak = {
        name: max((i.fields[name] for i in program.instructions if name in i.fields), default=1)
        for name in program.fields
    }
    adapter = lay_out(graph, plan)
    units: dict[str, wiring.Component] = {}
    if images.etched:
        units["etched"] = Etched(
            cores=[
                core(item.weight, item.x, item.style, f"etched_core{k}")
                for k, item in enumerate(images.etched)
            ],
            shapes=[(len(item.weight), item.weight.shape[1], item.x) for item in images.etched],
            width=sizes.stream, bias_width=sizes.bias, row_depth=depth["etched_row"],
            elements=plan.elements,
        )  # fmt: skip
    if "matvec_weight" in depth and any(isinstance(op, _PRODUCTS) for op in ops):
        units["matvec"] = ConstMatVec(
            lanes=plan.lanes, x_width=sizes.x, weight_width=sizes.weight, acc_width=sizes.acc,
            bias_width=sizes.bias, width=sizes.stream, weight_depth=depth["matvec_weight"],
            row_depth=depth["matvec_row"], max_columns=peak["last_column"] + 1,
            max_rows=peak["group_rows"], max_piece=peak["rows"],
            elements=plan.elements, adapter=adapter.geometry if adapter else None,
            element_width=regions(graph)[0][1].element.width if adapter else 0,
        )  # fmt: skip
    elif adapter is not None:
        raise UnsupportedError(
            "plan.styles wires every matrix in space, but adapter regions need the lanes that "
            "multiply weights from ROM; leave one matrix there (style rom), or build the chip "
            "without adapters.tensors"
        )
    if any(isinstance(op, ir.Embedding) for op in ops):
        units["embedding"] = Embedding(
            table_width=sizes.table, width=sizes.stream, table_depth=depth["embedding_table"],
            row_depth=depth["embedding_row"], max_columns=peak["columns"],
            index_bits=max((graph.vocabulary - 1).bit_length(), (graph.context - 1).bit_length()),
            elements=plan.elements,
        )  # fmt: skip
    if any(isinstance(op, ir.Norm) for op in ops):
        units["norm"] = Norm(
            width=sizes.stream, max_size=peak["size"], depth=depth["norm_gain"],
            bias_width=sizes.norm_bias, eps_width=DATA_FIELDS["eps"],
            elements=plan.elements,
        )  # fmt: skip
    if any(isinstance(op, ir.Rotary) for op in ops):
        units["rotary"] = Rotary(
            half=_one_half(graph) // plan.elements, depth=depth["rotary"], context=graph.context,
            width=sizes.stream, elements=plan.elements,
        )  # fmt: skip
    if any(isinstance(op, ir.Attention) for op in ops):
        op, layers = _one_attention(graph)
        units["attention"] = Attention(
            heads=op.heads, kv_heads=op.kv_heads, head_dim=op.head_dim, context=op.context,
            layers=layers, width=sizes.stream, element_bits=sizes.qkv,
            elements=plan.elements, parallel=plan.heads, windowed="reach" in program.fields,
            sinks=depth.get("attention_sink", 0),
        )  # fmt: skip
    if any(isinstance(op, ir.MaxPool2d) for op in ops):
        units["pool"] = MaxPool(width=sizes.stream, max_window=peak["pool_last"] + 1)
    width, copies = sizes.stream, range(plan.elements)
    if any(isinstance(op, ir.Lookup) for op in ops):
        units["lookup"] = Lookup(depth=depth["lookup"], width=width, elements=plan.elements)
    if any(isinstance(op, ir.Gate) for op in ops):
        units["route"] = _one_router(graph, sizes, plan, depth.get("router_bias", 0))
    if any(isinstance(op, ir.Mul | ir.Weigh) for op in ops):
        units["mul"] = Lockstep([Mul(width=width) for _ in copies], ["a", "b"], width)
    if any(isinstance(op, ir.Add | ir.LowRank) for op in ops):
        units["add"] = Lockstep([Add(width=width) for _ in copies], ["a", "b"], width)
    if any(isinstance(op, ir.Sample) for op in ops):
        units["sample"] = Sample(
            width=sizes.stream, vocabulary=graph.vocabulary, elements=plan.elements,
            places=min(plan.top_k, graph.vocabulary),
        )  # fmt: skip
    return units
