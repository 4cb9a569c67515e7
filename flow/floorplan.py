"""Sites of an ECP5's block RAMs, for designs that use nearly all of them.

nextpnr's electrostatic placer goes on until block RAMs overlap little enough, which they never do
when nearly all sites are taken. Fixed sites leave it nothing to wait for. A memory of many blocks
lies along two rows, the bits of its words in order, so that what uses neighbouring bits comes to
lie side by side; the next goes on where it ends. The small ones share the middle.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow import files

BLOCK = "DP16KD"

_NEAR = ("memory", "lookup", "rotary", "attention", "matvec", "embedding", "sample")
"""Units of the chip with small memories, those in the middle of its loop first."""


@dataclass(frozen=True, slots=True)
class Sites:
    """Where a device has block RAMs: rows of groups of four.

    Parameters
    ----------
    rows : tuple of int
        Their y.
    left, right : int
        Groups on both sides of the clock's spine.
    middle : float
        y of the device's middle.
    """

    rows: tuple[int, ...]
    left: int
    right: int
    middle: float

    def columns(self) -> list[tuple[int, int]]:
        """Every site of a row: x, and number within its group."""
        starts = [4 + 9 * k + 2 * (k >= self.left) for k in range(self.left + self.right)]
        return [(start + 2 * k, k) for start in starts for k in range(4)]


# Read from placements of nextpnr-ecp5 0.11.1.0.post826 that fill each device; the 12F, to
# nextpnr, is a 25F.
SITES = {
    "LFE5U-12F": Sites((25, 37), 3, 4, 25),
    "LFE5U-25F": Sites((25, 37), 3, 4, 25),
    "LFE5U-45F": Sites((10, 34, 58), 4, 5, 35.5),
    "LFE5U-85F": Sites((22, 46, 70, 82), 7, 6, 47.5),
}


def pin(netlist: Path, pinned: Path, device: str) -> bool:
    """Write `netlist` with a site for every block RAM; False, and no file, if sites do not suffice.

    Parameters
    ----------
    netlist, pinned : Path
        Linked netlist (Yosys JSON, flattened), and where the other goes.
    device : str
    """
    content = json.loads(netlist.read_text())
    (top,) = [item for item in content["modules"].values() if "top" in item["attributes"]]
    places = assign({n: c for n, c in top["cells"].items() if c["type"] == BLOCK}, device)
    for name, bel in places.items():
        top["cells"][name]["attributes"]["BEL"] = bel
    if places:
        files.write(pinned, json.dumps(content))
    return bool(places)


def assign(blocks: Mapping[str, Mapping[str, Any]], device: str) -> dict[str, str]:
    """Site of each block RAM; nothing if the device has too few like this.

    Parameters
    ----------
    blocks : mapping of str to mapping
        Cells of the netlist.
    device : str
    """
    sites = SITES[device]
    columns = sites.columns()
    memories: dict[str, list[str]] = defaultdict(list)
    for name in blocks:
        memories[re.sub(r"\.\d+\.\d+$", "", name)].append(name)
    large = sorted(
        (name for name, found in memories.items() if len(found) >= len(columns) / 2),
        key=lambda name: (-len(memories[name]), name),
    )
    small = sorted((n for m, found in memories.items() if m not in large for n in found), key=_near)
    width = 2 * -(-len(small) // (2 * len(sites.rows)))
    if width > len(columns):
        return {}
    first = (len(columns) - width) // 2
    between, outer = columns[first : first + width], [*columns[:first], *columns[first + width :]]
    by_distance = sorted(sites.rows, key=lambda y: abs(y - sites.middle))
    free = [(x, y, k) for x, k in between for y in by_distance]
    found = {name: _bel(site) for name, site in zip(small, free, strict=False)}
    path = _path(sites.rows, outer)
    ordered = [n for memory in large for n in _in_order(memories[memory], blocks)]
    if len(ordered) > len(path):
        return {}
    return found | {name: _bel(site) for name, site in zip(ordered, path, strict=False)}


def _path(rows: Sequence[int], columns: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Sites one after the other: rows by twos from the last, every other two from right to left."""
    path = []
    for turn, end in enumerate(range(len(rows), 0, -2)):
        for x, k in columns if turn % 2 == 0 else reversed(columns):
            path += [(x, y, k) for y in rows[max(0, end - 2) : end]]
    return path


def _bel(site: tuple[int, int, int]) -> str:
    x, y, k = site
    return f"X{x}/Y{y}/EBR{k}"


def _near(name: str) -> tuple[int, str]:
    unit = name.removeprefix("chip.").split(".")[0]
    return (_NEAR.index(unit) if unit in _NEAR else len(_NEAR), name)


def _in_order(names: Sequence[str], blocks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Blocks of a memory by the bits that they hold, two neighbours' banks in turn.

    Blocks that are written from the same wires are banks of the same bits.
    """
    slices: dict[Any, list[str]] = defaultdict(list)
    for name in sorted(names, key=_number):
        wire = blocks[name]["connections"]["DIA0"][0]
        slices[wire if isinstance(wire, int) else name].append(name)
    places = {
        name: (part // 2, bank, part % 2)
        for part, banks in enumerate(slices.values())
        for bank, name in enumerate(banks)
    }
    return sorted(names, key=places.__getitem__)


def _number(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", name)[-2:])
