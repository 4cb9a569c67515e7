"""Is the routed netlist the synthesized chip? Cell by cell, with every function and every wire.

Place and route packs cells: a multiplexer becomes a part of the LUT below it, a carry cell becomes
two halves with cells where a chain begins or ends, a memory of LUTs becomes five. Every cell of the
synthesized netlist is found by its name, or by what it chooses from, and its pins at their parts.
Each net of the one must then be one net of the other, and each cell must do the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from flow.evidence.design import Bit, Cell, Design, Module, inlined, text
from flow.evidence.memories import TOP, routed_table

MOST_FINDINGS = 5

_COMB = "TRELLIS_COMB"
_WRITER = {"DI": ("C1", "A1", "D1", "B1"), "WAD": ("D0", "B0", "C0", "A0")}
"""Inputs of a memory of LUTs, at the pins of the slice that writes it (nextpnr, ecp5/pack.cc)."""

_CHOICES = {"PFUMX": (("BLUT", "F"), ("ALUT", "F1"), ("C0", "M"), ("Z", "OFX")),
            "L6MUX21": (("D0", "FXA"), ("D1", "FXB"), ("SD", "M"), ("Z", "OFX"))}  # fmt: skip
"""Pins of multiplexers, the two that they choose from first, and where they are packed."""

_TABLES = {"LUT4": ("",), "CCU2C": ("0", "1")}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pin of the netlist is after packing.

    Parameters
    ----------
    pin : str
    bit : Bit
        The netlist's bit at the pin.
    cell : Cell
        The routed cell.
    at : str
        Its pin.
    """

    pin: str
    bit: Bit
    cell: Cell
    at: str


@dataclass
class _Pairing:
    """Nets of the netlist and of the routed one, as far as they are known to be the same."""

    routed: Module
    nets: dict[Bit, Bit] = field(default_factory=dict)
    back: dict[Bit, Bit] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    pins: int = 0

    def __post_init__(self) -> None:
        cells = self.routed.cells
        self.constant: dict[Bit, Bit] = {
            cells[name].bit("F"): value
            for name, value in (("$PACKER_GND", "0"), ("$PACKER_VCC", "1")) if name in cells
        }  # fmt: skip
        self.source: dict[Bit, Bit] = dict(_fed(cells)) | self.constant

    def net(self, cell: Cell, pin: str) -> Bit:
        """Net at a pin, followed back through the ends of carry chains."""
        found = cell.bit(pin)
        while found in self.source:
            found = self.source[found]
        return found

    def join(self, name: str, place: Place) -> None:
        """State that the bit is the net at its place."""
        self.pins += 1
        net = self.net(place.cell, place.at)
        if self.nets.setdefault(place.bit, net) != net or (
            self.back.setdefault(net, place.bit) != place.bit
        ):
            self.findings.append(f"{name}, {place.pin}: another net than in the netlist")

    def tie(self, name: str, place: Place) -> None:
        """State that the net at a place has the constant value of the bit."""
        self.pins += 1
        found = self.net(place.cell, place.at)
        if found == "x":
            way = text(place.cell.parameters.get(f"{place.at}MUX", place.at))
            # A wire that nothing drives is 1, but that of a slice's reset.
            idle = "0" if place.at == "LSR" else "1"
            found = {"0": "0", "1": "1", "INV": "0", place.at: idle}.get(way, "x")
        if found != place.bit:
            self.findings.append(f"{name}, {place.pin}: not {place.bit}, as in the netlist")


