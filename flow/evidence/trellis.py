"""Routed configurations of Project Trellis: what nextpnr writes and ecpunpack reads back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from flow.evidence import block_ram
from flow.evidence.design import EvidenceError

Arc = tuple[int, int, str, str]
"""A switch: column and row, the wire that it drives, and the wire that drives it."""

_TILE = re.compile(r"^\.(?:tile|tile_group) (.+)\n((?:.+\n)*)", re.MULTILINE)
_ARC = re.compile(r"^arc: (\S+) (\S+)$", re.MULTILINE)
_AT = re.compile(r"R(\d+)C(\d+)")
_WORD = re.compile(r"^word: (\S+) ([01]+)$", re.MULTILINE)
_ENUM = re.compile(r"^enum: (\S+) (\S+)$", re.MULTILINE)
_BLOCK = re.compile(r"^\.bram_init (\d+)\n(?:[0-9a-f ]+\n)*", re.MULTILINE)
_PLACE = re.compile(r"X(\d+)/Y(\d+)/(\w+)(?:\.(\w+))?")


def with_blocks(text: str, blocks: Mapping[int, block_ram.Contents]) -> str:
    """A configuration whose block RAMs hold other contents."""
    return _BLOCK.sub(lambda found: f".bram_init {found[1]}\n{_lines(blocks[int(found[1])])}", text)


def with_table(text: str, place: str, table: int) -> str:
    """A configuration with another truth table at `place` (``X2/Y42/SLICED.K0``).

    Raises
    ------
    EvidenceError
        If it has no table there.
    """
    found = _PLACE.fullmatch(place)
    if found is not None:
        line = re.compile(rf"^word: {found[3]}\.{found[4]}\.INIT [01]+$", re.MULTILINE)
        for section in _TILE.finditer(text):
            if section[1].startswith(f"R{found[2]}C{found[1]}:"):
                new = line.sub(f"word: {found[3]}.{found[4]}.INIT {table:016b}", section[0])
                return text[: section.start()] + new + text[section.end() :]
    raise EvidenceError(f"no truth table at {place}")


def with_source(text: str, arc: Arc, source: str) -> str:
    """A configuration in which another wire drives the sink of `arc`."""
    x, y, sink, old = arc
    for section in _TILE.finditer(text):
        place, line = _AT.search(section[1]), f"arc: {sink} {old}\n"
        if place is not None and (int(place[2]), int(place[1])) == (x, y) and line in section[0]:
            new = section[0].replace(line, f"arc: {sink} {source}\n")
            return text[: section.start()] + new + text[section.end() :]
    raise EvidenceError(f"no switch from {old} to {sink} at X{x}/Y{y}")


def with_mode(text: str, tile: str, name: str, value: str) -> str:
    """A configuration with another value of an ``enum:`` in a tile.

    Raises
    ------
    EvidenceError
        If it has none there.
    """
    line = re.compile(rf"^enum: {re.escape(name)} \S+$", re.MULTILINE)
    for section in _TILE.finditer(text):
        if section[1].startswith(f"{tile}:") and line.search(section[0]):
            new = line.sub(f"enum: {name} {value}", section[0])
            return text[: section.start()] + new + text[section.end() :]
    raise EvidenceError(f"no {name} in {tile}")


def _lines(contents: block_ram.Contents) -> str:
    rows = contents.reshape(-1, 8).tolist()
    return "".join(f"{' '.join(f'{value:03x}' for value in row)} \n" for row in rows)


@dataclass(frozen=True)
class Config:
    """A configuration as text, and its words by place.

    Parameters
    ----------
    text : str
    """

    text: str

    @cached_property
    def words(self) -> Mapping[tuple[str, str], int]:
        """Value of every ``word:`` by tile and name; a group's counts for each of its tiles."""
        found: dict[tuple[str, str], int] = {}
        for section in _TILE.finditer(self.text):
            tiles = [tile.partition(":")[0] for tile in section[1].split()]
            for name, digits in _WORD.findall(section[2]):
                value = int(digits, 2)
                for tile in tiles:
                    found[tile, name] = value
        return found

    @cached_property
    def modes(self) -> Mapping[tuple[str, str], str]:
        """Value of every ``enum:`` by tile and name."""
        return {
            (tile.partition(":")[0], name): value
            for section in _TILE.finditer(self.text)
            for tile in section[1].split()
            for name, value in _ENUM.findall(section[2])
        }

    @cached_property
    def arcs(self) -> frozenset[Arc]:
        """Every switch that is set.

        Raises
        ------
        EvidenceError
            If one lies in a tile whose name tells no place.
        """
        found: set[Arc] = set()
        for section in _TILE.finditer(self.text):
            for tile in section[1].split():
                arcs = _ARC.findall(section[2])
                place = _AT.search(tile)
                if arcs and place is None:
                    raise EvidenceError(f"the configuration sets wires in {tile}: where is that?")
                if place is not None:
                    x, y = int(place[2]), int(place[1])
                    found.update((x, y, sink, source) for sink, source in arcs)
        return frozenset(found)

    @cached_property
    def blocks(self) -> Mapping[int, block_ram.Contents]:
        """Contents of the block RAMs by number."""
        return block_ram.of_config(self.text)

    def block_number(self, place: str) -> int | None:
        """Number of the block RAM at `place` (``X24/Y70/EBR1``); None if there is none."""
        found = _PLACE.fullmatch(place)
        if found is None:
            return None
        # Digits of this word alone stand lowest first.
        value = self.words.get((f"MIB_R{found[2]}C{found[1]}", f"{found[3]}.WID"))
        return None if value is None else int(f"{value:09b}"[::-1], 2)

    def truth_table(self, place: str) -> int | None:
        """Truth table of the LUT at `place` (``X2/Y42/SLICED.K0``), inputs as routed."""
        found = _PLACE.fullmatch(place)
        if found is None:
            return None
        return self.words.get((f"R{found[2]}C{found[1]}", f"{found[3]}.{found[4]}.INIT"))
