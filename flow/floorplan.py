"""Sites of an ECP5's block RAMs, and of multipliers beside them, for designs that use nearly all.

nextpnr's electrostatic placer goes on until block RAMs overlap little enough, which they never do
when nearly all sites are taken. Fixed sites leave it nothing to wait for. A memory of many blocks
lies along two rows, the bits of its words in order, so that what uses neighbouring bits comes to
lie side by side; so do the multipliers of the copies of a unit that share such a memory. The small
memories share the middle.
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
MULTIPLIER = "MULT18X18D"
_BEL = {BLOCK: "EBR", MULTIPLIER: "MULT18_"}

SLICE = re.compile(r"\.\w+\.slice(\d+)_\d+\.")
"""Names of the parts of a `rtl_gen.fabric.sliced_ram.SlicedRam` in a unit."""

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
    multipliers : tuple of int
        y of the rows of multipliers, if known: groups of four, too, above those of block RAMs.
    """

    rows: tuple[int, ...]
    left: int
    right: int
    middle: float
    multipliers: tuple[int, ...] = ()

    def groups(self) -> list[int]:
        """Where each group begins, in x."""
        return [4 + 9 * k + 2 * (k >= self.left) for k in range(self.left + self.right)]

    def columns(self) -> list[tuple[int, int]]:
        """Every block RAM of a row: x, and number within its group."""
        return [(start + 2 * k, k) for start in self.groups() for k in range(4)]

    def multiplier_columns(self) -> list[tuple[int, int]]:
        """Every multiplier of a row: x, and number within its group."""
        return [(start + k, k) for start in self.groups() for k in (0, 1, 4, 5)]


# Read from placements of nextpnr-ecp5 0.11.1.0.post826 that fill each device; the 12F, to
# nextpnr, is a 25F.
SITES = {
    "LFE5U-12F": Sites((25, 37), 3, 4, 25),
    "LFE5U-25F": Sites((25, 37), 3, 4, 25),
    "LFE5U-45F": Sites((10, 34, 58), 4, 5, 35.5),
    "LFE5U-85F": Sites((22, 46, 70, 82), 7, 6, 47.5, (10, 34, 58)),
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
    cells: dict[str, Any] = top["cells"]
    places = assign([n for n, c in cells.items() if c["type"] == BLOCK], device)
    multipliers = [n for n, c in cells.items() if c["type"] == MULTIPLIER]
    for name, bel in (places | beside(multipliers, places, device)).items():
        cells[name]["attributes"]["BEL"] = bel
    if places:
        files.write(pinned, json.dumps(content))
    return bool(places)


def assign(blocks: Sequence[str], device: str) -> dict[str, str]:
    """Site of each block RAM; nothing if the device has too few like this.

    Parameters
    ----------
    blocks : sequence of str
        Names of the cells.
    device : str
    """
    sites = SITES[device]
    columns = sites.columns()
    memories: dict[str, list[str]] = defaultdict(list)
    for name in sorted(blocks, key=_in_order):
        memories[_memory(name)].append(name)
    large = sorted(
        (name for name, found in memories.items() if len(found) >= len(columns) / 2),
        key=lambda name: (bool(SLICE.search(memories[name][0])), -len(memories[name]), name),
    )
    # Rows by twos, from the last; those of the first enclose multipliers, and are for slices.
    bands = [sites.rows[max(0, end - 2) : end] for end in range(len(sites.rows), 0, -2)]
    if len(large) > len(bands):
        return {}
    found: dict[str, str] = {}
    free = {(x, y, k) for x, k in columns for y in sites.rows}
    for memory, rows in zip(large, bands, strict=False):
        count = -(-len(memories[memory]) // len(rows))
        if count > len(columns):
            return {}
        outer = [*columns[: (count + 1) // 2], *columns[len(columns) - count // 2 :]]
        path = [(x, y, k) for x, k in outer for y in rows]
        for name, site in zip(memories[memory], path, strict=False):
            found[name] = _bel(BLOCK, site)
            free.discard(site)
    small = sorted((n for m, names in memories.items() if m not in large for n in names), key=_near)
    centre = columns[len(columns) // 2][0]
    inner = sorted(free, key=lambda s: (abs(s[0] - centre), abs(s[1] - sites.middle), s))
    if len(small) > len(inner):
        return {}
    return found | {n: _bel(BLOCK, site) for n, site in zip(small, inner, strict=False)}


def beside(multipliers: Sequence[str], places: Mapping[str, str], device: str) -> dict[str, str]:
    """Sites of the multipliers of numbered copies of a unit with a large memory in slices.

    The copies lie in their order along the rows of multipliers nearest to the memory's, as its
    slices do along theirs. All others are the placer's.

    Parameters
    ----------
    multipliers : sequence of str
        Names of the cells.
    places : mapping of str to str
        Sites of the block RAMs.
    device : str
    """
    sites = SITES[device]
    columns = sites.multiplier_columns()
    rows_of: dict[str, list[int]] = defaultdict(list)
    for name, bel in places.items():
        if SLICE.search(name):
            rows_of[_memory(name)].append(int(bel.split("/")[1][1:]))
    found: dict[str, str] = {}
    rows = list(sites.multipliers)
    for unit, used in rows_of.items():
        copies = sorted(
            (n for n in multipliers if re.match(re.escape(unit) + r"\.[a-z]+\d+\.", n)),
            key=_in_order,
        )
        middle = sum(used) / len(used)
        nearest = sorted(rows, key=lambda y: (abs(y - middle), abs(y - sites.middle)))
        nearest = nearest[: -(-len(copies) // len(columns))]
        path = [(x, y, k) for x, k in columns for y in sorted(nearest)]
        if not copies or len(copies) > len(path):
            continue
        rows = [y for y in rows if y not in nearest]
        for index, name in enumerate(copies):
            found[name] = _bel(MULTIPLIER, path[index * len(path) // len(copies)])
    return found


def _bel(kind: str, site: tuple[int, int, int]) -> str:
    x, y, k = site
    return f"X{x}/Y{y}/{_BEL[kind]}{k}"


def _near(name: str) -> tuple[int, str]:
    unit = name.removeprefix("chip.").split(".")[0]
    return (_NEAR.index(unit) if unit in _NEAR else len(_NEAR), name)


def _memory(name: str) -> str:
    """What lies together: a memory, or all memories in slices of a unit."""
    sliced = SLICE.search(name)
    return name[: sliced.start()] if sliced else re.sub(r"\.\d+\.\d+$", "", name)


def _in_order(name: str) -> tuple[tuple[int, ...], str]:
    """Slices of all memories of a unit side by side; else by number."""
    sliced = SLICE.search(name)
    numbers = tuple(int(part) for part in re.findall(r"\d+", name))
    return (int(sliced[1]), *numbers) if sliced else numbers, name
