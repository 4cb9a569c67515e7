"""Kinds of faults of place and route, and of what packs its configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flow.evidence.adders import CORE
from flow.evidence.design import Cell, Module, instances, text
from flow.evidence.memories import TOP
from flow.evidence.plant import Chip, Mutant, there, with_cells
from flow.evidence.trellis import Config, with_mode, with_source, with_table

_COMB = "TRELLIS_COMB"
_LUT_MODES = ("", "CCU2")

Draw = Callable[[], Mutant | None]


def of_chip(chip: Chip, rng: Any) -> Mapping[str, Draw]:
    """Functions that draw such faults; none if the chip is not routed."""
    if chip.routed is None:
        return {}
    luts = _luts(chip.routed)
    found = {
        "flipped truth table": _table(chip, rng, luts, "flipped truth table"),
        "exchanged inputs": _exchanged(chip, rng, luts),
        "flipped truth table of the configuration": _configured(chip, rng, luts),
        "wrong switch": _switch(chip, rng),
        "wrong reset value": _reset(chip, rng),
        "flipped truth table of the bitstream": _unpacked(chip, rng, luts),
    }
    cores = [path for path, module in instances(there(chip.netlist), TOP)
             if CORE.fullmatch(module.name)]  # fmt: skip
    own = [name for name in luts if any(name.startswith(f"{TOP}.{path}.") for path in cores)]
    if own:
        kind = "flipped truth table of a routed adder graph"
        found[kind] = _table(chip, rng, own, kind)
        kind = "flipped truth table of an adder graph in the configuration"
        found[kind] = _configured(chip, rng, own, kind)
        kind = "flipped truth table of an adder graph in the bitstream"
        found[kind] = _unpacked(chip, rng, own, kind)
    return found


def _luts(routed: Module) -> list[str]:
    """LUTs of the chip, those of carry chains too, whose function something reads."""
    return sorted(
        name for name, cell in routed.cells.items()
        if cell.type == _COMB and name.startswith(f"{TOP}.") and cell.bit("F") != "x"
        and text(cell.parameters.get("MODE", "")) in _LUT_MODES
    )  # fmt: skip


def _drawn(names: Sequence[str], rng: Any) -> str:
    return names[int(rng.integers(len(names)))]


def live(cell: Cell) -> list[int]:
    """Entries of a routed LUT's table that its inputs can reach, or that make a carry."""
    carry = text(cell.parameters.get("MODE", "")) == "CCU2"
    bits = [cell.bit(pin) for pin in "ABCD"]
    found = []
    for index in range(16):
        digits = [index >> k & 1 for k in range(4)]
        # Wires that nothing drives are 1 in a carry chain, and in no other table's way.
        idle = all(digit == int(carry) for bit, digit in zip(bits, digits, strict=True)
                   if bit == "x")  # fmt: skip
        same = all(digits[j] == digits[k] for j in range(4) for k in range(j)
                   if bits[j] == bits[k])  # fmt: skip
        if idle and same:
            found.append(index)
    return found


def _flipped(cell: Cell, rng: Any) -> int:
    entries = live(cell)
    return cell.number("INITVAL") ^ 1 << entries[int(rng.integers(len(entries)))]


def _table(chip: Chip, rng: Any, names: Sequence[str], kind: str) -> Draw:
    """One bit of a LUT's truth table flipped in the routed netlist."""
    routed = there(chip.routed)

    def make() -> Mutant:
        name = _drawn(names, rng)
        cell = routed.cells[name]
        parameters = {**cell.parameters, "INITVAL": f"{_flipped(cell, rng):016b}"}
        cells = {**routed.cells, name: replace(cell, parameters=parameters)}
        return Mutant("routed", kind, name, replace(chip, routed=with_cells(routed, cells)))

    return make


def _exchanged(chip: Chip, rng: Any, names: Sequence[str]) -> Draw:
    """The same input of two LUTs exchanged in the routed netlist."""
    routed = there(chip.routed)

    def make() -> Mutant | None:
        for _ in range(100):
            one, other = _drawn(names, rng), _drawn(names, rng)
            pin = "ABCD"[int(rng.integers(4))]
            a, b = (routed.cells[name].bit(pin) for name in (one, other))
            if a != b and "x" not in (a, b):
                cells = {
                    **routed.cells,
                    one: _with_pin(routed.cells[one], pin, b),
                    other: _with_pin(routed.cells[other], pin, a),
                }
                return Mutant("routed", "exchanged inputs", f"{pin} of {one} and {other}",
                              replace(chip, routed=with_cells(routed, cells)))  # fmt: skip
        return None

    return make


def _with_pin(cell: Cell, pin: str, bit: Any) -> Cell:
    return replace(cell, pins={**cell.pins, pin: (bit,)})


def _configured(
    chip: Chip, rng: Any, names: Sequence[str],
    kind: str = "flipped truth table of the configuration",
) -> Draw:  # fmt: skip
    """One bit of a truth table flipped in the routed configuration."""
    placed = there(chip.placed)

    def make() -> Mutant:
        name, changed = _changed(chip, placed, names, rng)
        return Mutant("routed", kind, name, replace(chip, placed=changed))

    return make


def _unpacked(
    chip: Chip, rng: Any, names: Sequence[str],
    kind: str = "flipped truth table of the bitstream",
) -> Draw:  # fmt: skip
    """One bit of a truth table flipped in the bitstream."""
    read = there(chip.unpacked)

    def make() -> Mutant:
        name, changed = _changed(chip, read, names, rng)
        return Mutant("bitstream", kind, name, replace(chip, unpacked=changed))

    return make


def _changed(chip: Chip, config: Config, names: Sequence[str], rng: Any) -> tuple[str, Config]:
    while True:
        name = _drawn(names, rng)
        place = there(chip.routed).cells[name].attributes["NEXTPNR_BEL"]
        table = config.truth_table(place)
        if table is not None:  # a bitstream leaves out those that are all ones
            flipped = table ^ 1 << int(rng.integers(16))
            return name, Config(with_table(config.text, place, flipped))


def _switch(chip: Chip, rng: Any) -> Draw:
    """A wire driven by another one in the routed configuration."""
    placed = there(chip.placed)
    arcs = sorted(placed.arcs)

    def make() -> Mutant | None:
        for _ in range(100):
            one, other = (arcs[int(rng.integers(len(arcs)))] for _ in range(2))
            if one[3] != other[3]:
                text_ = with_source(placed.text, one, other[3])
                place = f"X{one[0]}/Y{one[1]}: {one[2]} from {other[3]} for {one[3]}"
                return Mutant("routed", "wrong switch", place,
                              replace(chip, placed=Config(text_)))  # fmt: skip
        return None

    return make


def _reset(chip: Chip, rng: Any) -> Draw:
    """A register reset to the other value in the routed configuration."""
    placed = there(chip.placed)
    places = sorted(key for key in placed.modes if re.fullmatch(r"SLICE.\.REG.\.REGSET", key[1]))

    def make() -> Mutant | None:
        if not places:
            return None
        tile, name = places[int(rng.integers(len(places)))]
        other = "RESET" if placed.modes[tile, name] == "SET" else "SET"
        changed = Config(with_mode(placed.text, tile, name, other))
        return Mutant("routed", "wrong reset value", f"{name} in {tile}",
                      replace(chip, placed=changed))  # fmt: skip

    return make
