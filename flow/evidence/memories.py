"""The constant memories of a chip, read back from what each stage of the flow made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from flow.evidence import adders, block_ram, evaluate
from flow.evidence.design import Cell, Design, EvidenceError, Module, inlined, instances, text
from flow.evidence.layout import Bits
from flow.evidence.trellis import Config

TOP = "chip"
BLOCK = "DP16KD"

Words = Mapping[str, Bits]


def constants(
    design: Design, manifest: Mapping[str, Any]
) -> Iterator[tuple[str, str, int, Module]]:
    """Name, path, depth and module (all in one) of every constant memory.

    Raises
    ------
    EvidenceError
        If the manifest does not list a ROM of the design, or lists one that is not there.
    """
    named = {item["image"]: item for item in manifest["memories"] if item["class"] == "constant"}
    seen: set[str] = set()
    above = "\0"
    for path, module in instances(design, TOP):
        image = text(module.parameters.get("FILE", ""))
        if not image or path.startswith(above):
            continue
        above = f"{path}."
        if image not in named:
            raise EvidenceError(f"{path} reads {image}, which the manifest does not list")
        item = named[image]
        seen.add(image)
        yield item["name"], path, int(item["depth"]), inlined(design, module)
    absent = sorted(set(named) - seen)
    if absent:
        raise EvidenceError(f"the manifest lists {', '.join(absent)}; the design has no such ROM")


def of_rtl(design: Design, manifest: Mapping[str, Any]) -> Words:
    """Contents as Yosys reads them from the Verilog and its images (``$mem_v2`` cells).

    Raises
    ------
    EvidenceError
        If a ROM is not one memory of the size in the manifest, or is not filled.
    """
    found: dict[str, Bits] = {}
    for name, path, depth, module in constants(design, manifest):
        cells = [cell for cell in module.cells.values() if cell.type.startswith("$mem")]
        if len(cells) != 1:
            raise EvidenceError(f"{path}: a ROM is one memory, here are {len(cells)}")
        width, size = cells[0].number("WIDTH"), cells[0].number("SIZE")
        digits = cells[0].parameters["INIT"]
        if size != depth or len(digits) != width * size or not set(digits) <= {"0", "1"}:
            raise EvidenceError(
                f"{path}: {size} words of {width} bits, {digits.count('x')} bits not set; the "
                f"manifest says {depth} words, and all of a ROM must be"
            )
        bits = np.frombuffer(digits[::-1].encode(), np.uint8) - ord("0")
        _keep(found, name, bits.reshape(size, width))
    return found


def of_netlist(design: Design, manifest: Mapping[str, Any]) -> Words:
    """Contents as the synthesized cells give them at every address."""
    found: dict[str, Bits] = {}
    for name, path, depth, module in constants(design, manifest):
        _keep(found, name, _whole(path, evaluate.rom(module, depth)))
    return found


def _whole(path: str, read: evaluate.Read) -> Bits:
    """The words, if the cells hold nothing else."""
    if read.stray:
        raise EvidenceError(f"{path}: {'; '.join(read.stray)}")
    return read.words


def of_routed(design: Design, routed: Module, manifest: Mapping[str, Any]) -> Words:
    """Contents with block RAMs and truth tables as the placed and routed netlist holds them.

    The cells of the flattened, routed netlist are found by their hierarchical names; how a ROM's
    cells are wired is taken from the synthesized netlist.
    """

    def lut(path: str, name: str, cell: Cell) -> int:
        return routed_table(routed, f"{TOP}.{path}.{name}", cell)

    def block(path: str, name: str, cell: Cell) -> block_ram.Contents:
        return block_ram.of_cell(_routed_cell(routed, f"{TOP}.{path}.{name}"))

    return _substituted(design, manifest, lut, block)


def routed_tables(routed: Module) -> adders.Tables:
    """Truth tables of LUTs and carry chains as the placed and routed netlist holds them."""

    def table(path: str, name: str, cell: Cell, half: str) -> int:
        return routed_table(routed, f"{TOP}.{path}.{name}", cell, half)

    return table


def routed_table(routed: Module, there: str, cell: Cell, half: str = "") -> int:
    """Truth table after routing of a LUT, or of one half of a carry cell.

    Parameters
    ----------
    routed : Module
    there : str
        Name of the cell in it.
    cell : Cell
        The synthesized one.
    half : {"", "0", "1"}

    Returns
    -------
    int
        By the inputs of the netlist, where those that it ties have their values, and, of a carry
        cell, where it makes a carry; elsewhere what the netlist says.
    """
    found = _routed_cell(routed, f"{there}$CCU2_COMB{half}" if half else there)
    table = found.number("INITVAL")
    wanted = cell.number(f"INIT{half}")
    pins = [cell.bit(f"{letter}{half}") for letter in "ABCD"]
    tied = {k: int(bit == "1") for k, bit in enumerate(pins) if isinstance(bit, str)}
    # nextpnr takes away wires of inputs that are tied; then they are 1 in a carry cell.
    idle = sum(1 << k for k in tied if found.bit("ABCD"[k]) == "x")
    for index in range(16):
        # A carry is made by the entries with C and D off, whatever C and D are.
        makes = bool(half) and index < 4
        if not all(index >> k & 1 == value for k, value in tied.items() if k < 2 or not makes):
            continue
        known = idle & 3 if makes else idle
        there_ = index & ~known | (known if half else 0)
        wanted = wanted & ~(1 << index) | (table >> there_ & 1) << index
    return wanted


def of_bitstream(
    design: Design, routed: Module, blocks: Mapping[int, block_ram.Contents],
    manifest: Mapping[str, Any],
) -> Words:  # fmt: skip
    """Contents with block RAMs as a bitstream holds them.

    Parameters
    ----------
    design : Design
        The synthesized netlist.
    routed : Module
        Tells the number of the block that every cell became (attribute ``WID``).
    blocks : mapping of int to int64, shape (2048,)
        Contents by number, from the unpacked bitstream.
    manifest : mapping
    """

    def lut(path: str, name: str, cell: Cell) -> int:
        return routed_table(routed, f"{TOP}.{path}.{name}", cell)

    def block(path: str, name: str, cell: Cell) -> block_ram.Contents:
        number = block_number(_routed_cell(routed, f"{TOP}.{path}.{name}"))
        # ecpunpack leaves out a block of zeros, which a bitstream need not hold.
        return blocks.get(number, np.zeros(block_ram.BYTES, np.int64))

    return _substituted(design, manifest, lut, block)


def block_number(cell: Cell) -> int:
    """Number by which a configuration names the contents of a placed block RAM."""
    try:
        return int(cell.attributes["WID"], 2)
    except (KeyError, ValueError):
        raise EvidenceError("a block RAM of the routed netlist has no number (WID)") from None


def placed(routed: Module, config: Config) -> Iterator[str]:
    """Block RAMs whose number in the configuration is not that of the cell placed there."""
    for name, cell in routed.cells.items():
        if cell.type != BLOCK:
            continue
        place = cell.attributes.get("NEXTPNR_BEL", "")
        found = config.block_number(place)
        if found != block_number(cell):
            yield (
                f"{name} at {place} is block {block_number(cell)} in the routed netlist, "
                f"{found} in the configuration"
            )


def moved(routed: Module, blocks: Mapping[int, block_ram.Contents]) -> Iterator[str]:
    """Block RAMs, of any memory, whose contents are not those of the routed netlist."""
    numbers = set()
    for name, cell in routed.cells.items():
        if cell.type != BLOCK:
            continue
        number = block_number(cell)
        numbers.add(number)
        found = blocks.get(number, np.zeros(block_ram.BYTES, np.int64))
        wrong = int((found != block_ram.of_cell(cell)).sum())
        if wrong:
            yield f"{name}: {wrong} bytes of block {number} are not those of the routed netlist"
    yield from (f"block {number} belongs to no cell" for number in sorted(set(blocks) - numbers))


def _substituted(
    design: Design,
    manifest: Mapping[str, Any],
    lut: Callable[[str, str, Cell], int],
    block: Callable[[str, str, Cell], block_ram.Contents],
) -> Words:
    found: dict[str, Bits] = {}
    for name, path, depth, module in constants(design, manifest):
        read = evaluate.rom(module, depth, lut=partial(lut, path), block=partial(block, path))
        _keep(found, name, _whole(path, read))
    return found


def _keep(found: dict[str, Bits], name: str, bits: Bits) -> None:
    """Copies of a ROM must hold the same."""
    if name in found and not np.array_equal(found[name], bits):
        raise EvidenceError(f"two copies of the memory {name} differ")
    found[name] = bits


def _routed_cell(routed: Module, name: str) -> Cell:
    if name not in routed.cells:
        raise EvidenceError(f"the routed netlist has no cell {name}")
    return routed.cells[name]
