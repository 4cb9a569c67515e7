"""Words of a chip's constant memories, put in after mapping, placing and routing.

A chip is mapped with words of no meaning in its ROMs. Nothing about its cells and wires depends on
the words of a checkpoint then: those that Yosys could use, a column that is the same in every word,
are not there. The words of the checkpoint are filled in afterwards, as initial values of block RAMs
and as truth tables of LUTs. So a chip with other weights is not mapped, placed and routed again.

Nothing here is believed by anyone: `flow.evidence` reads the words back at every level.

Notes
-----
Where a block RAM keeps which bit is Yosys' knowledge. It maps the ROMs alone once more, each filled
with a mask and with mask ^ words, neither of which has a constant column. A bit is at its place in
both, so the sum of both contents, bit by bit, is that of the words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtl_gen.errors import FlowError

EMPTY = 0xE4A8
"""Truth table of a LUT to be filled (``flow/tools/ecp5_rom_cells.v``)."""

MASK, SUM = "mask", "sum"
"""Folders of the images with which the ROMs are mapped alone."""

_MOST_DRAWS = 1000  # more than enough for a column of three words or more
_IN_BLOCKS = ("rom_in_block", "rom_pair")
_IN_TABLES = "rom_in_logic"
_ROWS = 16  # words in a truth table

Values = Mapping[str, Mapping[str, str]]
"""Parameters of cells by name."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A module that holds a constant memory.

    Parameters
    ----------
    kind : str
        What it is an instance of.
    image : str
        Name of its image.
    width, depth, address_bits : int
    """

    kind: str
    image: str
    width: int
    depth: int
    address_bits: int


def empty(name: str, width: int, depth: int) -> list[int]:
    """Words of no meaning for the memory `name`, no bit of which is the same in all of them."""
    return mask(name, width, [0] * depth)


def mask(name: str, width: int, words: Sequence[int]) -> list[int]:
    """Words of which no bit is the same in all, nor is one of their sum with `words`, bit by bit.

    Parameters
    ----------
    name : str
        Of the memory; the same name and words give the same.
    width : int
    words : sequence of int

    Raises
    ------
    FlowError
        If there are none: for two words that differ.
    """
    drawn = [0] * len(words)
    bad = (1 << width) - 1
    for number in range(_MOST_DRAWS):
        more = _random(f"{name} {number}", width, len(words))
        drawn = [old & ~bad | new & bad for old, new in zip(drawn, more, strict=True)]
        bad = _constant(drawn, width) | _constant(added(drawn, words), width)
        if not bad:
            return drawn
    raise FlowError(f"{name}: no mask of {len(words)} words keeps all of its columns")


def added(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Sum bit by bit."""
    return [a ^ b for a, b in zip(one, other, strict=True)]


def _constant(words: Sequence[int], width: int) -> int:
    """Bits that are the same in all words."""
    ones, some = (1 << width) - 1, 0
    for word in words:
        ones &= word
        some |= word
    return ones | ~some & (1 << width) - 1


