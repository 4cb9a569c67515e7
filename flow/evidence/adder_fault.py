"""Kinds of faults in matrices that are wired in space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flow.evidence.adders import CORE, Cores
from flow.evidence.design import Cell, Design
from flow.evidence.plant import Chip, Mutant, there, with_cells

_ADDERS = {"$add": "$sub", "$sub": "$add"}
_SUMS = {"$_XOR_": "$_XNOR_"}


def of_chip(chip: Chip, rng: Any) -> Mapping[str, Callable[[], Mutant | None]]:
    """Functions that draw such faults; none if no matrix is wired in space."""
    if chip.cores is None:
        return {}
    found = {
        "exchanged columns": _exchanged_columns(chip.cores, chip, rng),
        "wrong adder": _wrong_adder(chip.cores, chip, rng),
    }
    if chip.netlist is not None:
        found["flipped truth table of an adder graph"] = _flipped_table(chip, rng)
    return found


def _drawn(design: Design, rng: Any) -> str:
    names = sorted(name for name in design if CORE.fullmatch(name))
    return str(names[rng.integers(len(names))])


def _exchanged_columns(cores: Cores, chip: Chip, rng: Any) -> Callable[[], Mutant | None]:
    """Two elements of the vector exchanged in front of a graph."""

    def make() -> Mutant | None:
        name = _drawn(cores.words, rng)
        bits = len(cores.words[name].ports["x"])
        # Known since the chip was found to be without a fault.
        elements = len(cores.known[int(name.removeprefix("etched_core"))].data[0])
        size = bits // elements
        a, b = (int(k) for k in rng.choice(elements, 2, replace=False))

        def changed(design: Design) -> Design:
            module = design[name]
            words = [module.ports["x"][k * size : (k + 1) * size] for k in range(elements)]
            words[a], words[b] = words[b], words[a]
            ports = {**module.ports, "x": tuple(bit for word in words for bit in word)}
            return {**design, name: replace(module, ports=ports)}

        mutated = Cores(changed(cores.words), changed(cores.gates))
        return Mutant("rtl", "exchanged columns", f"{name}, {a} and {b}",
                      replace(chip, cores=mutated))  # fmt: skip

    return make


def _wrong_adder(cores: Cores, chip: Chip, rng: Any) -> Callable[[], Mutant | None]:
    """An adder that subtracts, or a sum bit that is inverted in a bit-serial graph."""

    def make() -> Mutant | None:
        name = _drawn(cores.words, rng)
        serial = "phase" in cores.words[name].ports
        kinds, design = (_SUMS, cores.gates) if serial else (_ADDERS, cores.words)
        module = design[name]
        keys = sorted(key for key, cell in module.cells.items() if cell.type in kinds)
        if not keys:
            return None
        key = keys[rng.integers(len(keys))]
        cell = replace(module.cells[key], type=kinds[module.cells[key].type])
        mutated = {**design, name: with_cells(module, {**module.cells, key: cell})}
        changed = Cores(cores.words, mutated) if serial else Cores(mutated, cores.gates)
        return Mutant("rtl", "wrong adder", f"{name}, {key}", replace(chip, cores=changed))

    return make


def _flipped_table(chip: Chip, rng: Any) -> Callable[[], Mutant | None]:
    """One bit of a LUT of an adder graph, in the netlist."""

    def make() -> Mutant | None:
        netlist = there(chip.netlist)
        places = [
            (module, key)
            for name, module in sorted(netlist.items()) if CORE.fullmatch(name)
            for key, cell in sorted(module.cells.items()) if cell.type == "LUT4"
        ]  # fmt: skip
        if not places:
            return None
        module, key = places[rng.integers(len(places))]
        cell = module.cells[key]
        entries = [index for index in range(16) if _live(cell, index)]
        table = cell.number("INIT") ^ 1 << entries[rng.integers(len(entries))]
        changed = replace(cell, parameters={**cell.parameters, "INIT": f"{table:016b}"})
        mutated = {**netlist, module.name: with_cells(module, {**module.cells, key: changed})}
        return Mutant("netlist", "flipped truth table of an adder graph", f"{module.name}, {key}",
                      replace(chip, netlist=mutated))  # fmt: skip

    return make


def _live(cell: Cell, index: int) -> bool:
    """Whether the tied and the joined inputs of a LUT ever reach an entry of its table."""
    bits = [cell.bit(pin) for pin in "ABCD"]
    digits = [index >> k & 1 for k in range(4)]
    tied = all(bit not in ("0", "1", "x") or digit == int(bit == "1")
               for bit, digit in zip(bits, digits, strict=True))  # fmt: skip
    same = all(digits[j] == digits[k] for j in range(4) for k in range(j) if bits[j] == bits[k])
    return tied and same
