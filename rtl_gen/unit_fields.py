"""Microinstruction fields of the units, as far as they follow from the operator alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from rtl_gen.chain import Chain, rows
from rtl_gen.errors import UnsupportedError
from rtl_gen.images import Images, Order
from rtl_gen.ir import integer as ir
from rtl_gen.program import HEADS

Fields = dict[str, int]


def bounds(prefix: str, node: ir.Node) -> Fields:
    """Saturation bounds of a node's value."""
    type_ = node.value.type
    return {f"{prefix}_low": type_.min, f"{prefix}_high": type_.max}


def tail_fields(graph: ir.IntegerGraph, images: Images, chain: Chain) -> Fields:
    """Fields of the rotation, of the table and of the second operand's arithmetic."""
    fields: Fields = {}
    if chain.rotary is not None:
        assert isinstance(chain.rotary.op, ir.Rotary)
        fields |= {"rotary": 1, "rotary_base": images.rotary(chain.rotary.op)}
        fields |= {"rotary_shift": chain.rotary.op.shift} | bounds("rotary", chain.rotary)
    if chain.lookup is not None:
        assert isinstance(chain.lookup.op, ir.Lookup)
        low = graph.value(chain.lookup.inputs[0]).type.min
        fields |= {"lookup": 1, "lookup_offset": images.lookup(chain.lookup.op) - low}
    if chain.weigh is not None:
        fields |= weigh_fields(graph, chain.weigh)
    combine = chain.combine
    if combine is not None and isinstance(combine.op, ir.Mul):
        scale = combine.op.scale
        fields |= {"mul": 1, "mul_multiplier": scale.multiplier, "mul_shift": scale.shift}
        fields |= bounds("mul", combine)
    elif combine is not None:
        fields |= {"add": 1} | bounds("add", combine)
    return fields


def norm_fields(graph: ir.IntegerGraph, images: Images, op: ir.Norm) -> Fields:
    """Fields of the norm of one vector."""
    return {
        "head": HEADS.index("norm"), "size": graph.constants[op.gain].data.size,
        "center": int(op.center), "eps": op.eps, "fraction": op.fraction,
        "gain_base": images.norm(op), "head_shift": op.shift,
    }  # fmt: skip


def operand_width(graph: ir.IntegerGraph) -> int:
    """Signed width of the queries, keys and values of all layers."""
    names = [
        n for node in graph.nodes if isinstance(node.op, ir.Attention) for n in node.inputs[:3]
    ]
    return max((graph.value(name).type.width for name in names), default=8)


def attention_fields(
    graph: ir.IntegerGraph, images: Images, op: ir.Attention, parallel: int
) -> Fields:
    """Fields of attention, but for its walk and its cache; `parallel` heads are computed at once.

    Raises
    ------
    UnsupportedError
        If some layers have sinks and some have none, or a head does not end with a beat.
    """
    beats(images, op.head_dim)  # or it is refused
    every = [node.op for node in graph.nodes if isinstance(node.op, ir.Attention)]
    fields = {
        "head": HEADS.index("attend"), "score_multiplier": op.score.multiplier,
        "score_shift": op.score.shift, "head_shift": op.shift,
    }  # fmt: skip
    if any(other.window for other in every):
        fields["reach"] = (op.window or op.context) - 1
    if any(other.sinks for other in every):
        if not all(other.sinks for other in every):
            raise UnsupportedError("attention with sinks in some layers only has no unit")
        fields["sink_base"] = images.sinks(op, parallel, operand_width(graph))
    return fields


def etched_fields(
    graph: ir.IntegerGraph, images: Images, head: ir.Node, style: str, order: Order
) -> Fields:
    """Fields of a product by an adder graph of its own."""
    assert isinstance(head.op, ir.ConstMatVec)
    return bounds("head", head) | {
        "head": HEADS.index("etched"), "head_shift": head.op.shift,
        "etched_core": images.etched_core(head, style, order),
        "etched_row": images.etched_rows(head.op, order),
        "last_column": beats(images, graph.constants[head.op.weight].data.shape[1]) - 1,
        "rows": beats(images, rows(graph, head.op), partial=is_sampled(graph, head.op)),
    }  # fmt: skip


