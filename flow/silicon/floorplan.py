"""Size of a block and places of its pins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flow.silicon.cell import Library
from flow.silicon.netlist import Netlist, alias
from rtl_gen.errors import TargetError

# Routing tracks: horizontal wires of west and east pins, vertical ones of north and south pins.
TRACK_HORIZONTAL, TRACK_VERTICAL = 0.46, 0.51
LEAST_TRACKS = 3
EDGE = 0.05
"""Part of a side without pins, at either end."""

EASY_PINS = 0.153
"""Pins of cells for each um2 of cells up to which a core that is filled as asked is routed: small
gates alone, as constants become, need room for their wires."""

OPTIONS = {
    "density_variation": 0.05, "space_margin": 0.10, "global_iterations": 20, "ripup_limit": 7,
    "reserved_tracks": 12, "wire_without_diode": 60.0,
}  # fmt: skip
"""Of Coriolis. The smallest gate takes 63 um of the thickest routed metal (m3, m4) without a diode,
so shorter nets cannot break the antenna rules, and longer ones get diodes."""


@dataclass(frozen=True, slots=True)
class Floorplan:
    """A block before placement.

    Parameters
    ----------
    rows : int
    width, height : float
        In micrometres.
    pins : tuple of (str, str, float)
        Net, side and place along the side from its start, in micrometres.
    """

    rows: int
    width: float
    height: float
    pins: tuple[tuple[str, str, float], ...]


def part(netlist: Netlist, library: Library, asked: float) -> float:
    """Part of a core that the cells of `netlist` may fill where usual ones fill `asked`."""
    area = sum(library.cells[gate.cell].area for gate in netlist.gates)
    pins = sum(len(gate.pins) for gate in netlist.gates)
    return round(asked * min(1.0, EASY_PINS * area / max(1, pins)), 4)


def plan(netlist: Netlist, library: Library, utilization: float, clock: str) -> Floorplan:
    """Square block whose mapped cells fill `utilization` of it: inputs west, outputs east.

    See Also
    --------
    tile : A block with all its pins at one side.

    Raises
    ------
    TargetError
        If a side is too short for its pins.
    """
    area = sum(library.cells[gate.cell].area for gate in netlist.gates)
    side = math.sqrt(area / utilization)
    rows = math.ceil(side / library.row_height)
    height = rows * library.row_height
    width = math.ceil(side / library.grid) * library.grid
    inputs = [p for p, way in netlist.ports.items() if way == "input" and p != clock]
    outputs = [p for p, way in netlist.ports.items() if way == "output"]
    pins = [
        *_spread(_ordered(inputs), "west", height, TRACK_HORIZONTAL),
        *_spread(_ordered(outputs), "east", height, TRACK_HORIZONTAL),
        (clock, "north", _track(width / 2, TRACK_VERTICAL)),
    ]
    return Floorplan(rows, round(width, 3), round(height, 3), tuple(pins))


def tile(netlist: Netlist, library: Library, utilization: float, tooth: float) -> Floorplan:
    """Block with all pins east at multiples of `tooth`, as nearly square as they let it be."""
    area = sum(library.cells[gate.cell].area for gate in netlist.gates)
    ports = _ordered(list(netlist.ports))
    side = max(math.sqrt(area / utilization), (len(ports) + 2) * tooth / (1 - 2 * EDGE))
    rows = math.ceil(side / library.row_height)
    height = rows * library.row_height
    # Many pins make it higher than wide, and narrower than this there is no room for straps.
    width = math.ceil(max(area / utilization / height, 12 * library.row_height) / library.grid)
    step = int((1 - 2 * EDGE) * height / tooth / len(ports)) * tooth
    first = math.ceil(EDGE * height / tooth) * tooth
    pins = tuple((port, "east", round(first + i * step, 3)) for i, port in enumerate(ports))
    return Floorplan(rows, round(width * library.grid, 3), round(height, 3), pins)


def describe(
    floorplan: Floorplan, netlist: Netlist, library: Library, clock: str
) -> dict[str, Any]:
    """Content of ``floorplan.json``, see `flow.engines.coriolis_place`."""
    return {
        "top": netlist.top,
        "clock": clock,
        "rows": floorplan.rows,
        "row_height": library.row_height,
        "grid": library.grid,
        "width": floorplan.width,
        "height": floorplan.height,
        "pins": [
            {"net": alias(net).replace("[", "(").replace("]", ")"), "side": side, "at": at}
            for net, side, at in floorplan.pins
        ],
        "options": OPTIONS | {"density_variation": _unevenness(floorplan, netlist, library)},
    }


def _unevenness(floorplan: Floorplan, netlist: Netlist, library: Library) -> float:
    """Density variation with which all cells find a place in the rows.

    Coloquinte spreads cells over an emptier core by placing them as wide as leaves this part of it
    free, and a row and its straps waste up to the widest of them.
    """
    used = {gate.cell for gate in netlist.gates}
    area = sum(library.cells[gate.cell].area for gate in netlist.gates)
    widest = max(library.cells[cell].width for cell in used)
    share = widest * floorplan.height / area  # of a row, when cells fill the core
    return round(max(OPTIONS["density_variation"], share), 4)


def _ordered(ports: Sequence[str]) -> list[str]:
    """Ports with their bits in rising order."""

    def key(port: str) -> tuple[str, int]:
        name, _, index = port.partition("[")
        return name, int(index[:-1]) if index else 0

    return sorted(ports, key=key)


def _spread(
    ports: Sequence[str], side: str, length: float, track: float
) -> list[tuple[str, str, float]]:
    most = int((1 - 2 * EDGE) * length / track / LEAST_TRACKS)
    if len(ports) > most:
        raise TargetError(
            f"{len(ports)} pins do not fit the {side} side of {length:.0f} um, {most} do; lower "
            "the target's utilization"
        )
    room = (1 - 2 * EDGE) * length / max(1, len(ports))
    step = max(LEAST_TRACKS, int(room / track))
    first = int(EDGE * length / track)
    return [(port, side, round((first + i * step) * track, 3)) for i, port in enumerate(ports)]


def _track(at: float, track: float) -> float:
    return round(int(at / track) * track, 3)
