"""Programmable memory of the adapters: written by the host, read by the lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth import Array, Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.pipeline import register
from rtl_gen.fabric.ram import Ram

HOST_BITS = 32
"""Bits of one word that the host writes."""

BANKS = ("a", "b", "row")
"""The three memories of a slot, in the order in which an image fills them."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Size of the adapter memory.

    Parameters
    ----------
    slots : int
    words : tuple of int
        Words of one slot in the memories ``a``, ``b`` and ``row``.
    widths : tuple of int
        Their widths in bits.
    """

    slots: int
    words: tuple[int, int, int]
    widths: tuple[int, int, int]

    def pieces(self, bank: int) -> list[int]:
        """Widths of the pieces in which the host writes a word, the low bits first."""
        width = self.widths[bank]
        return [min(HOST_BITS, width - start) for start in range(0, width, HOST_BITS)]

    @property
    def host_words(self) -> int:
        """Words that the host writes for one image."""
        return sum(n * len(self.pieces(bank)) for bank, n in enumerate(self.words))

    @property
    def bits(self) -> int:
        """Bits of all slots."""
        per_slot = sum(n * width for n, width in zip(self.words, self.widths, strict=True))
        return self.slots * per_slot


class ReadPorts(wiring.Signature):
    """Reading side of an adapter memory, as its reader sees it.

    Parameters
    ----------
    geometry : Geometry
    """

    def __init__(self, geometry: Geometry) -> None:
        members: dict[str, Any] = {}
        for bank, words, width in zip(BANKS, geometry.words, geometry.widths, strict=True):
            addresses = range(max(2, geometry.slots * words))
            members |= {
                f"{bank}_en": Out(1),
                f"{bank}_addr": Out(addresses),
                f"{bank}_base": In(addresses),
                f"{bank}_data": In(width),
            }
        super().__init__(members)


class AdapterMemory(wiring.Component):
    """Three memories of `Geometry`, each made of pieces that the host writes one at a time.

    Latency 2 cycles, throughput 1 word of each memory per cycle; both stages hold while the
    memory's `en` is low. Reads see slot `active`, writes go to slot `opened`, and the two are never
    equal (`rtl_gen.fabric.adapter_port`).

    Parameters
    ----------
    geometry : Geometry

    Members
    -------
    active, opened : In
        Slots from 1 on.
    write, bank, offset, piece, write_data : In
        One piece of word `offset` of slot `opened`.
    read : In(ReadPorts)
        For the banks ``a``, ``b`` and ``row``: ``<bank>_en``, ``<bank>_addr``, ``<bank>_data``, and
        ``<bank>_base``, the address of the first word of slot `active` one cycle later, from which
        readers start.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        most = max(geometry.words)
        pieces = max(len(geometry.pieces(bank)) for bank in range(len(BANKS)))
        ports: dict[str, Any] = {
            "active": In(range(geometry.slots + 1)),
            "opened": In(range(geometry.slots + 1)),
            "write": In(1),
            "bank": In(range(len(BANKS) + 1)),
            "offset": In(range(max(2, most))),
            "piece": In(range(max(2, pieces))),
            "write_data": In(HOST_BITS),
            "read": In(ReadPorts(geometry)),
        }
        super().__init__(ports)

    def elaborate(self, platform: Any) -> Module:
        """Build the pieces; addresses of slots are sums with one of few constants."""
        m = Module()
        for index, name in enumerate(BANKS):
            words = self.geometry.words[index]
            depth = self.geometry.slots * words
            bases = [0, *(slot * words for slot in range(self.geometry.slots))]
            shape = range(max(2, depth))
            into_base = Signal(shape, name=f"{name}_write_base")
            from_base = Array(Const(b, shape) for b in bases)[self.active]
            m.d.sync += getattr(self.read, f"{name}_base").eq(from_base)
            m.d.comb += into_base.eq(Array(Const(b, shape) for b in bases)[self.opened])
            target = Signal(shape, name=f"{name}_to")
            en, address = getattr(self.read, f"{name}_en"), getattr(self.read, f"{name}_addr")
            m.d.sync += target.eq(into_base + self.offset)
            data = register(m, Const(1), self.write_data)
            parts = []
            for piece, width in enumerate(self.geometry.pieces(index)):
                ram = m.submodules[f"{name}{piece}"] = Ram(depth, width)
                chosen = self.write & (self.bank == index) & (self.piece == piece)
                m.d.comb += [
                    ram.write.eq(register(m, Const(1), chosen, reset=True)),
                    ram.write_addr.eq(target),
                    ram.write_data.eq(data[:width]),
                    ram.en.eq(en),
                    ram.addr.eq(address),
                ]
                parts.append(register(m, en, ram.data))
            m.d.comb += getattr(self.read, f"{name}_data").eq(Cat(*parts))
        return m