def compare(netlist: Design, routed: Module) -> tuple[dict[str, int], list[str]]:
    """Compare the synthesized netlist with the placed and routed one.

    Parameters
    ----------
    netlist : Design
        Synthesized, with its hierarchy.
    routed : Module
        Of the board, flat.

    Returns
    -------
    numbers : dict of str to int
        Cells; those that place and route left out, which nothing that is there reads; pins.
    findings : list of str
    """
    flat = inlined(netlist, netlist[TOP])
    pairing = _Pairing(routed)
    places: dict[str, Sequence[Place]] = {
        name: found for name, cell in flat.cells.items()
        if (found := tuple(_places(routed_name(name), cell, routed)))
    }  # fmt: skip
    _outputs(pairing, flat, places)
    places |= _multiplexers(pairing, flat)
    driven = {bit for port in flat.inputs for bit in flat.ports[port]}
    driven |= {p.bit for name, pins in places.items() for p in pins
               if p.pin in flat.cells[name].outputs}  # fmt: skip
    for name, pins in places.items():
        cell = flat.cells[name]
        _inputs(pairing, name, cell, pins, driven)
        pairing.findings += _changed(routed_name(name), cell, pins[0].cell, routed)
    pairing.findings += _broken(flat, routed)
    numbers = {"cells": len(flat.cells), "cells left out": len(flat.cells) - len(places),
               "pins": pairing.pins}  # fmt: skip
    return numbers, pairing.findings[:MOST_FINDINGS]


def routed_name(name: str) -> str:
    """Name that a cell of the chip, flat, has after place and route."""
    return f"{TOP}.{name}".replace("\\", "")


def _places(there: str, cell: Cell, routed: Module) -> Iterator[Place]:
    """Places of the pins of a cell that is found by its name; none if there is no such cell."""

    def at(pin: str, found: Cell, where: str, index: int = 0) -> Place:
        bits = cell.pins.get(pin, ())
        return Place(pin, bits[index] if index < len(bits) else "x", found, where)

    if cell.type == "CCU2C" and f"{there}$CCU2_COMB0" in routed.cells:
        low, high = (routed.cells[f"{there}$CCU2_COMB{half}"] for half in (0, 1))
        yield from (at(f"{letter}0", low, letter) for letter in "ABCD")
        yield from (at(f"{letter}1", high, letter) for letter in "ABCD")
        yield from (at("S0", low, "F"), at("S1", high, "F"))
        yield from (at("CIN", low, "FCI"), at("COUT", high, "FCO"))
    elif cell.type == "TRELLIS_DPR16X4" and f"{there}$RAMW_SLICE" in routed.cells:
        writer = routed.cells[f"{there}$RAMW_SLICE"]
        for pin, ends in _WRITER.items():
            yield from (at(pin, writer, end, k) for k, end in enumerate(ends))
        for k in range(4):
            found = routed.cells[f"{there}$DPRAM_COMB{k}"]
            yield at("DO", found, "F", k)
            yield from (at("RAD", found, end, j) for j, end in enumerate("DBCA"))
            yield from (at(pin, found, pin) for pin in ("WCK", "WRE"))
    elif there in routed.cells:
        found = routed.cells[there]
        data = "M" if text(found.parameters.get("SD", "1")) == "0" else "DI"
        renamed = {"LUT4": {"Z": "F"}, "TRELLIS_FF": {"DI": data}}.get(cell.type, {})
        yield from (at(pin, found, renamed.get(pin, pin)) for pin in cell.pins)


def _outputs(pairing: _Pairing, flat: Module, places: Mapping[str, Sequence[Place]]) -> None:
    for name, found in places.items():
        for place in found:
            # One that nothing reads may have no net.
            if place.pin in flat.cells[name].outputs and place.cell.bit(place.at) != "x":
                pairing.join(name, place)


def _multiplexers(pairing: _Pairing, flat: Module) -> dict[str, Sequence[Place]]:
    """Places of multiplexers, which are found by what they choose from, the lowest first."""
    packed = {
        (kind, cell.bit(low), cell.bit(high)): cell
        for cell in pairing.routed.cells.values() if cell.type == _COMB
        for kind, ((_, low), (_, high), *_) in _CHOICES.items() if cell.bit(high) != "x"
    }  # fmt: skip
    left = {name: cell for name, cell in flat.cells.items() if cell.type in _CHOICES}
    places: dict[str, Sequence[Place]] = {}
    while True:
        more: dict[str, Sequence[Place]] = {}
        for name, cell in left.items():
            pins = _CHOICES[cell.type]
            low, high = (pairing.nets.get(cell.bit(pin)) for pin, _ in pins[:2])
            there = packed.get((cell.type, low or "x", high or "x"))
            if name not in places and there is not None:
                more[name] = [Place(pin, cell.bit(pin), there, at) for pin, at in pins]
        if not more:
            return places
        _outputs(pairing, flat, more)
        places |= more


