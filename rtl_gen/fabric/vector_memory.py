"""The activation buffer: two read streams and one write stream over one address space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import Module, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.address import LEVELS, AddressGenerator
from rtl_gen.fabric.beat import beat
from rtl_gen.fabric.pipeline import register
from rtl_gen.fabric.ram import Ram
from rtl_gen.fabric.skid import Skid

LEVEL_NAMES = tuple(f"{kind}{level}" for level in range(LEVELS) for kind in ("last", "step"))


def walk_ports(prefix: str, address_bits: int, last_bits: Sequence[int]) -> dict[str, Any]:
    """Configuration ports of one address generator, named like its microinstruction fields."""
    ports: dict[str, Any] = {f"{prefix}_base": In(address_bits)}
    for level in range(LEVELS):
        ports[f"{prefix}_last{level}"] = In(max(1, last_bits[level]))
        ports[f"{prefix}_step{level}"] = In(signed(address_bits + 1))
    return ports


class VectorMemory(wiring.Component):
    """Words of one beat; readers `a` and `b` and writer `d` walk loops of addresses.

    Two copies of the memory are written together and read apart. Read latency 4 cycles from
    `start`, throughput 1 beat per cycle and stream. Reader `a` may follow the writer through one
    buffer: read k waits until more than ``k + a_lag`` beats of the running `d` walk are in, or the
    walk has ended.

    Parameters
    ----------
    depth, width : int
        Words; signed width of an element.
    elements : int
        Elements of a word and of a beat.
    last_bits : mapping
        Per walker ``a``, ``b``, ``d`` the index widths of its loop levels, fastest first.
    lag_bits : int
        Width of `a_lag`.

    Members
    -------
    a, b : Out streams of beats
    d : In stream of beats
        Beats to keep; every one is counted, and written when `d_write` is high.
    a_start, b_start, d_start : In(1)
        Pulses; configuration is stable from then on.
    a_free, a_lag : In
        Walk `a` reads nothing that the running `d` walk writes; or how far it stays behind.
    a_busy : Out(1)
        Walk `a` has beats that have not been taken.
    done : Out(1)
        The last beat of the `d` walk is being accepted.
    d_open : Out(1)
        The `d` walk has beats to come. The stream is always ready: nothing may be offered
        outside of a walk.
    d_last : Out(1)
        The beat offered on `d` is the walk's last.
    """

    def __init__(
        self, *, depth: int, width: int, last_bits: dict[str, Sequence[int]], elements: int = 1,
        lag_bits: int = 1,
    ) -> None:  # fmt: skip
        self.depth = max(2, depth)
        self.width = width
        self.elements = elements
        self.shape = beat(width, elements)
        self.address_bits = (self.depth - 1).bit_length()
        self.last_bits = last_bits
        ports: dict[str, Any] = {
            "a": Out(stream.Signature(self.shape)),
            "b": Out(stream.Signature(self.shape)),
            "d": In(stream.Signature(self.shape)),
            "d_write": In(1),
            "done": Out(1),
            "d_last": Out(1),
            "d_open": Out(1),
            "a_free": In(1),
            "a_lag": In(max(1, lag_bits)),
            "a_busy": Out(1),
        }
        for prefix in "abd":
            ports[f"{prefix}_start"] = In(1)
            ports |= walk_ports(prefix, self.address_bits, last_bits[prefix])
        super().__init__(ports)

    def _walker(self, m: Module, prefix: str) -> AddressGenerator:
        walker = AddressGenerator(self.address_bits, [max(1, n) for n in self.last_bits[prefix]])
        m.submodules[f"{prefix}_walk"] = walker
        m.d.comb += walker.start.eq(getattr(self, f"{prefix}_start"))
        m.d.comb += walker.base.eq(getattr(self, f"{prefix}_base"))
        for name in LEVEL_NAMES:
            m.d.comb += getattr(walker, name).eq(getattr(self, f"{prefix}_{name}"))
        return walker

    def elaborate(self, platform: Any) -> Module:
        """Build the memories and their walkers."""
        m = Module()
        writer = self._walker(m, "d")
        taken = self.d.valid & writer.valid
        m.d.comb += [
            self.d.ready.eq(1),
            self.d_open.eq(writer.valid),
            writer.en.eq(taken),
            self.d_last.eq(writer.last),
            self.done.eq(taken & writer.last),
        ]
        address = Signal(self.address_bits, reset_less=True)
        word = Signal(self.shape, reset_less=True)
        write = Signal()
        m.d.sync += [address.eq(writer.addr), word.eq(self.d.payload)]
        m.d.sync += write.eq(taken & self.d_write)

        issued = Signal()
        allowed = self._follow(m, writer, taken, issued)
        for prefix, o in (("a", self.a), ("b", self.b)):
            memory = m.submodules[f"{prefix}_copy"] = Ram(self.depth, self.width * self.elements)
            reader = self._walker(m, prefix)
            skid = m.submodules[f"{prefix}_skid"] = Skid(self.width, self.elements)
            en = ~skid.i.valid | skid.i.ready
            reading = reader.valid
            if prefix == "a":
                reading = reader.valid & allowed
            m.d.comb += [
                memory.write.eq(write),
                memory.write_addr.eq(address),
                memory.write_data.eq(Value.cast(word)),
                memory.en.eq(en),
                memory.addr.eq(reader.addr),
                reader.en.eq(en & reading),
            ]
            data = Signal(self.width * self.elements, name=f"{prefix}_data", reset_less=True)
            with m.If(en):
                m.d.sync += data.eq(memory.data)
            m.d.comb += [
                Value.cast(skid.i.payload).eq(data),
            ]
            fetched = register(m, en, reading, reset=True)
            m.d.comb += skid.i.valid.eq(register(m, en, fetched, reset=True))
            wiring.connect(m, skid.o, wiring.flipped(o))
            if prefix == "a":
                m.d.comb += self.a_busy.eq(
                    reader.valid | fetched | skid.i.valid | ~skid.i.ready | skid.o.valid
                )
                m.d.comb += issued.eq(reading & en)
        return m

    def _follow(self, m: Module, writer: AddressGenerator, taken: Value, issued: Signal) -> Signal:
        """Whether walk `a` may issue its next read."""
        beats = sum(self.last_bits["d"]) + 1
        written = Signal(beats)
        needed = Signal(max(sum(self.last_bits["a"]), len(self.a_lag)) + 2)
        ended, allowed = Signal(), Signal()
        with m.If(self.d_start):
            m.d.sync += written.eq(0)
        with m.Elif(taken):
            m.d.sync += written.eq(written + 1)
        # One beat more than needed, so that a read issued meanwhile cannot overtake.
        m.d.sync += allowed.eq(ended | (written > needed))
        m.d.sync += needed.eq(needed + issued)
        with m.If(self.done):
            m.d.sync += ended.eq(1)
        with m.If(self.a_start):
            now = self.a_free | ~writer.valid
            m.d.sync += [needed.eq(self.a_lag + 1), allowed.eq(now), ended.eq(now | self.done)]
        return allowed
