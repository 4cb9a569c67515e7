"""Where tiles stand, and the wires between them.

Two columns of tiles stand with their pins towards a channel between them: on the west side, tiles
as they were laid out (pins east), on the east side, mirrored. A net runs on a vertical wire of m2
in the channel, each of its pins reaches it on a horizontal wire of m1. Pins of the two columns
stand on combs half a tooth apart, so no two horizontal wires meet and every net is routed. Ports of
the chip are the north ends of vertical wires.

Power: below every tile, bars of m3 cross the ends of its straps (straps of two tiles do not stand
above each other, so none are joined over a gap); spines of m4 west and east join the bars.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TOOTH = 1.38
"""Pins of a tile are at multiples of it from the tile's corner, in micrometres."""

M1, M2, M3, M4 = 68, 69, 70, 71
VIA, VIA2, VIA3 = 68, 69, 70
DRAWING, LABEL, PIN, CUT = 20, 5, 16, 44

# Wires and contacts as in the cells' routing gauge, in micrometres.
M1_WIDTH, M2_WIDTH = 0.32, 0.37
VIA_SIZE, VIA_OVER_M1, VIA_OVER_M2 = 0.15, 0.11, 0.085
PITCH = 0.74
APART = 1.0
"""Between two nets on one vertical track."""

OVERLAP = 0.30
"""How far a wire reaches into the tile, over its pin."""

MARGIN = 2.0
STRAP_WIDTH = 0.52
BAR, BAR_MARGIN, BAR_APART = 2.0, 2.5, 1.5
BARS = 2 * BAR_MARGIN + 2 * BAR + BAR_APART
SUPPLIES = ("vdd", "vss")
BAR_OFF = (BAR_MARGIN + 1.5 * BAR + BAR_APART, BAR_MARGIN + BAR / 2)
"""Middle of the bar of each supply above what lies below."""

SPINE_OFF = (8.0, 4.5)
"""Middle of the spine of each supply, from the widest tile."""

BIG_CUT, BIG_PITCH = 0.2, 0.45


@dataclass(frozen=True, slots=True)
class Block:
    """A tile before it has a place.

    Parameters
    ----------
    name, drawn : str
        The tile, and the layout that is stamped for it.
    width, height : float
    pins : mapping of str to float
        Port to its height above the tile's corner, at the east side.
    straps : tuple of (float, float)
        Where the straps of vdd and of vss stand.
    """

    name: str
    drawn: str
    width: float
    height: float
    pins: Mapping[str, float]
    straps: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Assembly:
    """Tiles with their places, and everything that is drawn beside them.

    Parameters
    ----------
    places : mapping of str to (float, float, bool)
        Tile to its lower left corner and whether it is mirrored.
    shapes : tuple of (int, int, float, float, float, float)
        Layer, its kind, box.
    labels : tuple of (int, float, float, str)
        Layer, place, text.
    size : (float, float)
    wires_um : float
        Length of the nets' wires.
    """

    places: Mapping[str, tuple[float, float, bool]]
    shapes: tuple[tuple[int, int, float, float, float, float], ...]
    labels: tuple[tuple[int, float, float, str], ...]
    size: tuple[float, float]
    wires_um: float


class _Drawing:
    def __init__(self) -> None:
        self.shapes: list[tuple[int, int, float, float, float, float]] = []
        self.labels: list[tuple[int, float, float, str]] = []
        self.wires_um = 0.0

    def box(self, layer: int, x0: float, y0: float, x1: float, y1: float, *,
            kind: int = DRAWING) -> None:  # fmt: skip
        corners = (round(value, 3) for value in (x0, y0, x1, y1))
        a, b, c, d = corners
        self.shapes.append((layer, kind, a, b, c, d))

    def cuts(self, layer: int, x: float, y: float, columns: int, rows: int) -> None:
        """Contacts around a centre."""
        for i in range(columns):
            for j in range(rows):
                left = x + (i - (columns - 1) / 2) * BIG_PITCH - BIG_CUT / 2
                low = y + (j - (rows - 1) / 2) * BIG_PITCH - BIG_CUT / 2
                left, low = (round(value / 0.005) * 0.005 for value in (left, low))
                self.box(layer, left, low, left + BIG_CUT, low + BIG_CUT, kind=CUT)

    def label(self, layer: int, x: float, y: float, text: str) -> None:
        self.labels.append((layer, round(x, 3), round(y, 3), text))


def plan(
    blocks: Sequence[Block],
    nets: Mapping[str, Sequence[tuple[str, str]]],
    ports: Mapping[str, str],
) -> Assembly:
    """Stand the tiles in two columns and join their pins.

    Parameters
    ----------
    nets : mapping of str to sequence of (str, str)
        Net to tile and port of each of its ends.
    ports : mapping of str to str
        Net that is a port of the chip to the port's label.
    """
    columns = _columns(blocks)
    bottoms, top = _stack(columns)
    pins = {
        (block.name, port): (side, bottoms[block.name] + at)
        for side, column in enumerate(columns) for block in column
        for port, at in block.pins.items()
    }  # fmt: skip
    ends = {net: [pins[end] for end in where] for net, where in nets.items()}
    tracks, count = _tracks(ends, ports, top)
    channel = math.ceil((2 * MARGIN + count * PITCH) / 0.02) * 0.02 if count else 2 * MARGIN
    drawing = _Drawing()
    for net, where in ends.items():
        _net(drawing, MARGIN + tracks[net] * PITCH, where, channel, top, ports.get(net))
    places = {
        block.name: (-block.width if side == 0 else channel, bottoms[block.name], side == 1)
        for side, column in enumerate(columns)
        for block in column
    }
    west = -max(block.width for block in columns[0])
    east = channel + max((block.width for block in columns[1]), default=0.0)
    _power(drawing, columns, bottoms, top, (west, east), channel)
    rounded = {name: (round(x, 3), round(y, 3), flag) for name, (x, y, flag) in places.items()}
    size = (round(east - west, 3), round(top, 3))
    return Assembly(rounded, tuple(drawing.shapes), tuple(drawing.labels), size,
                    round(drawing.wires_um, 1))  # fmt: skip


