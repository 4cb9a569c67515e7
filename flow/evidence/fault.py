"""Kinds of faults that `flow.evidence.mutation` plants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flow.evidence import memories
from flow.evidence.design import Design, Module
from flow.evidence.plant import Chip, Mutant, planted, roms, with_cells
from flow.evidence.unseen import unseen

_MOST_DRAWS = 100

# Changes of a memory's words. Each gives the changed words and says where, or None.

Change = Callable[[memories.Words, memories.Words, np.random.Generator],
                  tuple[str, str, Any] | None]  # fmt: skip


def _flip(
    words: memories.Words, stale: memories.Words, rng: np.random.Generator, names: Sequence[str]
) -> tuple[str, str, Any] | None:
    there = [name for name in names if name in words]
    if not there:
        return None
    name = there[rng.integers(len(there))]
    changed = words[name].copy()
    word, bit = (int(rng.integers(size)) for size in changed.shape)
    changed[word, bit] ^= 1
    return name, f"{name} word {word} bit {bit}", changed


def _flip_weight(words: Any, stale: Any, rng: Any) -> Any:
    """One bit of a weight or of an embedding."""
    return _flip(words, stale, rng, ("matvec_weight", "embedding_table"))


def _flip_table(words: Any, stale: Any, rng: Any) -> Any:
    """One bit of any other memory: gains, angles, tables, noise, instructions, identity."""
    others = sorted(set(words) - {"matvec_weight", "embedding_table"})
    return _flip(words, stale, rng, others)


def _swap_rows(words: Any, stale: Any, rng: Any) -> Any:
    """Two different words of the weights exchanged."""
    bits = words.get("matvec_weight", ())
    for _ in range(100 if len(bits) > 1 else 0):
        a, b = (int(index) for index in rng.choice(len(bits), 2, replace=False))
        if (bits[a] != bits[b]).any():
            changed = bits.copy()
            changed[[a, b]] = bits[[b, a]]
            return "matvec_weight", f"matvec_weight words {a} and {b}", changed
    return None


def _scale(words: Any, stale: Any, rng: Any) -> Any:
    """A row's multiplier one too large."""
    if "matvec_row" not in words:
        return None
    changed = words["matvec_row"].copy()
    word = int(rng.integers(len(changed)))
    value = int((changed[word, :16].astype(np.int64) << np.arange(16)).sum()) + 1
    changed[word, :16] = value >> np.arange(16) & 1
    return "matvec_row", f"matvec_row word {word}", changed


def _stale(words: Any, stale: Any, rng: Any) -> Any:
    """The contents of a memory as another checkpoint has them."""
    differ = [name for name in sorted(words)
              if name in stale and stale[name].shape == words[name].shape
              and (stale[name] != words[name]).any()]  # fmt: skip
    if not differ:
        return None
    name = differ[rng.integers(len(differ))]
    return name, f"{name} of another checkpoint", stale[name].copy()


CHANGES: Mapping[str, Change] = {
    "flipped weight bit": _flip_weight,
    "flipped bit elsewhere": _flip_table,
    "exchanged rows": _swap_rows,
    "scale off by one": _scale,
    "stale image": _stale,
}


def content(
    chip: Chip, level: str, kind: str, change: Change, words: Any, stale: Any, rng: Any
) -> Callable[[], Mutant | None]:
    """Function that draws a change of some memory's words and plants it at `level`."""

    def make() -> Mutant | None:
        changed = change(words, stale, rng)
        if changed is None:
            return None
        name, place, bits = changed
        mutated = planted(chip, level, name, words[name], bits)
        return None if mutated is None else Mutant(level, kind, place, mutated)

    return make


# Faults of structure.


def _written_rom(chip: Chip, rng: Any) -> Callable[[], Mutant | None]:
    """A ROM whose memory has a write port, in the RTL."""
    names = [name for name, *_ in memories.constants(chip.hierarchical, chip.manifest)]

    def make() -> Mutant | None:
        name = names[rng.integers(len(names))]
        changed = dict(chip.hierarchical)
        for _, module in roms(chip.hierarchical, chip.manifest, name):
            cells = {
                key: replace(cell, parameters={**cell.parameters, "WR_PORTS": "1"})
                if cell.type.startswith("$mem")
                else cell
                for key, cell in module.cells.items()
            }
            changed[module.name] = with_cells(module, cells)
        return Mutant("rtl", "ROM with a write port", name, replace(chip, hierarchical=changed))

    return make


