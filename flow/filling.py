"""Artefacts of a chip that was mapped, placed and routed with ROMs of no meaning, filled.

So are the reset values of the board's registers, one of which follows from the scale of the logits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

from flow import contents
from flow.contents import Values
from rtl_gen.errors import FlowError

_TILE = re.compile(r"^\.tile (R\d+C\d+):.+\n((?:.+\n)*)", re.MULTILINE)
_INIT = re.compile(r"^word: (SLICE[A-D]\.K[01])\.INIT ([01]{16})$", re.MULTILINE)
_RESET = re.compile(r"^enum: (SLICE[A-D]\.REG[01])\.REGSET (\w+)$", re.MULTILINE)
_BLOCK = re.compile(r"^\.bram_init (\d+)\n(?:[0-9a-f ]+\n)*", re.MULTILINE)
_PLACE = re.compile(r"X(\d+)/Y(\d+)/(SLICE[A-D]\.)(COMB|K|FF)([01])")

_Places = Mapping[tuple[str, str], str]
"""Values by tile and by name of what has one there."""

_HALF_BITS = 9
_WORD_BITS = 20  # from one word of 18 bits to the next in an initial value
_LINE_WORDS = 16
_LINES = 64


def netlist(modules: Mapping[str, Any], values: Mapping[str, Values]) -> None:
    """Fill the modules of a mapped chip (Yosys JSON) in place."""
    for name, cells in values.items():
        for cell, parameters in cells.items():
            modules[name]["cells"][cell]["parameters"].update(parameters)


def flat(modules: Mapping[str, Any], values: Mapping[str, Values], top: str) -> Values:
    """Values by the names that cells have after place and route."""
    return {
        f"{top}.{path}.{cell}".replace("\\", ""): parameters
        for path, module in contents.paths(modules, top)
        for cell, parameters in values.get(module, {}).items()
    }


def resets(bare: Mapping[str, Any], board: Mapping[str, Any]) -> Values | None:
    """Reset values in which a board differs from another one; None if they differ otherwise, too.

    Parameters
    ----------
    bare, board : mapping
        Modules ``top`` (Yosys JSON) without the chip's cells.
    """
    found: dict[str, dict[str, str]] = {}
    if bare["cells"].keys() != board["cells"].keys() or bare["netnames"] != board["netnames"]:
        return None
    for name, cell in board["cells"].items():
        if cell == bare["cells"][name]:
            continue
        value = cell["parameters"].get("REGSET", "")
        same = {**cell, "parameters": {**cell["parameters"], "REGSET": ""}}
        other = bare["cells"][name]
        if not value or same != {**other, "parameters": {**other["parameters"], "REGSET": ""}}:
            return None
        found[name.replace("\\", "")] = {"REGSET": value}
    return found


def routed(cells: Mapping[str, Any], values: Values) -> None:
    """Fill the cells of a routed board (nextpnr JSON) in place.

    Raises
    ------
    FlowError
        If one is not there.
    """
    for name, parameters in values.items():
        if name not in cells:
            raise FlowError(f"{name}: place and route left out a cell that holds words of a ROM")
        cells[name]["parameters"].update(
            {"INITVAL" if key == "INIT" else key: value for key, value in parameters.items()}
        )


def configuration(text: str, cells: Mapping[str, Any], values: Values) -> str:
    """A routed configuration (Project Trellis) with the words of the filled `cells`.

    Parameters
    ----------
    text : str
        As nextpnr wrote it: tables are `contents.EMPTY`, with their inputs exchanged.
    cells : mapping
        Of the routed board, which tell where each lies.
    values : Values

    Raises
    ------
    FlowError
        If a table or a block is not where it should be.
    """
    blocks: dict[int, str] = {}
    tables: dict[tuple[str, str], str] = {}
    registers: dict[tuple[str, str], str] = {}
    for name, parameters in values.items():
        attributes = cells[name]["attributes"]
        if "WID" in attributes:
            blocks[int(attributes["WID"], 2)] = _lines(parameters)
            continue
        found = _PLACE.fullmatch(attributes["NEXTPNR_BEL"])
        if found is None:
            raise FlowError(f"{name}: placed at {attributes['NEXTPNR_BEL']}, not in a slice")
        tile, part = f"R{found[2]}C{found[1]}", found[3]
        if found[4] == "FF":
            registers[tile, f"{part}REG{found[5]}"] = parameters["REGSET"]
        else:
            tables[tile, f"{part}K{found[5]}"] = parameters["INIT"]
    text, missing = _in_tiles(text, tables, _INIT, _table)
    text, more = _in_tiles(text, registers, _RESET, _reset)
    numbers = {int(number) for number in _BLOCK.findall(text)}
    missing += [*more, *(f"block {number}" for number in sorted(blocks.keys() - numbers))]
    if missing:
        raise FlowError(f"the routed configuration has no {missing[0]}: it cannot be filled")
    return _BLOCK.sub(
        lambda found: f".bram_init {found[1]}\n{blocks[int(found[1])]}"
        if int(found[1]) in blocks else found[0], text,
    )  # fmt: skip


def _in_tiles(
    text: str, values: _Places, line: re.Pattern[str], made: Callable[[str, re.Match[str]], str]
) -> tuple[str, list[str]]:
    """A configuration with other lines at some places, and the places that it lacks."""
    left = dict(values)
    tiles = {tile for tile, _ in values}

    def section(found: re.Match[str]) -> str:
        if found[1] not in tiles:
            return found[0]
        return line.sub(lambda old: _line(found[1], old), found[0])

    def _line(tile: str, old: re.Match[str]) -> str:
        value = left.pop((tile, old[1]), None)
        return old[0] if value is None else made(value, old)

    return _TILE.sub(section, text), [f"{part} in {tile}" for tile, part in left]


def _table(value: str, old: re.Match[str]) -> str:
    return f"word: {old[1]}.INIT {_exchanged(int(value, 2), int(old[2], 2)):016b}"


def _reset(value: str, old: re.Match[str]) -> str:
    return f"enum: {old[1]}.REGSET {value}"


def _exchanged(table: int, seen: int) -> int:
    """A table with its inputs exchanged as they are where `contents.EMPTY` became `seen`."""
    for order in permutations(range(4)):
        if _permuted(contents.EMPTY, order) == seen:
            return _permuted(table, order)
    raise FlowError(f"a truth table became {seen:04x}, which no exchange of inputs makes")


def _permuted(table: int, order: tuple[int, ...]) -> int:
    found = 0
    for entry in range(16):
        source = sum((entry >> k & 1) << order[k] for k in range(4))
        found |= (table >> source & 1) << entry
    return found


def _lines(parameters: Mapping[str, str]) -> str:
    """Contents of a block RAM as a configuration states them: halves of words, low ones first."""
    halves: list[int] = []
    for line in range(_LINES):
        value = int(parameters[f"INITVAL_{line:02X}"], 2)
        for place in range(_LINE_WORDS):
            word = value >> _WORD_BITS * place
            halves += [word & 0x1FF, word >> _HALF_BITS & 0x1FF]
    rows = (halves[k : k + 8] for k in range(0, len(halves), 8))
    return "".join("".join(f"{half:03x} " for half in row) + "\n" for row in rows)
