"""Chips with one thing changed: other words in a memory, from one level of the flow on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np

from flow.evidence import block_ram, evaluate, memories
from flow.evidence.adders import Cores
from flow.evidence.design import Cell, Design, Module
from flow.evidence.trellis import Config
from rtl_gen.ir.integer import IntegerGraph

Found = TypeVar("Found")


@dataclass(frozen=True)
class Chip:
    """Everything evidence reads of a chip, in memory.

    Parameters
    ----------
    graph, manifest, verilog
        As everywhere.
    hierarchical, flat
        The elaborated RTL.
    netlist, routed, placed, unpacked, blocks
        The synthesized netlist, the routed one, the routed configuration, that of the unpacked
        bitstream, and its block RAMs; None if the chip has no target.
    cores
        The adder graphs of the RTL; None if no matrix is wired in space.
    adapters
        Gates of the RTL around the adapter memory; None if it has none.
    known
        What was found of parts that a fault elsewhere leaves as they are (`once`).
    """

    graph: IntegerGraph
    manifest: Mapping[str, Any]
    verilog: str
    hierarchical: Design
    flat: Module
    netlist: Design | None = None
    routed: Module | None = None
    placed: Config | None = None
    unpacked: Config | None = None
    blocks: Mapping[int, block_ram.Contents] | None = None
    cores: Cores | None = None
    adapters: Design | None = None
    known: dict[str, tuple[tuple[object, ...], Any]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A chip with one fault.

    Parameters
    ----------
    level, kind, place : str
        Where in the flow, what kind of fault, and where in the artefact.
    chip : Chip
    """

    level: str
    kind: str
    place: str
    chip: Chip


def once(chip: Chip, name: str, work: Callable[[], Found], *parts: object) -> Found:
    """What `work` finds, which depends on `parts` alone; not done again for the very same ones.

    The parts of the first call are remembered, for a chip and its mutants together: those of the
    chip without a fault, if that is looked at first.
    """
    if name in chip.known:
        first, known = chip.known[name]
        if all(one is other for one, other in zip(first, parts, strict=True)):
            return cast(Found, known)
    found = work()
    chip.known.setdefault(name, (parts, found))
    return found


def wiring(chip: Chip, routed: Module) -> object:
    """What a routed netlist is beside the contents of its block RAMs, to be compared by `is`.

    The same object for the same cells, which a fault in some words leaves as they are.
    """
    first: Module = once(chip, "wiring", lambda: routed)
    same = first.routes is routed.routes and first.cells.keys() == routed.cells.keys()
    if same and all(_same(cell, routed.cells[name]) for name, cell in first.cells.items()):
        return first
    return routed


def _same(one: Cell, other: Cell) -> bool:
    """Whether two cells differ in nothing, or in the contents of a block RAM."""
    if one is other or one.type != memories.BLOCK:
        return one is other
    modes = [{key: value for key, value in cell.parameters.items() if "INITVAL_" not in key}
             for cell in (one, other)]  # fmt: skip
    return modes[0] == modes[1] and replace(one, parameters={}) == replace(other, parameters={})


def planted(chip: Chip, level: str, name: str, old: Any, new: Any) -> Chip | None:
    """A chip whose memory `name` holds the words `new` from `level` on.

    None if mapped cells cannot: a bit that is the same in every word is a wire.
    """
    if level == "rtl":
        return replace(chip, hierarchical=_with_init(chip, name, new))
    netlist = there(chip.netlist)
    edits = {
        f"{path}.{cell_name}": contents
        for path, module in roms(netlist, chip.manifest, name)
        for cell_name, contents in _rewritten(module, old, new).items()
    }
    if not edits:
        return None
    if level == "netlist":
        changed = dict(netlist)
        for path, module in roms(netlist, chip.manifest, name):
            cells = {
                key: filled(cell, edits[f"{path}.{key}"]) if f"{path}.{key}" in edits else cell
                for key, cell in module.cells.items()
            }
            changed[module.name] = with_cells(module, cells)
        return replace(chip, netlist=changed)
    routed = there(chip.routed)
    if level == "routed":
        cells = dict(routed.cells)
        for key, contents in edits.items():
            cells[f"chip.{key}"] = filled(cells[f"chip.{key}"], contents)
        return replace(chip, routed=with_cells(routed, cells))
    blocks = dict(there(chip.blocks))
    for key, contents in edits.items():
        blocks[memories.block_number(routed.cells[f"chip.{key}"])] = contents
    return replace(chip, blocks=blocks)


