"""Routed configurations of Project Trellis: what nextpnr writes and ecpunpack reads back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from flow.evidence import block_ram

_TILE = re.compile(r"^\.(?:tile|tile_group) (.+)\n((?:.+\n)*)", re.MULTILINE)
_WORD = re.compile(r"^word: (\S+) ([01]+)$", re.MULTILINE)
_BLOCK = re.compile(r"^\.bram_init (\d+)\n(?:[0-9a-f ]+\n)*", re.MULTILINE)
_PLACE = re.compile(r"X(\d+)/Y(\d+)/(\w+)(?:\.(\w+))?")


def with_blocks(text: str, blocks: Mapping[int, block_ram.Contents]) -> str:
    """A configuration whose block RAMs hold other contents."""
    return _BLOCK.sub(lambda found: f".bram_init {found[1]}\n{_lines(blocks[int(found[1])])}", text)


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
