"""IntegerGraph to microprogram: which unit does what, in which order, from where to where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from rtl_gen.adapter.bypass import bypass
from rtl_gen.adapter.layout import AdapterLayout, lay_out
from rtl_gen.adapter.products import products
from rtl_gen.blocks.attention import layer_words
from rtl_gen.chain import Chain, gather, group, merge, roots, rotation
from rtl_gen.errors import UnsupportedError
from rtl_gen.fabric.address import Loop, lag
from rtl_gen.images import Images, Order
from rtl_gen.ir import integer as ir
from rtl_gen.layout import Allocator, Layout, sides, spread
from rtl_gen.plan import Plan
from rtl_gen.program import HEADS, SINGLE, SINKS, Instruction, Program, assemble
from rtl_gen.unit_fields import (
    Fields,
    attention_fields,
    beats,
    bounds,
    etched_expert_fields,
    etched_fields,
    expert_fields,
    norm_fields,
    piece_fields,
    route_fields,
    stack_fields,
    tail_fields,
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A step as a microprogram over a vector memory of `depth` words."""

    program: Program
    depth: int


@dataclass(slots=True)
class _Scheduler:
    graph: ir.IntegerGraph
    images: Images
    plan: Plan
    chains: list[Chain]
    root: dict[str, str]
    adapter: AdapterLayout | None = None
    allocator: Allocator = field(default_factory=Allocator)
    layouts: dict[str, Layout] = field(default_factory=dict)
    last_use: dict[str, int] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    state_written: int = 0
    attention_layers: dict[str, int] = field(default_factory=dict)
    stacked: dict[int, tuple[int, Fields]] = field(default_factory=dict)
    reads: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    written: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    # Liveness and placement.

    def consumers(self, value: str) -> list[tuple[ir.Node, int]]:
        """Nodes reading `value` or one of its aliases, with the operand's place."""
        return [
            (node, place)
            for node in self.graph.nodes
            if not isinstance(node.op, ir.Reshape)
            for place, name in enumerate(node.inputs)
            if self.root[name] == value
        ]

    def direct_sink(self, value: str) -> tuple[str, ir.Node | None]:
        """Where the chain that makes `value` sends it, and the node that takes it there."""
        consumers = self.consumers(value)
        is_output = not self.graph.vocabulary and value in {
            self.root[name] for name in self.graph.outputs.values()
        }
        if is_output and not consumers:
            return "output", None
        if len(consumers) == 1 and not is_output:
            node, place = consumers[0]
            if isinstance(node.op, ir.Sample):
                return "sample", node
            if isinstance(node.op, ir.Attention) and place in (1, 2):
                return ("key", "value")[place - 1], node
        return "memory", None

    def beats(self, elements: int, partial: bool = False) -> int:
        """Beats of a vector, which must be whole unless the last may be `partial`."""
        return beats(self.images, elements, partial=partial)

    def place(self, value: str) -> Layout:
        """Allocate `value` and fill its padding."""
        shapes = {self.graph.value(n).shape for n, r in self.root.items() if r == value}
        spatial = {shape for shape in shapes if len(shape) == 3}
        if len(spatial) > 1:
            raise UnsupportedError(f"value {value} is used with two spatial shapes: {spatial}")
        size = prod(self.graph.value(value).shape)
        shape = spatial.pop() if spatial else (self.beats(size),)
        pads = [n.op.padding for n, _ in self.consumers(value) if isinstance(n.op, ir.Conv2d)]
        padding = (max((p[0] for p in pads), default=0), max((p[1] for p in pads), default=0))
        layout = Layout(0, shape, padding)
        layout = Layout(self.allocator.take(layout.size), shape, padding)
        self.layouts[value] = layout
        if padding != (0, 0):
            zeros = Loop(layout.base, (layout.size,), (1,))
            self.emit((f"{value} padding",), {"head": HEADS.index("fill")}, zeros, "memory")
        return layout

    def release(self, index: int) -> None:
        """Free the buffers that no chain after `index` reads."""
        for value, last in list(self.last_use.items()):
            if last == index and value in self.layouts:
                self.allocator.free(self.layouts[value].base)

    def plan_lifetimes(self) -> None:
        """Last chain that reads each value from memory."""
        for index, chain in enumerate(self.chains):
            for name in chain.inputs():
                self.last_use[self.root[name]] = index

    # Instructions.

    def emit(self, nodes: tuple[str, ...], fields: Fields, d: Loop, sink: str) -> None:
        """Append an instruction."""
        base: Fields = {"use_a": 0, "use_b": 0, "continued": 0}
        base |= {"rotary": 0, "lookup": 0, "mul": 0, "add": 0, "weigh": 0, "expert": 0}
        fields = base | fields | {"sink": SINKS.index(sink)} | d.fields("d")
        if fields["use_a"]:
            behind = lag(self.reads, self.written)
            fields |= {"a_free": 1} if behind is None else {"a_free": 0, "a_lag": behind}
        self.written = d.addresses() if sink == "memory" else np.empty(0, np.int64)
        if sink != "memory":
            del fields["d_base"]
            for level in range(4):
                del fields[f"d_step{level}"]
        self.instructions.append(Instruction(nodes, fields))
        if sink in ("key", "value"):
            self.state_written = len(self.instructions)

    def cache_base(self, node: ir.Node) -> int:
        """First cache word of an attention node's layer."""
        assert isinstance(node.op, ir.Attention)
        layer = self.attention_layers.setdefault(node.name, len(self.attention_layers))
        op = node.op
        return layer * layer_words(op.heads, op.kv_heads, self.plan.heads, op.context)

    def layout(self, name: str) -> Layout:
        """Where a value, or what it is another name of, lives."""
        return self.layouts[self.root[name]]

    def run(self) -> list[Instruction]:
        """Emit every chain."""
        self.plan_lifetimes()
        for item in self.graph.inputs:
            if item.kind == "frame":
                target = self.place(item.name)
                fields = {"head": HEADS.index("input")}
                self.emit((item.name,), fields, target.loop(), "memory")
        for index, chain in enumerate(self.chains):
            self.emit_chain(index, chain)
            self.release(index)
        return self.finish()

    def emit_chain(self, index: int, chain: Chain) -> None:
        """Instructions of one chain, and copies to sinks that the value shares with memory."""
        if chain.head is not None and isinstance(chain.head.op, ir.Attention):
            self.store_cache(chain.head)
        value, head = chain.value, chain.head
        if head is not None and isinstance(head.op, ir.Norm) and head.op.groups > 1:
            self.emit_parts(head, head.op)
            return
        if head is not None and isinstance(head.op, ir.Gate):
            self.emit_route(head)
            return
        if head is not None and isinstance(head.op, ir.LowRank):
            self.emit_low_rank(head, head.op)
            return
        windows = head is not None and isinstance(head.op, ir.Conv2d | ir.MaxPool2d)
        # Windows leave pixel by pixel, in an order that only memory can put right.
        sink, taker = ("memory", None) if windows else self.direct_sink(value)
        target = self.place(value) if sink == "memory" else None
        names = tuple(node.name for node in chain.nodes)
        tail = tail_fields(self.graph, self.images, chain) | self.sink_fields(sink, taker)
        if windows and target is not None:
            self.emit_windows(chain, names, tail, target)
            self.share(value, target)
            return
        size = prod(self.graph.value(value).shape)
        order = partial(self.order, chain)
        d = order(target) if target else Loop(0, (self.beats(size, sink == "sample"),), (1,))
        second = self.second(chain, order)
        if head is None:
            source = order(self.layout(chain.source))
            fields = {"head": HEADS.index("copy")} | self.walk("a", source)
        elif isinstance(head.op, ir.ConstMatVec):
            fields = self.product_fields(index, chain)
        else:
            fields = self.head_fields(head)
        self.emit(names, fields | second | tail, d, sink)
        if target is not None and not self.adapters_of(value):
            self.share(value, target)

    def adapters_of(self, value: str) -> list[str]:
        """Adapter regions that change `value` in place, in order."""
        return [
            node.name
            for node in self.graph.nodes
            if isinstance(node.op, ir.LowRank) and self.root[node.name] == value
        ]

    def emit_low_rank(self, node: ir.Node, op: ir.LowRank) -> None:
        """Two products from the adapter memory; the second is added to y where it lies."""
        assert self.adapter is not None
        x, y = (self.layout(name) for name in node.inputs)
        shape = (self.beats(op.rank), *node.value.shape[1:])
        hidden = Layout(self.allocator.take(prod(shape)), shape)
        for part in products(self.adapter, self.plan, node, op, (x, hidden, y)):
            fields = part.fields | self.walk("a", part.a)
            fields |= {} if part.b is None else self.walk("b", part.b)
            self.emit((node.name,), fields, part.d, "memory")
        self.allocator.free(hidden.base)
        value = self.root[node.name]
        if self.adapters_of(value)[-1] == node.name:
            self.share(value, y)

    def emit_parts(self, head: ir.Node, op: ir.Norm) -> None:
        """One instruction per part of a norm (a head of queries or keys)."""
        source, target = self.layout(head.inputs[0]), self.place(head.name)
        beats = self.beats(prod(head.value.shape) // op.groups)
        for part in range(op.groups):
            a, d = (Loop(x.base + part * beats, (beats,), (1,)) for x in (source, target))
            fields = norm_fields(self.graph, self.images, op) | bounds("head", head)
            self.emit((head.name,), fields | self.walk("a", a.repeat(2)), d, "memory")
        self.share(head.name, target)

    def emit_route(self, head: ir.Node) -> None:
        """Choice of experts and their gates, which stay in the router."""
        route, fields, twice = route_fields(self.graph, self.images, head)
        loop = self.layout(head.inputs[0]).loop()
        fields |= self.walk("a", loop.repeat(2) if twice else loop)
        self.emit((route, head.name), fields, Loop(0, head.value.shape, (1,)), "gates")

    def second(self, chain: Chain, order: Callable[[Layout], Loop]) -> Fields:
        """Walk of the second operand in the order of the stream it meets."""
        return self.walk("b", order(self.layout(chain.second))) if chain.second else {}

    def walk(self, prefix: str, loop: Loop) -> Fields:
        """A reader's fields."""
        if prefix == "a":
            self.reads = loop.addresses()
        return loop.fields(prefix) | {f"use_{prefix}": 1}

    def sides(self, base: int, op: ir.Rotary | ir.Attention, heads: int = 0) -> Loop:
        """A vector of heads in the order of `Rotary`."""
        return sides(base, heads or op.heads, self.beats(op.head_dim // 2))

    def order(self, chain: Chain, layout: Layout) -> Loop:
        """A vector in the order that the chain streams it."""
        rotary = rotation(self.graph, self.root, chain)
        return layout.loop() if rotary is None else self.sides(layout.base, rotary)

    def sink_fields(self, sink: str, taker: ir.Node | None) -> Fields:
        """What the sink needs to know."""
        if taker is None:
            return {}
        if sink in ("key", "value"):
            return {"cache_base": self.cache_base(taker)}
        assert isinstance(taker.op, ir.Sample)
        return {"sample_shift": taker.op.shift}

    def share(self, value: str, source: Layout) -> None:
        """Copies from memory to every other sink that wants `value`."""
        outputs = {self.root[name] for name in self.graph.outputs.values()}
        if not self.graph.vocabulary and value in outputs:
            fields = {"head": HEADS.index("copy")} | self.walk("a", source.loop())
            count = source.loop().length
            self.emit((f"{value} output",), fields, Loop(0, (count,), (1,)), "output")
        for node, _ in self.consumers(value):
            if isinstance(node.op, ir.Sample):
                fields = {"head": HEADS.index("copy")} | self.walk("a", source.loop())
                fields |= self.sink_fields("sample", node)
                count = source.loop().length
                self.emit((node.name,), fields, Loop(0, (count,), (1,)), "sample")

    def store_cache(self, node: ir.Node) -> None:
        """Copies of keys and values that other nodes read too."""
        for place, sink in ((1, "key"), (2, "value")):
            value = self.root[node.inputs[place]]
            if value in self.layouts:
                assert isinstance(node.op, ir.Attention)
                loop = self.layouts[value].loop()
                if sink == "key" and self.is_interleaved(node):
                    loop = self.sides(loop.base, node.op, node.op.kv_heads)
                fields = {"head": HEADS.index("copy")} | self.walk("a", loop)
                fields |= self.sink_fields(sink, node)
                count = Loop(0, (loop.length,), (1,))
                self.emit((f"{node.name} {sink}",), fields, count, sink)

    def is_interleaved(self, node: ir.Node) -> bool:
        """Whether the keys of an attention node arrive in the order of `Rotary`."""
        value = self.root[node.inputs[1]]
        maker = next((c for c in self.chains if c.value == value), None)
        return maker is not None and maker.rotary is not None

    def head_fields(self, head: ir.Node) -> Fields:
        """Fields of a head unit other than the matrix unit."""
        op = head.op
        fields = bounds("head", head)
        match op:
            case ir.Embedding():
                table, row = self.images.embedding(op)
                fields |= {
                    "head": HEADS.index("embedding"), "table_base": table, "embedding_row": row,
                    "columns": self.beats(self.graph.constants[op.table].data.shape[1]),
                    "by_position": int(self.kind(head.inputs[0]) == "position"),
                    "head_shift": op.shift,
                }  # fmt: skip
            case ir.ExpertMatVec():
                style = dict(self.plan.styles).get(op.weight)
                loop = self.layout(head.inputs[0]).loop()
                if style is None:
                    loop = loop.repeat(-(-head.value.shape[0] // self.plan.lanes))
                    fields |= expert_fields(self.graph, self.images, op)
                else:
                    fields |= etched_expert_fields(self.graph, self.images, head, style)
                fields |= self.walk("a", loop)
            case ir.Norm():
                fields |= norm_fields(self.graph, self.images, op)
                fields |= self.walk("a", self.layout(head.inputs[0]).loop().repeat(2))
            case ir.Attention():
                loop = self.layout(head.inputs[0]).loop()
                if self.is_interleaved(head):
                    loop = self.sides(loop.base, op)
                fields |= attention_fields(self.graph, self.images, op, self.plan.heads)
                fields |= self.walk("a", loop) | {"cache_base": self.cache_base(head)}
            case _:
                raise UnsupportedError(f"no unit computes {type(op).__name__} (node {head.name})")
        return fields

    def row_order(self, chain: Chain) -> Order:
        """Order of a product's rows, beat by beat as its results leave."""
        if rotation(self.graph, self.root, chain) is None:
            return None
        return spread(self.order(chain, Layout(0, (0,))).addresses(), self.plan.elements)

    def product_fields(self, index: int, chain: Chain) -> Fields:
        """Fields of a constant product, computed with its neighbours where that saves a pass."""
        head = chain.head
        assert head is not None
        assert isinstance(head.op, ir.ConstMatVec)
        style = dict(self.plan.styles).get(head.op.weight)
        if style is not None:
            fields = etched_fields(self.graph, self.images, head, style, self.row_order(chain))
            return fields | self.walk("a", self.layout(head.inputs[0]).loop())
        fields = piece_fields(self.graph, self.images, head.op, self.row_order(chain))
        fields |= bounds("head", head)
        if index not in self.stacked:
            etched = dict(self.plan.styles)
            together = merge(self.graph, self.chains, index, self.plan.lanes, etched)
            ops = [(item.head.op, self.row_order(item)) for item in together if item.head]
            pieces = [(op, order) for op, order in ops if isinstance(op, ir.ConstMatVec)]
            self.stacked |= enumerate(stack_fields(self.graph, self.images, pieces), index)
        groups, own = self.stacked[index]
        x = self.layout(head.inputs[0]).loop()
        return fields | own | (self.walk("a", x.repeat(groups)) if groups else {})

    def kind(self, name: str) -> str:
        """Kind of a graph input."""
        return next(item.kind for item in self.graph.inputs if item.name == name)

    def emit_windows(
        self, chain: Chain, names: tuple[str, ...], tail: Fields, target: Layout
    ) -> None:
        """One instruction per output pixel of a convolution or a pooling."""
        head = chain.head
        assert head is not None
        assert isinstance(head.op, ir.Conv2d | ir.MaxPool2d)
        source = self.layout(head.inputs[0])
        _, height, width = head.value.shape
        if isinstance(head.op, ir.Conv2d):
            kernel = self.graph.constants[head.op.weight].data.shape[2:]
            padding = head.op.padding
            fields = piece_fields(self.graph, self.images, head.op) | bounds("head", head)
            groups, own = stack_fields(self.graph, self.images, [(head.op, None)])[0]
            fields |= own
        else:
            kernel, padding, groups = head.op.kernel, (0, 0), 1
            window = kernel[0] * kernel[1]
            fields = {"head": HEADS.index("pool"), "pool_last": window - 1}
        for row in range(height):
            for column in range(width):
                at = (
                    row * head.op.stride[0] - padding[0],
                    column * head.op.stride[1] - padding[1],
                )
                loop = source.window(*at, kernel).repeat(groups)
                pixel = fields | self.walk("a", loop) | tail
                pixel |= self.second(chain, partial(Layout.pixel, row=row, column=column))
                self.emit(names, pixel, target.pixel(row, column), "memory")

    def finish(self) -> list[Instruction]:
        """Mark the last instruction, where a step that draws no token ends, and who must wait."""
        last = len(self.instructions) - 1
        marked: list[Instruction] = []
        before = -1
        for index, instruction in enumerate(self.instructions):
            stop = bool(self.graph.vocabulary) and index == self.state_written
            flags = {"final": int(index == last), "prefill_stop": int(stop)}
            head = instruction.fields["head"]
            # All units but the lanes keep their configuration until their last result is out.
            flags["alone"] = int(head == before and HEADS[head] in SINGLE)
            before = head
            marked.append(Instruction(instruction.nodes, instruction.fields | flags))
        return marked


def schedule(graph: ir.IntegerGraph, images: Images, plan: Plan) -> Schedule:
    """Schedule one step of `graph`; the ROM pieces it uses are placed in `images`.

    With adapter regions there are two programs, the first without them.

    Raises
    ------
    UnsupportedError
        If a node, or a combination of nodes, has no unit.
    """
    if plan.elements > 1 and not graph.vocabulary:
        raise UnsupportedError(
            f"plan: {plan.elements} elements per beat, but networks on frames move one element at "
            "a time; set `plan.elements` to 1"
        )
    adapter = lay_out(graph, plan)
    networks = [graph] if adapter is None else [bypass(graph), graph]
    parts, depth = [], 2
    for network in networks:
        chains = group(network)
        if network is not networks[0]:
            chains = gather(chains)
        made = _Scheduler(network, images, plan, chains, roots(network), adapter)
        parts.append(made.run())
        depth = max(depth, made.allocator.depth)
    return Schedule(assemble(*parts), depth)