def describe(assembly: Assembly, blocks: Sequence[Block], top: str) -> dict[str, Any]:
    """Content of ``stitch.json``, see `flow.engines.klayout_stitch`."""
    return {
        "top": top,
        "tiles": [
            {"name": block.name, "drawn": block.drawn, "width": block.width,
             "at": assembly.places[block.name][:2], "mirrored": assembly.places[block.name][2]}
            for block in blocks
        ],
        "shapes": assembly.shapes,
        "labels": assembly.labels,
    }  # fmt: skip


def _columns(blocks: Sequence[Block]) -> tuple[list[Block], list[Block]]:
    """Two columns of about the same height, the tallest tiles first."""
    columns: tuple[list[Block], list[Block]] = ([], [])
    for block in sorted(blocks, key=lambda item: (-item.height, item.name)):
        min(columns, key=lambda column: sum(item.height + BARS for item in column)).append(block)
    return columns


def _stack(columns: Sequence[Sequence[Block]]) -> tuple[dict[str, float], float]:
    """Height of each tile's corner, on the comb of its column, and of the top of all."""
    bottoms: dict[str, float] = {}
    top = 0.0
    for side, column in enumerate(columns):
        offset = side * TOOTH / 2
        at = 0.0
        for block in column:
            bottoms[block.name] = round(math.ceil((at + BARS - offset) / TOOTH) * TOOTH + offset, 3)
            at = bottoms[block.name] + block.height
        top = max(top, at)
    return bottoms, round(top + BAR_MARGIN, 3)


def _tracks(
    ends: Mapping[str, Sequence[tuple[int, float]]], ports: Mapping[str, str], top: float
) -> tuple[dict[str, int], int]:
    """Vertical track of each net, the lowest first on the first free one; how many there are."""
    spans = sorted(
        (min(y for _, y in where), top if net in ports else max(y for _, y in where), net)
        for net, where in ends.items()
    )
    last: list[float] = []
    found = {}
    for low, high, net in spans:
        free = next((index for index, end in enumerate(last) if end + APART < low), len(last))
        if free == len(last):
            last.append(high)
        last[free] = high
        found[net] = free
    return found, len(last)


def _net(
    drawing: _Drawing,
    x: float,
    where: Sequence[tuple[int, float]],
    channel: float,
    top: float,
    port: str | None,
) -> None:
    half = VIA_SIZE / 2
    for side, y in where:
        reach = half + VIA_OVER_M1
        start, stop = (-OVERLAP, x + reach) if side == 0 else (x - reach, channel + OVERLAP)
        drawing.box(M1, start, y - M1_WIDTH / 2, stop, y + M1_WIDTH / 2)
        drawing.wires_um += stop - start
        drawing.box(VIA, x - half, y - half, x + half, y + half, kind=CUT)
    low, high = (pick(y for _, y in where) for pick in (min, max))
    high = top if port is not None else high + half + VIA_OVER_M2
    low -= half + VIA_OVER_M2
    drawing.wires_um += high - low
    drawing.box(M2, x - M2_WIDTH / 2, low, x + M2_WIDTH / 2, high)
    if port is not None:
        drawing.box(M2, x - M2_WIDTH / 2, top - 1.0, x + M2_WIDTH / 2, top, kind=PIN)
        drawing.label(M2, x, top - 0.5, port)


def _power(
    drawing: _Drawing,
    columns: Sequence[Sequence[Block]],
    bottoms: Mapping[str, float],
    top: float,
    edges: tuple[float, float],
    channel: float,
) -> None:
    """Bars below every tile, the lowest ones of both columns, and the spines."""
    for side, column in enumerate(column for column in columns if column):
        away = -1 if side == 0 else 1
        inner = 0.0 if side == 0 else channel
        tops = [bottoms[block.name] + block.height for block in column]
        for index, name in enumerate(SUPPLIES):
            spine = edges[side] + away * SPINE_OFF[index]
            drawing.box(M4, spine - BAR / 2, 0.0, spine + BAR / 2, top)
            bars = [start + BAR_OFF[index] for start in (0.0, *tops[:-1])]
            for level, y in enumerate(bars):
                ends = sorted((spine + away * BAR / 2, inner if level else channel / 2 - away))
                drawing.box(M3, ends[0], y - BAR / 2, ends[1], y + BAR / 2)
                drawing.cuts(VIA3, spine, y, 4, 4)
            for block, y in zip(column, bars, strict=True):
                for strap in block.straps:
                    x = inner - block.width + strap[index] if side == 0 else (
                        inner + block.width - strap[index])  # fmt: skip
                    left, right = x - STRAP_WIDTH / 2, x + STRAP_WIDTH / 2
                    drawing.box(M2, left, y - BAR / 2, right, bottoms[block.name] + OVERLAP)
                    drawing.cuts(VIA2, x, y, 1, 4)
            if side == 0:
                drawing.box(M4, spine - BAR / 2, 0.0, spine + BAR / 2, BAR, kind=PIN)
                drawing.label(M4, spine, BAR / 2, name)