def _random(seed: str, width: int, count: int) -> list[int]:
    size = -(-width // 8)
    data = hashlib.shake_256(seed.encode()).digest(size * count)
    return [
        int.from_bytes(data[size * k : size * k + size], "little") & (1 << width) - 1
        for k in range(count)
    ]


def memories(modules: Mapping[str, Any]) -> dict[str, Memory]:
    """Modules of a mapped chip (Yosys JSON) whose cells hold the words of a ROM, by name."""
    found: dict[str, Memory] = {}
    for name, module in modules.items():
        kind = module["attributes"].get("hdlname", "")
        values = module.get("parameter_default_values", {})
        if kind in (*_IN_BLOCKS, _IN_TABLES) and values.get("FILE"):
            sizes = (int(values[key], 2) for key in ("WIDTH", "DEPTH", "ABITS"))
            found[name] = Memory(kind, values["FILE"].strip().removeprefix("rom/"), *sizes)
    return found


def alone(found: Mapping[str, Memory]) -> str:
    """Verilog of a module ``roms`` with every memory of blocks twice, filled from two folders.

    Empty if there is none.
    """
    ports, body = ["input clk", "input en"], []
    blocks = sorted({item for item in found.values() if item.kind in _IN_BLOCKS}, key=str)
    if not blocks:
        return ""
    for index, (item, folder) in enumerate((b, f) for b in blocks for f in (MASK, SUM)):
        pins = [".clk(clk)"]
        for reader in ("0", "1") if item.kind == "rom_pair" else ("",):
            data = f"{'data' if reader else 'word'}{reader}"
            here = f"{index}_{reader}"
            ports += [f"input [{item.address_bits - 1}:0] addr{here}",
                      f"output [{item.width - 1}:0] data{here}"]  # fmt: skip
            pins += [f".en{reader}(en)", f".addr{reader}(addr{here})", f".{data}(data{here})"]
        body.append(
            f"  {item.kind} #(.WIDTH({item.width}), .DEPTH({item.depth}), "
            f'.ABITS({item.address_bits}), .FILE("{folder}/{item.image}")) '
            f"memory{index} ({', '.join(pins)});\n"
        )
    return f"module roms({', '.join(ports)});\n{''.join(body)}endmodule\n"


def of_blocks(
    modules: Mapping[str, Any], mapped: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """Initial values of the block RAMs of every memory of blocks, by module and cell.

    Parameters
    ----------
    modules : mapping
        Of the mapped chip.
    mapped : mapping
        Of `alone`, mapped.

    Raises
    ------
    FlowError
        If a memory has other cells in the one than in the other.
    """
    alone_ = {(item.kind, item.image, item.width, item.depth): mapped[name]["cells"]
              for name, item in memories(mapped).items()}  # fmt: skip
    for name, item in memories(modules).items():
        if item.kind not in _IN_BLOCKS:
            continue
        masks, sums = (alone_[item.kind, f"{folder}/{item.image}", item.width, item.depth]
                       for folder in (MASK, SUM))  # fmt: skip
        values: dict[str, dict[str, str]] = {}
        for cell_name, cell in _blocks(modules[name]["cells"]).items():
            same = [other[cell_name] for other in (masks, sums) if cell_name in other]
            if len(same) != 2 or any(_shape(other) != _shape(cell) for other in same):
                raise FlowError(f"{name}: Yosys mapped this ROM otherwise than it did in the chip")
            values[cell_name] = {
                key: _sum(*(other["parameters"][key] for other in same))
                for key in cell["parameters"] if key.startswith("INITVAL_")
            }  # fmt: skip
        yield name, values


def _blocks(cells: Mapping[str, Any]) -> dict[str, Any]:
    return {name: cell for name, cell in cells.items() if cell["type"] == "DP16KD"}


def _shape(cell: Mapping[str, Any]) -> dict[str, str]:
    """Modes of a block RAM, and which of its pins are in use."""
    modes = {key: value for key, value in cell["parameters"].items() if "INITVAL_" not in key}
    wired = {pin: str([bit if isinstance(bit, str) else "wire" for bit in bits])
             for pin, bits in cell["connections"].items()}  # fmt: skip
    return modes | wired


def _sum(one: str, other: str) -> str:
    """Sum bit by bit of two numbers in binary digits."""
    return f"{int(one, 2) ^ int(other, 2):0{len(one)}b}"


def of_tables(item: Memory, words: Sequence[int]) -> dict[str, dict[str, str]]:
    """Truth tables of a memory of LUTs, by cell."""
    values = {}
    known = (1 << item.address_bits) - 1
    for bit in range(item.width):
        for row in range(-(-item.depth // _ROWS)):
            table = 0
            for entry in range(_ROWS):
                place = _ROWS * row + (entry & known)
                if place < item.depth:
                    table |= (words[place] >> bit & 1) << entry
            pair, upper = divmod(row, 2)
            name = f"bits[{bit}].pairs[{pair}].{'both.table1' if upper else 'table0'}"
            values[name] = {"INIT": f"{table:016b}"}
    return values


def paths(modules: Mapping[str, Any], top: str) -> Iterator[tuple[str, str]]:
    """Path and module of every instance below `top`."""
    for name, cell in modules[top]["cells"].items():
        if cell["type"] in modules:
            yield name, cell["type"]
            for path, module in paths(modules, cell["type"]):
                yield f"{name}.{path}", module


def of_netlist(modules: Mapping[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """Parameters that hold the words of a mapped and filled chip, by module and cell."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, item in memories(modules).items():
        cells = modules[name]["cells"]
        if item.kind in _IN_BLOCKS:
            found[name] = {
                cell: {key: value for key, value in block["parameters"].items()
                       if key.startswith("INITVAL_")}
                for cell, block in _blocks(cells).items()
            }  # fmt: skip
        else:
            found[name] = {
                cell: {"INIT": cells[cell]["parameters"]["INIT"]}
                for cell in of_tables(item, [0] * item.depth)
            }
    return found