def stack_fields(
    graph: ir.IntegerGraph,
    images: Images,
    pieces: Sequence[tuple[ir.ConstMatVec | ir.Conv2d, Order]],
) -> list[tuple[int, Fields]]:
    """Groups of rows, and fields of the matrix unit's lanes, of each of matrices below one another.

    A matrix multiplies the groups that its rows reach into and no matrix above it did; the last of
    them may hold rows of the next, which find their sums waiting.
    """
    lanes = images.lanes
    counts = [rows(graph, op) for op, _ in pieces]
    columns = beats(images, graph.constants[pieces[0][0].weight].data[0].size)
    base = images.weights(pieces)
    found: list[tuple[int, Fields]] = []
    first = 0
    sampled = is_sampled(graph, pieces[-1][0])
    for reached in accumulate(counts):
        end = -(-reached // lanes)
        fields = {
            "weight_base": base + first * columns,
            "source": 0,
            "last_column": columns - 1,
            "group_rows": beats(
                images, min(sum(counts), end * lanes) - first * lanes,
                partial=sampled and reached == sum(counts),
            ),
        }  # fmt: skip
        found.append((end - first, fields if end > first else {"continued": 1}))
        first = end
    return found


def piece_fields(
    graph: ir.IntegerGraph,
    images: Images,
    op: ir.ConstMatVec | ir.Conv2d,
    order: Order = None,
) -> Fields:
    """Fields of the matrix unit's results: one matrix."""
    return {
        "head": HEADS.index("matvec"), "row_source": 0, "row_base": images.rows(op, order),
        "rows": beats(images, rows(graph, op), partial=is_sampled(graph, op)),
        "head_shift": op.shift,
    }  # fmt: skip


def is_sampled(graph: ir.IntegerGraph, op: ir.IntegerOp) -> bool:
    """Whether the result of `op` are the logits."""
    logits = {node.inputs[0] for node in graph.nodes if isinstance(node.op, ir.Sample)}
    return any(node.op is op and node.name in logits for node in graph.nodes)


def beats(images: Images, elements: int, *, partial: bool = False) -> int:
    """Beats of a vector; the last one may be `partial` of logits that the sampler alone reads.

    Raises
    ------
    UnsupportedError
        If the last one would not be full.
    """
    if partial:
        return -(-elements // images.elements)
    if elements % images.elements:
        raise UnsupportedError(
            f"a vector of {elements} elements is not a whole number of beats of "
            f"{images.elements}; choose fewer elements per beat in the model's plan"
        )
    return elements // images.elements


def route_fields(
    graph: ir.IntegerGraph, images: Images, gates: ir.Node
) -> tuple[str, Fields, bool]:
    """Name of the choice that `gates` weighs, the fields that compute both, and if it reads twice.

    Raises
    ------
    UnsupportedError
        If the router unit does not compute this choice.
    """
    route = next(node for node in graph.nodes if node.name == gates.inputs[1])
    assert isinstance(route.op, ir.Route)
    assert isinstance(gates.op, ir.Gate)
    head, score = {"head": HEADS.index("route")}, gates.op.score
    if score is None:
        biased = any(isinstance(n.op, ir.Route) and n.op.bias is not None for n in graph.nodes)
        base = {"bias_base": images.router_bias(route)} if biased else {}
        # For the groups first.
        return route.name, head | base, route.op.kept < route.op.groups
    if route.op.bias is not None or route.op.groups > 1:
        raise UnsupportedError(
            f"node {route.name}: a router of softmax weights takes the largest logits; biases and "
            "groups of experts go with scores that are weights themselves (sigmoids, DeepSeek). "
            "The golden model computes them"
        )
    # For the sum over all experts.
    twice = not gates.op.normalize
    return (
        route.name, head | {"gate_multiplier": score.multiplier, "gate_shift": score.shift}, twice
    )  # fmt: skip


def expert_fields(graph: ir.IntegerGraph, images: Images, op: ir.ExpertMatVec) -> Fields:
    """Fields of a product with the matrix of a chosen expert, but for its operand and bounds.

    The hardware adds ``stride * expert`` to both bases: all experts are stored, one is read.
    """
    weight_base, weight_stride, row_base, row_stride = images.experts(op)
    _, count, columns = graph.constants[op.weight].data.shape
    return {
        "head": HEADS.index("matvec"), "expert": 1, "slot": op.slot,
        "weight_base": weight_base, "weight_stride": weight_stride,
        "row_base": row_base, "row_stride": row_stride,
        "source": 0, "row_source": 0, "head_shift": op.shift,
        "last_column": beats(images, columns) - 1, "group_rows": beats(images, count),
        "rows": beats(images, count),
    }  # fmt: skip


def etched_expert_fields(
    graph: ir.IntegerGraph, images: Images, head: ir.Node, style: str
) -> Fields:
    """Fields of such a product with every expert's matrix wired apart, of which one works."""
    assert isinstance(head.op, ir.ExpertMatVec)
    core, row_base, row_stride = images.etched_experts(head, style)
    _, count, columns = graph.constants[head.op.weight].data.shape
    return {
        "head": HEADS.index("etched"), "expert": 1, "slot": head.op.slot,
        "etched_core": core, "etched_row": row_base, "row_stride": row_stride,
        "head_shift": head.op.shift, "last_column": beats(images, columns) - 1,
        "rows": beats(images, count),
    }  # fmt: skip


def weigh_fields(graph: ir.IntegerGraph, node: ir.Node) -> Fields:
    """Fields of the product with a gate, which the router holds.

    Raises
    ------
    UnsupportedError
        If the gate is another value than a router's.
    """
    assert isinstance(node.op, ir.Weigh)
    maker = next((other for other in graph.nodes if other.name == node.inputs[1]), None)
    if maker is None or not isinstance(maker.op, ir.Gate):
        raise UnsupportedError(
            f"node {node.name}: its weight {node.inputs[1]!r} does not come from a router, nor "
            "from a product of one row that nothing else reads (rtl_gen.passes.spread_gates); no "
            "unit multiplies a vector by it. The golden model computes it"
        )
    scale, type_ = node.op.scale, node.value.type
    return {
        "mul": 1, "weigh": 1, "slot": node.op.slot, "mul_multiplier": scale.multiplier,
        "mul_shift": scale.shift, "mul_low": type_.min, "mul_high": type_.max,
    }  # fmt: skip