def _inputs(
    pairing: _Pairing, name: str, cell: Cell, places: Iterable[Place], driven: set[Bit]
) -> None:
    for place in places:
        if place.pin in cell.outputs or place.bit == "x":
            continue
        if isinstance(place.bit, int):
            if place.bit not in driven:
                pairing.findings.append(f"{name}, {place.pin}: what drives it was left out")
            pairing.join(name, place)
        elif cell.type not in _TABLES or place.pin == "CIN":
            # Constant inputs of a table are in the table.
            pairing.tie(name, place)


def _changed(there: str, cell: Cell, found: Cell, routed: Module) -> Iterator[str]:
    """What a cell does, where it is not what the netlist says."""
    if cell.type in _CHOICES:
        return
    for half in _TABLES.get(cell.type, ()):
        if routed_table(routed, there, cell, half) != cell.number(f"INIT{half}"):
            yield f"{there}{half and f', half {half}'}: another function than in the netlist"
    if cell.type == "CCU2C":
        for half in "01":
            inject = cell.parameters.get(f"INJECT1_{half}", "YES")
            if routed.cells[f"{there}$CCU2_COMB{half}"].parameters.get("CCU2_INJECT1") != inject:
                yield f"{there}, half {half}: its carry is used otherwise than in the netlist"
    if cell.type in _TABLES or cell.type == "TRELLIS_DPR16X4":
        return
    for key, value in cell.parameters.items():
        # Contents of block RAMs are compared with the graph, pins that are tied with their values.
        tied = key.endswith("MUX") and cell.bit(key.removesuffix("MUX")) in ("0", "1")
        if tied or key.startswith("INITVAL_"):
            continue
        if text(found.parameters.get(key, "")) != text(value):
            yield f"{there}: {key} is not {text(value)}, as in the netlist"


def _broken(flat: Module, routed: Module) -> Iterator[str]:
    """Parts of one cell that are not joined with each other."""
    for name, cell in flat.cells.items():
        there = routed_name(name)
        pairs: Iterable[tuple[Cell, str, Cell, str]] = ()
        if cell.type == "CCU2C" and f"{there}$CCU2_COMB0" in routed.cells:
            low, high = (routed.cells[f"{there}$CCU2_COMB{half}"] for half in (0, 1))
            pairs = ((low, "FCO", high, "FCI"),)
        elif cell.type == "TRELLIS_DPR16X4" and f"{there}$RAMW_SLICE" in routed.cells:
            writer = routed.cells[f"{there}$RAMW_SLICE"]
            tables = [routed.cells[f"{there}$DPRAM_COMB{k}"] for k in range(4)]
            pairs = chain(
                ((writer, f"WDO{k}", table, "WD") for k, table in enumerate(tables)),
                ((writer, f"WADO{j}", table, f"WAD{j}") for table in tables for j in range(4)),
            )
        for one, out, other, into in pairs:
            if one.bit(out) != other.bit(into):
                yield f"{there}: {out} and {into} of its parts are not joined"


def _fed(cells: Mapping[str, Cell]) -> Iterator[tuple[Bit, Bit]]:
    """Nets behind the cells that nextpnr puts at the ends of carry chains, and before them."""
    for name, low in cells.items():
        if not (name.startswith("$nextpnr_CCU2C_") and name.endswith("$CCU2_COMB0")):
            continue
        high = cells[f"{name[:-1]}1"]
        starts = _first(low) and high.number("INITVAL") == 0xFFFF
        if starts and low.bit("FCO") == high.bit("FCI"):
            yield high.bit("FCO"), low.bit("A")
        elif low.number("INITVAL") == 0 and low.parameters.get("CCU2_INJECT1") == "NO":
            yield low.bit("F"), low.bit("FCI")
            if _first(high) and high.bit("FCO") != "x":  # what left the chain goes on in it
                yield high.bit("FCO"), high.bit("A")


def _first(cell: Cell) -> bool:
    """Whether a carry cell makes its carry of its first input, whatever comes before it."""
    free = all(cell.bit(pin) == "x" for pin in "BCD")
    return (
        free and cell.number("INITVAL") == 0b1010 and (cell.parameters.get("CCU2_INJECT1") == "NO")
    )
