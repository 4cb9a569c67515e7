"""The chip: units around a vector memory, run by a microprogram.

One instruction moves data once around the loop: vector memory (or the chip's input) → head unit →
table → product → sum → sink (vector memory, KV cache, sampler or the chip's output).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import split
from rtl_gen.fabric.lockstep import Lockstep
from rtl_gen.fabric.pipeline import register
from rtl_gen.fabric.sequencer import Sequencer
from rtl_gen.fabric.serializer import Serializer
from rtl_gen.fabric.skid import Skid
from rtl_gen.fabric.vector_memory import VectorMemory, walk_ports
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.program import HEADS, SINKS, Program
from rtl_gen.schedule import Schedule

IDENTITY_BYTES = 32


def _join(m: Module, source: Any, sink: Any) -> None:
    """Connect two streams, here and now (inside a condition)."""
    m.d.comb += [
        sink.payload.eq(source.payload),
        sink.valid.eq(source.valid),
        source.ready.eq(sink.ready),
    ]


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
    busy, cycles, position : Out
        Status; clock cycles of the last step.
    id_addr, id_data
        Identity ROM: 32 bytes, 2 cycles after the address.
    """

    def __init__(
        self, graph: IntegerGraph, schedule: Schedule, units: dict[str, Any], width: int,
        elements: int = 1,
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
            depth=schedule.depth, width=width, last_bits=last_bits, elements=elements
        )
        self.sequencer = Sequencer(
            depth=len(self.program.instructions), width=self.program.width, tokens=self.tokens,
            context=graph.context, bos=graph.bos, eos=graph.eos,
        )  # fmt: skip
        self.identity = rom.Rom("identity", IDENTITY_BYTES, 8)
        ports: dict[str, Any] = {
            "i": In(stream.Signature(17)),
            "o": Out(stream.Signature(17)),
            "busy": Out(1),
            "cycles": Out(32),
            "position": Out(16),
            "id_addr": In(range(IDENTITY_BYTES)),
            "id_data": Out(8),
        }
        if self.tokens:
            ports |= {"start": In(1), "seed": In(32), "beta": In(16), "limit": In(16)}
        super().__init__(ports)

    def roms(self) -> list[tuple[rom.Rom, int]]:
        """Every ROM of the chip and how many copies of it there are."""
        found = [(self.sequencer.program, 1), (self.identity, 1)]
        for unit in self.units.values():
            copies = len(unit.copies) if isinstance(unit, Lockstep) else 1
            block = unit.copies[0] if isinstance(unit, Lockstep) else unit
            found += [(p, copies) for p in vars(block).values() if isinstance(p, rom.Rom)]
        return found

    def _bits(self, name: str) -> int:
        field = self.program.fields.get(name)
        return field.width if field else 1

    def field(self, name: str) -> Value:
        """Value of a microinstruction field while its instruction runs."""
        field = self.program.fields.get(name)
        if field is None:
            return Const(0, 1)
        if field.constant is not None:
            return Const(field.constant, signed(field.width) if field.signed else field.width)
        bits = self.sequencer.instruction[field.offset : field.offset + field.width]
        return bits.as_signed() if field.signed else bits

    def elaborate(self, platform: Any) -> Module:
        """Connect everything."""
        m = Module()
        m.submodules.memory = self.memory
        m.submodules.sequencer = self.sequencer
        m.submodules.identity = self.identity
        for name, unit in self.units.items():
            m.submodules[name] = unit
        m.d.comb += [self.identity.addr.eq(self.id_addr), self.id_data.eq(self.identity.data)]
        self._configure(m)
        head = self._heads(m)
        self._sinks(m, self._tail(m, head))
        return m

    def _configure(self, m: Module) -> None:
        """Microinstruction fields to the units' configuration ports; start pulses."""
        start, memory, units = self.sequencer.start, self.memory, self.units
        for prefix in "abd":
            for name in walk_ports(prefix, memory.address_bits, memory.last_bits[prefix]):
                m.d.comb += getattr(memory, name).eq(self.field(name))
        m.d.comb += [
            memory.a_start.eq(start & self.field("use_a")),
            memory.b_start.eq(start & self.field("use_b")),
            memory.d_start.eq(start),
        ]
        shared = {"shift": "head_shift", "low": "head_low", "high": "head_high"}
        ports = {
            "matvec": shared | {n: n for n in ("weight_base", "row_base", "last_column", "rows")},
            "embedding": shared
            | {"table_base": "table_base", "row_base": "embedding_row", "columns": "columns"},
            "norm": shared | {n: n for n in ("size", "center", "eps", "fraction", "gain_base")},
            "rotary": shared | {"table_base": "rotary_base"},
            "attention": shared | {n: n for n in ("cache_base", "score_multiplier", "score_shift")},
            "pool": {"last": "pool_last"},
            "lookup": {"offset": "lookup_offset"},
            "mul": {n: f"mul_{n}" for n in ("multiplier", "shift", "low", "high")},
            "add": {n: f"add_{n}" for n in ("low", "high")},
            "sample": {"shift": "sample_shift"},
        }
        for name, unit in units.items():
            for port, field in ports[name].items():
                m.d.comb += getattr(unit, port).eq(self.field(field))
        for name in ("matvec", "embedding", "norm", "rotary", "pool"):
            if name in units:
                m.d.comb += units[name].start.eq(start & self.is_head(name))
        position = self.sequencer.position
        if "embedding" in units:
            index = Mux(self.field("by_position"), position, self.sequencer.token)
            m.d.comb += units["embedding"].index.eq(index)
        if "rotary" in units:
            m.d.comb += units["rotary"].position.eq(position)
        if "attention" in units:
            attend = self.is_head("attend")
            storing = self.is_sink("key") | self.is_sink("value")
            m.d.comb += [
                units["attention"].position.eq(position),
                units["attention"].attend.eq(attend),
                units["attention"].start.eq(start & (attend | storing)),
            ]
        if "sample" in units:
            m.d.comb += [
                units["sample"].start.eq(start & self.is_sink("sample")),
                units["sample"].beta.eq(register(m, self.sequencer.loading, self.beta)),
                units["sample"].seed.eq(self.seed),
                units["sample"].load.eq(self.sequencer.loading),
            ]

    def is_head(self, name: str) -> Value:
        """Whether the running instruction's head unit is `name`."""
        return self.field("head") == HEADS.index(name)

    def is_sink(self, name: str) -> Value:
        """Whether the running instruction's sink is `name`."""
        return self.field("sink") == SINKS.index(name)

    def _heads(self, m: Module) -> Any:
        """Route operands to the head units and the selected unit's results to one stream."""
        skid = m.submodules.skid = Skid(self.width, self.elements)
        a, b = self.memory.a, self.memory.b
        used = {HEADS[i.fields["head"]] for i in self.program.instructions}
        operands = {"matvec": "i", "norm": "i", "pool": "i", "attend": "q", "rotary": "a"}
        with m.Switch(self.field("head")):
            for name in (name for name in HEADS if name in used - {"fill", "input"}):
                unit: Any = self.units.get("attention" if name == "attend" else name)
                with m.Case(HEADS.index(name)):
                    _join(m, a if name == "copy" else unit.o, skid.i)
                    if name in operands:
                        _join(m, a, getattr(unit, operands[name]))
                    if name == "rotary":
                        _join(m, b, unit.b)
        if not used & {"fill", "input"}:
            return skid.o
        # Zeros and frame elements are always at hand: they wait for the walk that counts them.
        out = stream.Signature(self.memory.shape).create(path=("head",))
        opened = self.memory.d_open
        with m.If(self.is_head("input")):
            m.d.comb += [
                Value.cast(out.payload).eq(self.i.payload[:16].as_signed()),
                out.valid.eq(self.i.valid & opened),
                self.i.ready.eq(out.ready & opened),
            ]
        with m.Elif(self.is_head("fill")):
            m.d.comb += [Value.cast(out.payload).eq(0), out.valid.eq(opened)]
        with m.Else():
            _join(m, skid.o, out)
        return out

    def _tail(self, m: Module, source: Any) -> Any:
        """Optional table, product and sum behind the head unit."""
        for name, operand in (("lookup", "i"), ("mul", "a"), ("add", "a")):
            if name not in self.units:
                continue
            unit = self.units[name]
            entry = getattr(unit, operand)
            out = stream.Signature(self.memory.shape).create(path=(f"after_{name}",))
            m.d.comb += entry.payload.eq(source.payload)
            if name != "lookup":
                m.d.comb += unit.b.payload.eq(self.memory.b.payload)
            with m.If(self.field(name)):
                m.d.comb += [
                    entry.valid.eq(source.valid),
                    source.ready.eq(entry.ready),
                    out.payload.eq(unit.o.payload),
                    out.valid.eq(unit.o.valid),
                    unit.o.ready.eq(out.ready),
                ]
                if name != "lookup":
                    m.d.comb += unit.b.valid.eq(self.memory.b.valid)
                    m.d.comb += self.memory.b.ready.eq(unit.b.ready)
            with m.Else():
                _join(m, source, out)
            source = out
        return source

    def _sinks(self, m: Module, source: Any) -> None:
        """Results to memory, cache, sampler or output; completion; the token loop."""
        memory, sequencer, units = self.memory, self.sequencer, self.units
        accepts = Signal(init=1)
        offered = source.valid & accepts
        m.d.comb += [
            memory.d.payload.eq(source.payload),
            memory.d.valid.eq(offered),
            memory.d_write.eq(self.is_sink("memory")),
            source.ready.eq(accepts),
            sequencer.done.eq(memory.done),
            self.busy.eq(sequencer.busy),
            self.cycles.eq(sequencer.cycles),
            self.position.eq(sequencer.position),
        ]
        if "attention" in units:
            for port, name in ((units["attention"].k, "key"), (units["attention"].v, "value")):
                m.d.comb += port.payload.eq(source.payload)
                m.d.comb += port.valid.eq(offered & self.is_sink(name))
        if not self.tokens:
            with m.If(self.is_sink("output")):
                m.d.comb += accepts.eq(self.o.ready)
            data = Signal(signed(16))
            m.d.comb += [
                data.eq(split(source.payload, self.elements)[0]),
                self.o.valid.eq(source.valid & memory.d_open & self.is_sink("output")),
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
        logits = stream.Signature(self.memory.shape).create(path=("logits",))
        m.d.comb += [
            logits.payload.eq(source.payload),
            logits.valid.eq(source.valid & self.is_sink("sample")),
        ]
        if self.elements == 1:
            _join(m, logits, sample.i)  # which never stalls while it counts logits
        else:
            buffer = m.submodules.buffer = Skid(self.width, self.elements)
            serial = m.submodules.serializer = Serializer(self.width, self.elements)
            _join(m, logits, buffer.i)
            wiring.connect(m, buffer.o, serial.i)
            wiring.connect(m, serial.o, sample.i)
            with m.If(self.is_sink("sample")):
                m.d.comb += accepts.eq(logits.ready)
        wiring.connect(m, sample.o, sequencer.drawn)
        with m.If(self.is_sink("sample")):
            m.d.comb += sequencer.done.eq(sample.o.valid)
