"""The chip: units around a vector memory, run by a microprogram.

One instruction moves data once around the loop: vector memory (or the chip's input) → head unit →
rotation → table → product → sum → sink (vector memory, KV cache, sampler or the chip's output).
Two instructions overlap: one reads while the one before lets its results out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen import activity, chosen_expert
from rtl_gen.fabric import rom
from rtl_gen.fabric.adapter_memory import HOST_BITS, AdapterMemory, Geometry
from rtl_gen.fabric.adapter_port import AdapterPort
from rtl_gen.fabric.beat import split
from rtl_gen.fabric.pipeline import register
from rtl_gen.fabric.sequencer import Sequencer
from rtl_gen.fabric.skid import Skid
from rtl_gen.fabric.vector_memory import VectorMemory, walk_ports
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.program import HEADS, SINKS, Program
from rtl_gen.schedule import Schedule
from rtl_gen.tail import PARTS, join, tail

IDENTITY_BYTES = 32

HEAD_CONFIG = {
    "matvec": {n: n for n in ("weight_base", "last_column", "group_rows", "source")},
    "embedding": {
        "table_base": "table_base", "row_base": "embedding_row", "columns": "columns",
        "shift": "head_shift", "low": "head_low", "high": "head_high",
    },
    "norm": {n: n for n in ("size", "center", "eps", "fraction", "gain_base")}
    | {"shift": "head_shift", "low": "head_low", "high": "head_high"},
    "attend": {
        n: n for n in ("cache_base", "reach", "sink_base", "score_multiplier", "score_shift")
    }
    | {"shift": "head_shift", "low": "head_low", "high": "head_high"},
    "pool": {"last": "pool_last"},
    "etched": {"core": "etched_core", "last_column": "last_column"},
    "route": {"multiplier": "gate_multiplier", "shift": "gate_shift", "bias_base": "bias_base"},
}  # fmt: skip
"""Ports of a head unit and the fields it takes them from when its instruction starts."""

TAIL_CONFIG = {
    "matvec": {"row_base": "row_base", "row_source": "row_source", "rows": "rows"}
    | {"shift": "head_shift"}
    | {"low": "head_low", "high": "head_high"},
    "etched": {"row_base": "etched_row", "rows": "rows", "shift": "head_shift"}
    | {"low": "head_low", "high": "head_high"},
    "rotary": {n: f"rotary_{n}" for n in ("shift", "low", "high")} | {"table_base": "rotary_base"},
    "lookup": {"offset": "lookup_offset"},
    "mul": {n: f"mul_{n}" for n in ("multiplier", "shift", "low", "high")},
    "add": {n: f"add_{n}" for n in ("low", "high")},
    "sample": {"shift": "sample_shift"},
}
"""Ports that follow the instruction that lets its results out."""

UNCOUNTED = {"fill", "input"}
"""Heads that always offer: the walk at the sink counts their beats."""


class Chip(wiring.Component):
    """A network in hardware; golden model `rtl_gen.golden.interpreter`.

    Parameters
    ----------
    graph : IntegerGraph
    schedule : Schedule
    units : dict of str to Component
        From `rtl_gen.units.build`.
    width, elements : int
        Signed width of an element; elements of a beat.
    adapter : Geometry or None
        Of the adapter memory, if there is one.

    Members
    -------
    i : In stream of 17 bits
        Data (a token, or a signed element of a frame) and, above, `last`.
    o : Out stream of 17 bits
        Data (a token, or a signed element of the result) and, above, `last`.
    start, seed, beta, limit : In
        Only when the network reads tokens: start with the bos token; random state, inverse
        temperature (0 greedy) and most tokens to generate (0 no limit), all three taken when a
        sequence starts.
    top_k : In
        Only with places for them: how many largest logits take part in a draw (0 all), taken alike.
    busy, cycles, position : Out
        Status; clock cycles of the last step.
    active : Out
        Which parts have work in this cycle, one bit for each name of `rtl_gen.activity.names`.
    id_addr, id_data
        Identity ROM: 32 bytes, 2 cycles after the address.
    adapter_addr, adapter_write, adapter_write_data, adapter_read_data
        Only with an adapter memory: its host port (`rtl_gen.fabric.adapter_port`).
    """

    def __init__(
        self, graph: IntegerGraph, schedule: Schedule, units: dict[str, Any], width: int,
        elements: int = 1, adapter: Geometry | None = None,
    ) -> None:  # fmt: skip
        self.graph = graph
        self.program: Program = schedule.program
        self.units = units
        self.width = width
        self.elements = elements
        self.tokens = graph.vocabulary > 0
        last_bits: dict[str, Sequence[int]] = {
            p: [self._bits(f"{p}_last{level}") for level in range(4)] for p in "abd"
        }
        self.memory = VectorMemory(
            depth=schedule.depth, width=width, last_bits=last_bits, elements=elements,
            lag_bits=self._bits("a_lag"),
        )  # fmt: skip
        self.sequencer = Sequencer(
            depth=len(self.program.instructions), width=self.program.width, tokens=self.tokens,
            context=graph.context, bos=graph.bos, eos=graph.eos, replay=graph.replay,
            adapted_start=self.program.adapted,
        )  # fmt: skip
        self.identity = rom.Rom("identity", IDENTITY_BYTES, 8)
        self.activity = activity.names(self.program, self.units)
        ports: dict[str, Any] = {
            "i": In(stream.Signature(17)),
            "o": Out(stream.Signature(17)),
            "busy": Out(1),
            "cycles": Out(32),
            "position": Out(16),
            "active": Out(len(self.activity)),
            "id_addr": In(range(IDENTITY_BYTES)),
            "id_data": Out(8),
        }
        self.adapter_port: AdapterPort | None = None
        if adapter is not None:
            self.adapter_port = AdapterPort(adapter)
            self.adapter_memory = AdapterMemory(adapter)
            ports |= {
                "adapter_addr": In(3),
                "adapter_write": In(1),
                "adapter_write_data": In(HOST_BITS),
                "adapter_read_data": Out(HOST_BITS),
            }
        if self.tokens:
            ports |= {"start": In(1), "seed": In(32), "beta": In(16), "limit": In(16)}
            ports |= {"top_k": In(8)} if units["sample"].places else {}
        super().__init__(ports)

    def roms(self) -> list[tuple[rom.Rom | rom.RomPair, int]]:
        """Every ROM of the chip and how many copies of it there are."""
        found = [*rom.inside(self.sequencer), self.identity]
        found += [] if self.adapter_port is None else rom.inside(self.adapter_port)
        for unit in self.units.values():
            found += rom.inside(unit)
        first = {part.name: part for part in reversed(found)}
        return [(part, sum(p.name == name for p in found)) for name, part in first.items()]

    def _bits(self, name: str) -> int:
        field = self.program.fields.get(name)
        return field.width if field else 1

    def _field(self, word: Value, name: str) -> Value:
        field = self.program.fields.get(name)
        if field is None:
            return Const(0, 1)
        if field.constant is not None:
            return Const(field.constant, signed(field.width) if field.signed else field.width)
        bits = word[field.offset : field.offset + field.width]
        return bits.as_signed() if field.signed else bits

    def front(self, name: str) -> Value:
        """Value of a field of the instruction that reads."""
        return self._field(self.sequencer.front, name)

    def back(self, name: str) -> Value:
        """Value of a field of the instruction that lets its results out."""
        return self._field(self.sequencer.back, name)

    def elaborate(self, platform: Any) -> Module:
        """Connect everything."""
        m = Module()
        m.submodules.memory = self.memory
        m.submodules.sequencer = self.sequencer
        m.submodules.identity = self.identity
        for name, unit in self.units.items():
            m.submodules[name] = unit
        m.d.comb += [self.identity.addr.eq(self.id_addr), self.id_data.eq(self.identity.data)]
        self._adapters(m)
        self._configure(m)
        used = {HEADS[item.fields["head"]] for item in self.program.instructions}
        results = tail(
            m, self.units, self._heads(m, used), self.memory.b, self.back, self.width,
            self.elements, counted=not used & UNCOUNTED,
        )  # fmt: skip
        self._sinks(m, results)
        sampling = self.sequencer.running & self._to("sample")
        passes = Cat(*(self.back(name) for name, _ in PARTS if name in self.units)).any()
        combining = self.memory.d.valid & self.memory.d_open & passes
        m.d.comb += self.active.eq(
            activity.bits(self.activity, self.units, writes=self._writes, sampling=sampling,
                          combining=combining)
        )  # fmt: skip
        return m

    def _adapters(self, m: Module) -> None:
        """Host port, adapter memory, and the lanes' way to it."""
        port = self.adapter_port
        if port is None:
            return
        memory = self.adapter_memory
        m.submodules.adapter_port, m.submodules.adapter_memory = port, memory
        wiring.connect(m, self.units["matvec"].memory, memory.read)
        m.d.comb += [
            port.addr.eq(self.adapter_addr),
            port.write.eq(self.adapter_write),
            port.write_data.eq(self.adapter_write_data),
            self.adapter_read_data.eq(port.read_data),
            port.boundary.eq(self.sequencer.boundary),
            self.sequencer.adapted.eq(port.active != 0),
            memory.active.eq(port.active),
            memory.opened.eq(port.opened),
            memory.write.eq(port.memory_write),
            memory.bank.eq(port.bank),
            memory.offset.eq(port.offset),
            memory.piece.eq(port.piece),
            memory.write_data.eq(port.memory_data),
        ]

    def _configure(self, m: Module) -> None:
        """Microinstruction fields to the units' configuration ports; start pulses."""
        sequencer, memory, units = self.sequencer, self.memory, self.units
        start, commit = sequencer.start, sequencer.commit
        for prefix, holder in (("a", self.front), ("b", self.back), ("d", self.back)):
            for name in walk_ports(prefix, memory.address_bits, memory.last_bits[prefix]):
                m.d.comb += getattr(memory, name).eq(holder(name))
        m.d.comb += [
            memory.a_start.eq(start & self.front("use_a")),
            memory.a_free.eq(self.front("a_free")),
            memory.a_lag.eq(self.front("a_lag")),
            memory.b_start.eq(commit & self.back("use_b")),
            memory.d_start.eq(commit),
            sequencer.reading.eq(self._busy()),
        ]
        for name, ports in TAIL_CONFIG.items():
            for port, field in _present(ports, units.get(name)):
                m.d.comb += getattr(units[name], port).eq(self.back(field))
        m.d.comb += sequencer.unit_free.eq(~(self.front("alone") & sequencer.running))
        for head, ports in HEAD_CONFIG.items():
            unit = units.get("attention" if head == "attend" else head)
            if unit is None:
                continue
            begin = start & self.reads(head) & ~self.front("continued")
            for port, field in _present(ports, unit):
                value = self.front(field)
                # A constant stays one: synthesis builds no multiplier by a size that never changes.
                held = value if isinstance(value, Const) else register(m, begin, value)
                m.d.comb += getattr(unit, port).eq(held)
            m.d.comb += unit.start.eq(register(m, Const(1), begin, reset=True))
        position = sequencer.position
        for name in (name for name in ("matvec", "etched") if name in units):
            m.d.comb += units[name].drain.eq(commit & self._writes(name))
        if "route" in units:
            chosen_expert.select(m, self)
        if "embedding" in units:
            index = Mux(self.front("by_position"), position, sequencer.token)
            begin = start & self.reads("embedding")
            m.d.comb += units["embedding"].index.eq(register(m, begin, index))
        if "rotary" in units:
            m.d.comb += [units["rotary"].position.eq(position), units["rotary"].start.eq(commit)]
        if "attention" in units:
            m.d.comb += [
                units["attention"].position.eq(position),
                units["attention"].go.eq(self._writes("attend")),
                units["attention"].store.eq(commit & (self._to("key") | self._to("value"))),
                units["attention"].store_base.eq(self.back("cache_base")),
            ]
        if "sample" in units:
            m.d.comb += [
                units["sample"].start.eq(commit & self._to("sample")),
                units["sample"].beta.eq(register(m, sequencer.loading, self.beta)),
                units["sample"].seed.eq(self.seed),
                units["sample"].load.eq(sequencer.loading),
            ]
            if units["sample"].places:
                m.d.comb += units["sample"].top_k.eq(register(m, sequencer.loading, self.top_k))

    def _busy(self) -> Value:
        """Whether the instruction that reads has something to wait for."""
        settling = getattr(self.units.get("route"), "settling", None)
        return self.memory.a_busy if settling is None else self.memory.a_busy | settling

    def reads(self, head: str) -> Value:
        """Whether the instruction that reads feeds `head`."""
        return self.front("head") == HEADS.index(head)

    def _writes(self, head: str) -> Value:
        """Whether results of `head` are let out."""
        return self.sequencer.running & (self.back("head") == HEADS.index(head))

    def _to(self, sink: str) -> Value:
        """Whether results go to `sink`."""
        return self.back("sink") == SINKS.index(sink)

    def _heads(self, m: Module, used: set[str]) -> Any:
        """Route operands to the head units and the selected unit's results to one stream."""
        skid = m.submodules.skid = Skid(self.width, self.elements)
        a = self.memory.a
        units = {n: self.units.get("attention" if n == "attend" else n) for n in used}
        operands = {"matvec": "i", "norm": "i", "pool": "i", "attend": "q", "route": "i"}
        operands["etched"] = "i"
        with m.Switch(self.front("head")):
            for name in (name for name in HEADS if name in used & set(operands)):
                with m.Case(HEADS.index(name)):
                    join(m, a, getattr(units[name], operands[name]))
        with m.If(self.sequencer.running), m.Switch(self.back("head")):
            for name in (name for name in HEADS if name in used - UNCOUNTED):
                with m.Case(HEADS.index(name)):
                    if name == "copy":
                        with m.If(self.sequencer.together):
                            join(m, a, skid.i)
                    else:
                        unit: Any = units[name]
                        join(m, unit.o, skid.i)
        if not used & UNCOUNTED:
            return skid.o
        # Zeros and frame elements are always at hand: they wait for the walk that counts them.
        out = stream.Signature(self.memory.shape).create(path=("head",))
        opened = self.memory.d_open
        with m.If(self._writes("input")):
            m.d.comb += [
                Value.cast(out.payload).eq(self.i.payload[:16].as_signed()),
                out.valid.eq(self.i.valid & opened),
                self.i.ready.eq(out.ready & opened),
            ]
        with m.Elif(self._writes("fill")):
            m.d.comb += [Value.cast(out.payload).eq(0), out.valid.eq(opened)]
        with m.Else():
            join(m, skid.o, out)
        return out

    def _sinks(self, m: Module, source: Any) -> None:
        """Results to memory, cache, sampler or output; completion; the token loop."""
        memory, sequencer, units = self.memory, self.sequencer, self.units
        offered = Signal()
        m.d.comb += [
            offered.eq(source.valid),
            source.ready.eq(1),
            memory.d.payload.eq(source.payload),
            memory.d.valid.eq(offered),
            memory.d_write.eq(self._to("memory")),
            sequencer.done.eq(memory.done),
            self.busy.eq(sequencer.busy),
            self.cycles.eq(sequencer.cycles),
            self.position.eq(sequencer.position),
        ]
        if "attention" in units:
            for port, name in ((units["attention"].k, "key"), (units["attention"].v, "value")):
                m.d.comb += port.payload.eq(source.payload)
                m.d.comb += port.valid.eq(offered & self._to(name))
        if not self.tokens:
            with m.If(self._to("output")):
                m.d.comb += [source.ready.eq(self.o.ready), offered.eq(source.valid & self.o.ready)]
            data = Signal(signed(16))
            m.d.comb += [
                data.eq(split(source.payload, self.elements)[0]),
                self.o.valid.eq(source.valid & memory.d_open & self._to("output")),
                self.o.payload.eq(Cat(data, memory.d_last)),
                sequencer.i.valid.eq(self.i.valid),
            ]
            return
        wiring.connect(m, wiring.flipped(self.i), sequencer.i)
        wiring.connect(m, sequencer.o, wiring.flipped(self.o))
        # Registers count from the start of a sequence: a host may prepare the next one meanwhile.
        held_limit = register(m, sequencer.loading, self.limit)
        m.d.comb += [sequencer.begin.eq(self.start), sequencer.limit.eq(held_limit)]
        sample = units["sample"]
        m.d.comb += sample.i.payload.eq(source.payload)
        m.d.comb += sample.i.valid.eq(source.valid & self._to("sample"))
        if sample.places:  # else it never stalls while it counts logits
            # The sampler ends its instruction itself, so the walk of the results may run ahead of
            # it: that it waits stays off the path to `done`.
            m.d.comb += source.ready.eq(sample.i.ready | ~self._to("sample"))
        wiring.connect(m, sample.o, sequencer.drawn)
        with m.If(self._to("sample")):
            m.d.comb += sequencer.done.eq(sample.o.valid)


def _present(ports: dict[str, str], unit: Any) -> list[tuple[str, str]]:
    """Those configuration ports that a unit has."""
    return [] if unit is None else [(p, f) for p, f in ports.items() if p in unit.signature.members]
