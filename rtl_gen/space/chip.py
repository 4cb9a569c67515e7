"""A network in space: hardware for every operator, joined by wires."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from amaranth import Cat, Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.chip import IDENTITY_BYTES
from rtl_gen.errors import UnsupportedError
from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import pack
from rtl_gen.ir import integer as ir
from rtl_gen.ir import tables
from rtl_gen.ir.types import IntType
from rtl_gen.plan import Plan
from rtl_gen.space.arithmetic import clipped, held, numbers
from rtl_gen.space.attention import SpaceAttention
from rtl_gen.space.control import Control
from rtl_gen.space.fold import Table, fold
from rtl_gen.space.lookup import SpaceLookup
from rtl_gen.space.mul import SpaceMul
from rtl_gen.space.norm import SpaceNorm
from rtl_gen.space.product import Product
from rtl_gen.space.rotary import SpaceRotary
from rtl_gen.space.sampler import SpaceSampler
from rtl_gen.space.serial_product import SerialProduct
from rtl_gen.space.wave import Arrival, Event, latest

PARTS = ("embedding", "norm", "products", "attention", "sample", "tail")
"""Names of the bits of ``active``; ``docs/chip.md``."""

_PART = {ir.Norm: "norm", ir.ConstMatVec: "products", ir.Attention: "attention",
         ir.Sample: "sample"}  # fmt: skip


@dataclass(frozen=True)
class Wire:
    """A vector that is there from `arrival` to the next step."""

    word: Value
    type: IntType
    count: int
    arrival: Arrival

    def elements(self) -> list[Value]:
        """The numbers, one by one."""
        return numbers(self.word, self.type, self.count)


class SpaceChip(wiring.Component):
    """A network that generates tokens; ports as those of `rtl_gen.chip.Chip`.

    Parameters
    ----------
    graph : IntegerGraph
    plan : Plan
        Its `positions`, `tables` and `styles`; a matrix without style is parallel.

    Raises
    ------
    UnsupportedError
        If no hardware in space computes a node.
    """

    def __init__(self, graph: ir.IntegerGraph, plan: Plan) -> None:
        self.graph = graph
        self.positions, self.sharing = plan.positions, plan.sharing
        self.styles = dict(plan.styles)
        if not graph.vocabulary:
            raise UnsupportedError("a chip in space reads tokens; this network reads frames")
        if graph.replay:
            raise UnsupportedError("a chip in space does not replay tokens: set generate.replay 0")
        folded = fold(graph, plan.tables == "products")
        self.nodes = [node for node in graph.nodes if node.name not in folded]
        read = {name for node in self.nodes for name in node.inputs}
        self.tables: dict[str, tuple[Table, rom.Rom]] = {
            name: (table, rom.Rom(f"table{k}", len(table.words),
                                  table.words.shape[1] * graph.value(name).type.width))
            for k, (name, table) in enumerate(
                (n, t) for n, t in folded.items() if n in read
            )
        }  # fmt: skip
        self.stored: dict[str, tuple[str, ...]] = {}
        self.parts = {node.name: self._part(k, node) for k, node in enumerate(self.nodes)}
        self.control = Control(context=graph.context, bos=graph.bos, eos=graph.eos)
        self.identity = rom.Rom("identity", IDENTITY_BYTES, 8)
        super().__init__(
            {
                "i": In(stream.Signature(17)),
                "o": Out(stream.Signature(17)),
                "busy": Out(1),
                "cycles": Out(32),
                "position": Out(16),
                "active": Out(len(PARTS)),
                "id_addr": In(range(IDENTITY_BYTES)),
                "id_data": Out(8),
                "start": In(1),
                "seed": In(32),
                "beta": In(16),
                "limit": In(16),
            }
        )

    def _part(self, number: int, node: ir.Node) -> Any:
        """Hardware of a node; None where a few gates are all of it."""
        constants, op = self.graph.constants, node.op
        values = [self.graph.value(name) for name in node.inputs]
        y = node.value.type
        match op:
            case ir.ConstMatVec():
                kind = SerialProduct if self.styles.get(op.weight) == "serial" else Product
                return kind(
                    constants[op.weight].data,
                    None if op.bias is None else constants[op.bias].data,
                    constants[op.multiplier].data, op.shift, values[0].type, y,
                    name=f"adders{number}",
                )  # fmt: skip
            case ir.Norm(groups=1):
                bias = None if op.bias is None else constants[op.bias]
                return SpaceNorm(op, values[0].type, y, constants[op.gain], bias,
                                 self.sharing)  # fmt: skip
            case ir.Attention(window=0, sinks=None):
                q, k, v = (value.type for value in values[:3])
                return SpaceAttention(op, q, k, v, y, positions=self.positions)
            case ir.Sample():
                return SpaceSampler(values[0].type, self.graph.vocabulary, op.shift, self.sharing)
            case ir.Lookup():
                return SpaceLookup(self._named("lookup", op.table), values[0].type, y,
                                   prod(node.value.shape))  # fmt: skip
            case ir.Mul():
                a, b = (value.type for value in values)
                return SpaceMul(op.scale, a, b, y, prod(node.value.shape))
            case ir.Rotary():
                name = self._named("rotary", op.cos, op.sin)
                return SpaceRotary(name, op, values[0].type, y, self.graph.context)
            case ir.Add() | ir.Reshape():
                return None
        raise UnsupportedError(
            f"node {node.name}: {type(op).__name__} has no hardware in space; bind it to units"
        )

    def _named(self, kind: str, *constants: str) -> str:
        """Name of the ROM of these constants, the same whoever reads them."""
        same = [names for key, names in self.stored.items() if key.startswith(kind)]
        if constants not in same:
            self.stored[f"{kind}{len(same)}"] = constants
        return next(key for key, names in self.stored.items() if names == constants)

    def roms(self) -> list[tuple[rom.Rom | rom.RomPair, int]]:
        """Every ROM of the chip and how many copies of it there are."""
        found = [self.identity, *(memory for _, memory in self.tables.values())]
        for part in self.parts.values():
            found += [] if part is None else rom.inside(part)
        first = {part.name: part for part in reversed(found)}
        return [(part, sum(p.name == name for p in found)) for name, part in first.items()]

    def contents(self, name: str) -> list[int]:
        """Words of a ROM but the identity's."""
        for value, (table, memory) in self.tables.items():
            if memory.name == name:
                flat = table.words.reshape(-1).tolist()
                return pack(flat, self.graph.value(value).type.width, table.words.shape[1])
        if name in self.stored:
            data = [self.graph.constants[item].data for item in self.stored[name]]
            words = data[0].reshape(-1, 1) if len(data) == 1 else np.hstack(data)
            width = max(self.graph.constants[item].type.width for item in self.stored[name])
            return pack(words.reshape(-1).tolist(), width, words.shape[1])
        noise = next(n.op.noise for n in self.nodes if isinstance(n.op, ir.Sample))
        fixed = {
            "rsqrt": tables.rsqrt(),
            "exp2": tables.exp2(),
            "reciprocal": tables.reciprocal(),
            "gumbel": self.graph.constants[noise].data,
        }
        return [int(word) for word in fixed[name]]

    def elaborate(self, platform: Any) -> Module:
        """Connect everything."""
        m = Module()
        control = m.submodules.control = self.control
        m.submodules.identity = self.identity
        wiring.connect(m, wiring.flipped(self.i), control.i)
        wiring.connect(m, control.o, wiring.flipped(self.o))
        m.d.comb += [
            self.identity.addr.eq(self.id_addr),
            self.id_data.eq(self.identity.data),
            control.begin.eq(self.start),
            control.limit.eq(self.limit),
            self.busy.eq(control.busy),
            self.cycles.eq(control.cycles),
            self.position.eq(control.reached),
        ]
        self.begin = Event("step", control.step)
        wires = {name: self._table(m, name) for name in self.tables}
        self._mark(m, Arrival(self.begin, 0), "embedding")
        for node in self.nodes:
            arrival = latest(wires[name].arrival for name in node.inputs if name in wires)
            self._mark(m, arrival, _PART.get(type(node.op), "tail"))
            part = self.parts[node.name]
            if part is not None:
                m.submodules[label(node.name)] = part
            if isinstance(node.op, ir.Sample):
                self._sample(m, part, wires[node.inputs[0]], arrival)
                continue
            word, arrival = self._build(m, node, part, [wires.get(n) for n in node.inputs], arrival)
            wires[node.name] = Wire(word, node.value.type, prod(node.value.shape), arrival)
        return m

    def _mark(self, m: Module, arrival: Arrival, part: str) -> None:
        """From `arrival` on the chip waits for `part`."""
        with m.If(arrival.event.delayed(m, arrival.cycles)):
            m.d.sync += self.active.eq(1 << PARTS.index(part))

    def _table(self, m: Module, name: str) -> Wire:
        table, memory = self.tables[name]
        m.submodules[label(name)] = memory
        inputs = {"token": self.control.token, "position": self.control.position}
        m.d.comb += memory.addr.eq(
            Cat(*(inputs[k][:b] for k, b in zip(table.inputs, table.bits, strict=True)))
        )
        value = self.graph.value(name)
        return Wire(memory.data, value.type, table.words.shape[1], Arrival(self.begin, rom.LATENCY))

    def _build(
        self, m: Module, node: ir.Node, part: Any, inputs: list[Wire | None], arrival: Arrival
    ) -> tuple[Value, Arrival]:
        """A node's value and its arrival, that of its inputs being `arrival`."""
        operands = [wire for wire in inputs if wire is not None]
        pulse = arrival.event.delayed(m, arrival.cycles)
        match node.op:
            case ir.ConstMatVec():
                m.d.comb += [part.i.eq(operands[0].word), part.start.eq(pulse)]
                return part.o, arrival.later(part.latency)
            case ir.Norm():
                m.d.comb += [
                    part.i.eq(operands[0].word),
                    part.start.eq(pulse),
                    part.restart.eq(self.control.step),
                ]
                return part.o, arrival.later(part.latency)
            case ir.Lookup():
                m.d.comb += part.i.eq(operands[0].word)
                return part.o, arrival.later(part.latency)
            case ir.Mul():
                m.d.comb += [part.a.eq(operands[0].word), part.b.eq(operands[1].word)]
                return part.o, arrival.later(part.latency)
            case ir.Rotary():
                m.d.comb += [
                    part.i.eq(operands[0].word),
                    part.position.eq(self.control.position),
                ]
                # The angles are there as soon as a table's word.
                arrival = latest([arrival, Arrival(self.begin, rom.LATENCY)])
                return part.o, arrival.later(part.latency)
            case ir.Reshape():
                return operands[0].word, arrival
            case ir.Attention():
                q, k, v = operands
                m.d.comb += [
                    part.q.eq(q.word), part.k.eq(k.word), part.v.eq(v.word),
                    part.position.eq(self.control.position), part.start.eq(pulse),
                ]  # fmt: skip
                least = arrival.cycles + part.latency(1)
                ended = Event(label(node.name), part.done, arrival.event, least)
                return part.o, Arrival(ended, 0)
            case ir.Add():
                sums = [
                    held(m, clipped(m, a + b, node.value.type))
                    for a, b in zip(operands[0].elements(), operands[1].elements(), strict=True)
                ]
                width = node.value.type.width
                return Cat(*(value[:width] for value in sums)), arrival.later(1)
        raise TypeError(f"node {node.name} has no hardware")

    def _sample(self, m: Module, part: SpaceSampler, logits: Wire, arrival: Arrival) -> None:
        control = self.control
        m.d.comb += [
            part.load.eq(control.loading),
            part.seed.eq(self.seed),
            part.beta.eq(self.beta),
            part.restart.eq(control.step),
            part.draws.eq(control.last),
            part.i.eq(logits.word),
            part.start.eq(arrival.event.delayed(m, arrival.cycles)),
            control.done.eq(part.done),
            control.drawn.eq(part.token),
        ]
        with m.If(part.done):
            m.d.sync += self.active.eq(0)


def label(name: str) -> str:
    """A Verilog identifier for a value."""
    return name.replace(".", "_")