def _with_init(chip: Chip, name: str, bits: Any) -> Design:
    digits = "".join(map(str, bits.reshape(-1)[::-1].tolist()))
    changed = dict(chip.hierarchical)
    for _, module in roms(chip.hierarchical, chip.manifest, name):
        cells = {
            key: replace(cell, parameters={**cell.parameters, "INIT": digits})
            if cell.type.startswith("$mem")
            else cell
            for key, cell in module.cells.items()
        }
        changed[module.name] = with_cells(module, cells)
    return changed


def _rewritten(module: Module, old: Any, new: Any) -> dict[str, block_ram.Contents]:
    """Contents of a ROM's blocks after the bits that differ between `old` and `new` were turned.

    Where a bit of a word lies is found by asking the memory: a block's bits are numbered, and the
    numbers read at every address, one binary digit at a time.
    """
    blocks = {key: cell for key, cell in module.cells.items() if cell.type == memories.BLOCK}
    if not blocks:
        return {}
    order = {key: index for index, key in enumerate(blocks)}
    size = block_ram.BYTES * block_ram.BYTE_BITS
    found = np.zeros(old.shape, np.int64)
    for digit in range((len(blocks) * size + 1).bit_length()):
        place = _numbered(module, order, digit, old.shape[0])
        found |= place.astype(np.int64) << digit
    contents = {key: block_ram.of_cell(cell) for key, cell in blocks.items()}
    names, turned = list(blocks), set[str]()
    for word, bit in np.argwhere(old != new).tolist():
        number = int(found[word, bit]) - 1
        if number < 0:
            continue  # a wire: the bit is the same in every word and in no block
        byte, place = divmod(number % size, block_ram.BYTE_BITS)
        turned.add(names[number // size])
        contents[names[number // size]][byte] ^= 1 << place
    return {key: contents[key] for key in turned}


def _numbered(module: Module, order: Mapping[str, int], digit: int, depth: int) -> Any:
    size = block_ram.BYTES * block_ram.BYTE_BITS
    numbers = np.arange(size).reshape(block_ram.BYTES, block_ram.BYTE_BITS)

    def block(name: str, cell: Cell) -> block_ram.Contents:
        digits = (numbers + order[name] * size + 1) >> digit & 1
        return np.asarray((digits << np.arange(block_ram.BYTE_BITS)).sum(axis=1), np.int64)

    return evaluate.rom(module, depth, block=block).words


def roms(design: Design, manifest: Mapping[str, Any], name: str) -> Iterator[tuple[str, Module]]:
    """Path and module of every copy of the memory called `name`."""
    for found, path, _, module in memories.constants(design, manifest):
        if found == name:
            yield path, module


def filled(cell: Cell, contents: block_ram.Contents) -> Cell:
    """A block with other initial contents."""
    parameters = dict(cell.parameters)
    halves = contents.reshape(64, 16, 2)
    for line in range(64):
        value = sum(
            (int(low) | int(high) << 9) << 20 * place
            for place, (low, high) in enumerate(halves[line].tolist())
        )
        parameters[f"INITVAL_{line:02X}"] = f"{value:0320b}"
    return replace(cell, parameters=parameters)


def with_cells(module: Module, cells: Mapping[str, Cell]) -> Module:
    """The module with other cells."""
    return replace(module, cells=cells)


def there(value: Any) -> Any:
    """An artefact that must be there.

    Raises
    ------
    ValueError
        If it is None.
    """
    if value is None:
        raise ValueError("the chip has no artefact of this level")
    return value
