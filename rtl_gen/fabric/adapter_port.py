"""Host port of the adapter memory: registers, the identity check, and which slot is used.

Whatever a host writes, in any order: the slot in use never changes within a token, is never
written, and holds a complete image made for this base; no other memory can be reached. The port
takes a write in every cycle and never waits, so it cannot hang.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric import rom
from rtl_gen.fabric.adapter_memory import BANKS, HOST_BITS, Geometry
from rtl_gen.fabric.pipeline import delay, register

IDENTITY_WORDS = 8


@dataclass(frozen=True, slots=True)
class Register:
    """One register of the port."""

    name: str
    address: int
    access: str
    meaning: str


REGISTERS = (
    Register("STATUS", 0, "read", "slot in use (bits 7:0), slot selected (15:8), slot being "
             "loaded, 0 if none (23:16), error of the last command (27:24)"),
    Register("SELECT", 1, "write", "slot to use from the next token on; 0 is the base alone"),
    Register("OPEN", 2, "write", "start to load this slot, which becomes invalid; refused for the "
             "slot in use or selected"),
    Register("IDENTITY", 3, "write", "next word of the base's digest, eight in all, first byte in "
             "the low bits"),
    Register("DATA", 4, "write", "next word of the image"),
    Register("COMMIT", 5, "write", "sum of all words of the image, modulo 2**32: the slot becomes "
             "valid if digest, number and sum of the words are right"),
    Register("VALID", 6, "read", "bit s - 1: slot s holds an image that was committed"),
    Register("GEOMETRY", 7, "read", "words of an image (bits 23:0), slots (31:24)"),
)  # fmt: skip
"""Register map of the port, 32 bits a register."""

ERRORS = (
    "none", "no such slot", "slot in use or selected", "no slot open", "made for another base",
    "wrong number of words", "wrong sum", "slot not valid",
)  # fmt: skip
"""Meaning of the error codes."""

ADDRESS = {item.name: item.address for item in REGISTERS}


def register_map() -> str:
    """Markdown table of the registers and of the error codes, for `docs/adapters.md`."""
    rows = [f"| {r.address} | `{r.name}` | {r.access} | {r.meaning} |" for r in REGISTERS]
    errors = ", ".join(f"{code} {text}" for code, text in enumerate(ERRORS))
    return "\n".join([
        "| address | register | access | meaning |", "|---|---|---|---|", *rows, "",
        f"Errors: {errors}.",
    ])  # fmt: skip


class AdapterPort(wiring.Component):
    """Registers of the adapter memory; `REGISTERS` describes them.

    Reads answer in the same cycle. A write takes effect in the next one.

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    addr, write, write_data, read_data
        Host side.
    boundary : In(1)
        No token is being computed, or none of its instructions has run yet.
    active, opened : Out
        Slot in use, 0 if none; slot being loaded, 0 if none.
    memory_write, bank, offset, piece, memory_data : Out
        To `AdapterMemory`.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.base = rom.Rom("adapter_base", IDENTITY_WORDS, HOST_BITS)
        slots, most = geometry.slots, max(geometry.words)
        pieces = max(len(geometry.pieces(bank)) for bank in range(len(BANKS)))
        super().__init__(
            {
                "addr": In(3),
                "write": In(1),
                "write_data": In(HOST_BITS),
                "read_data": Out(HOST_BITS),
                "boundary": In(1),
                "active": Out(range(slots + 1)),
                "opened": Out(range(slots + 1)),
                "memory_write": Out(1),
                "bank": Out(range(len(BANKS) + 1)),
                "offset": Out(range(max(2, most))),
                "piece": Out(range(max(2, pieces))),
                "memory_data": Out(HOST_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the registers, the loader and the identity check."""
        m = Module()
        m.submodules.base = self.base
        slots = self.geometry.slots
        selected = Signal.like(self.active)
        valid = Signal(slots)
        error = Signal(4)
        full, surplus = Signal(), Signal()
        total = Signal(HOST_BITS)
        proven = self._identity(m)

        def command(name: str) -> Any:
            return self.write & (self.addr == ADDRESS[name])

        wanted = self.write_data
        exists = (wanted >= 1) & (wanted <= slots)
        is_valid = (Cat(Const(1, 1), valid) >> wanted[: len(self.active)])[0]
        busy = (wanted == selected) | (wanted == self.active)

        # `selected` changes to valid slots only and no slot in use or selected becomes invalid,
        # so the slot in use is always valid and never the one being written.
        with m.If(self.boundary):
            m.d.sync += self.active.eq(selected)
        with m.If(command("SELECT")):
            with m.If(wanted > slots):
                m.d.sync += error.eq(1)
            with m.Elif(~is_valid):
                m.d.sync += error.eq(7)
            with m.Else():
                m.d.sync += [selected.eq(wanted), error.eq(0)]
        with m.If(command("OPEN")):
            m.d.sync += self.opened.eq(0)
            with m.If(~exists):
                m.d.sync += error.eq(1)
            with m.Elif(busy):
                m.d.sync += error.eq(2)
            with m.Else():
                m.d.sync += [self.opened.eq(wanted), error.eq(0), total.eq(0), surplus.eq(0)]
                m.d.sync += [self.bank.eq(0), self.offset.eq(0), self.piece.eq(0)]
                m.d.sync += valid.eq(valid & ~(Const(1, slots + 1) << wanted[: len(selected)] >> 1))
        with m.If(command("IDENTITY") | command("DATA") | command("COMMIT")):
            m.d.sync += error.eq(Mux(self.opened == 0, 3, 0))
        m.d.comb += [
            full.eq(self.bank == len(BANKS)),
            self.memory_write.eq(command("DATA") & (self.opened != 0) & ~full),
            self.memory_data.eq(self.write_data),
        ]
        with m.If(command("DATA") & (self.opened != 0)):
            m.d.sync += total.eq(total + self.write_data)
            with m.If(full):
                m.d.sync += [surplus.eq(1), error.eq(5)]
        self._advance(m)
        with m.If(command("COMMIT") & (self.opened != 0)):
            m.d.sync += self.opened.eq(0)
            with m.If(~proven):
                m.d.sync += error.eq(4)
            with m.Elif(~full | surplus):
                m.d.sync += error.eq(5)
            with m.Elif(total != self.write_data):
                m.d.sync += error.eq(6)
            with m.Else():
                m.d.sync += valid.eq(valid | (Const(1, slots + 1) << self.opened >> 1))

        status = Cat(_byte(self.active), _byte(selected), _byte(self.opened), error)
        geometry = Cat(Const(self.geometry.host_words, 24), Const(slots, 8))
        with m.Switch(self.addr):
            for name, value in (("STATUS", status), ("VALID", valid), ("GEOMETRY", geometry)):
                with m.Case(ADDRESS[name]):
                    m.d.comb += self.read_data.eq(value)
        return m

    def _identity(self, m: Module) -> Signal:
        """Compare the digest that the host writes with the ROM; tell whether all of it agreed."""
        count = Signal(range(IDENTITY_WORDS + 2))
        wrong, proven = Signal(), Signal()
        opening = self.write & (self.addr == ADDRESS["OPEN"])
        given = self.write & (self.addr == ADDRESS["IDENTITY"]) & (self.opened != 0)
        m.d.comb += self.base.addr.eq(count)
        on = Const(1)
        arrived = delay(m, on, given & ~opening, rom.LATENCY, reset=True)
        word = delay(m, on, self.write_data, rom.LATENCY)
        waiting = register(m, on, given, reset=True) | arrived
        with m.If(given):
            m.d.sync += count.eq(Mux(count > IDENTITY_WORDS, count, count + 1))
        with m.If(arrived & (word != self.base.data)):
            m.d.sync += wrong.eq(1)
        with m.If(opening):
            m.d.sync += [count.eq(0), wrong.eq(0)]
        m.d.comb += proven.eq((count == IDENTITY_WORDS) & ~wrong & ~waiting)
        return proven

    def _advance(self, m: Module) -> None:
        """Place of the next word: pieces of a word, words of a bank, banks."""
        last_piece, last_word = Signal(), Signal()
        with m.Switch(self.bank):
            for bank, words in enumerate(self.geometry.words):
                with m.Case(bank):
                    pieces = len(self.geometry.pieces(bank))
                    m.d.comb += last_piece.eq(self.piece == pieces - 1)
                    m.d.comb += last_word.eq(self.offset == words - 1)
        with m.If(self.memory_write):
            m.d.sync += self.piece.eq(self.piece + 1)
            with m.If(last_piece):
                m.d.sync += [self.piece.eq(0), self.offset.eq(self.offset + 1)]
                with m.If(last_word):
                    m.d.sync += [self.offset.eq(0), self.bank.eq(self.bank + 1)]


def _byte(value: Any) -> Any:
    return Cat(value, Const(0, 8))[:8]