def _host_port(chip: Chip, rng: Any) -> Callable[[], Mutant | None]:
    """A host port wired to the write data of a memory, in the RTL."""
    written = [name for name, cell in chip.flat.cells.items()
               if cell.type.startswith("$mem") and cell.number("WR_PORTS")]  # fmt: skip
    ports = [port for port in ("seed", "beta", "limit") if port in chip.flat.inputs]

    def make() -> Mutant | None:
        if not written or not ports:
            return None
        name = written[rng.integers(len(written))]
        port = ports[rng.integers(len(ports))]
        cell = chip.flat.cells[name]
        data = (chip.flat.ports[port][0], *cell.pins["WR_DATA"][1:])
        pins = {**cell.pins, "WR_DATA": data}
        flat = with_cells(chip.flat, {**chip.flat.cells, name: replace(cell, pins=pins)})
        place = f"{port} to {name}"
        return Mutant("rtl", "host port to a memory", place, replace(chip, flat=flat))

    return make


def _enabled(chip: Chip, rng: Any) -> Callable[[], Mutant | None]:
    """A block of a ROM whose write enable and port enable are on, in the netlist."""

    def make() -> Mutant | None:
        netlist = chip.netlist
        if netlist is None:
            return None
        path, module, _, key = _cell(netlist, chip, memories.BLOCK, rng)
        pins = {**module.cells[key].pins, "WEA": ("1",), "CEA": ("1",)}
        cells = {**module.cells, key: replace(module.cells[key], pins=pins)}
        changed = {**netlist, module.name: with_cells(module, cells)}
        return Mutant("netlist", "block RAM enabled to write", f"{path}.{key}",
                      replace(chip, netlist=changed))  # fmt: skip

    return make


def _rom_table(chip: Chip, rng: Any) -> Callable[[], Mutant | None]:
    """One bit of the truth table of a LUT that is part of a ROM, in the netlist."""

    def make() -> Mutant | None:
        netlist = chip.netlist
        if netlist is None or not _holders(netlist, chip, "LUT4"):
            return None
        for _ in range(_MOST_DRAWS):
            path, module, depth, key = _cell(netlist, chip, "LUT4", rng)
            cell = module.cells[key]
            table = cell.number("INIT") ^ 1 << int(rng.integers(16))
            # A table that differs where no word of the ROM is read is no fault.
            if not unseen(module, key, table, depth):
                changed = replace(cell, parameters={**cell.parameters, "INIT": f"{table:016b}"})
                cells = {**module.cells, key: changed}
                mutated = {**netlist, module.name: with_cells(module, cells)}
                return Mutant("netlist", "flipped truth table of a ROM", f"{path}.{key}",
                              replace(chip, netlist=mutated))  # fmt: skip
        return None

    return make


def _holders(netlist: Design, chip: Chip, kind: str) -> list[tuple[str, int, Module]]:
    """ROMs with cells of a type: path, depth and module."""
    return [
        (path, depth, module)
        for _, path, depth, module in memories.constants(netlist, chip.manifest)
        if any(cell.type == kind for cell in module.cells.values())
    ]


def _cell(netlist: Design, chip: Chip, kind: str, rng: Any) -> tuple[str, Module, int, str]:
    """A cell of a type in a ROM: path, module and depth of the ROM, name of the cell."""
    holders = _holders(netlist, chip, kind)
    path, depth, module = holders[rng.integers(len(holders))]
    keys = [key for key, cell in module.cells.items() if cell.type == kind]
    return path, module, depth, keys[rng.integers(len(keys))]


def _exchanged(chip: Chip, rng: Any) -> Callable[[], Mutant | None]:
    """Two blocks of a bitstream exchanged."""

    def make() -> Mutant | None:
        if chip.blocks is None or len(chip.blocks) < 2:
            return None
        numbers = sorted(chip.blocks)
        for _ in range(100):
            a, b = (numbers[i] for i in rng.choice(len(numbers), 2, replace=False))
            if (chip.blocks[a] != chip.blocks[b]).any():
                blocks = {**chip.blocks, a: chip.blocks[b], b: chip.blocks[a]}
                return Mutant("bitstream", "exchanged blocks", f"{a} and {b}",
                              replace(chip, blocks=blocks))  # fmt: skip
        return None

    return make


STRUCTURES: Mapping[str, Callable[[Chip, Any], Callable[[], Mutant | None]]] = {
    "ROM with a write port": _written_rom,
    "host port to a memory": _host_port,
    "block RAM enabled to write": _enabled,
    "flipped truth table of a ROM": _rom_table,
    "exchanged blocks": _exchanged,
}
