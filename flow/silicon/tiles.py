"""Tiles: parts of a chip that are placed and routed alone, and what joins them.

A chip is cut into tiles; equal tiles are laid out once and stamped. `joined` puts the netlists in
their layouts together again: the flat chip that is compared, simulated and measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow.silicon import hold, netlist, partition
from flow.silicon.cell import Library
from flow.silicon.channel import Assembly
from flow.silicon.netlist import ANTENNA, TIES, Gate, Netlist
from flow.silicon.timing import drawn
from rtl_gen.errors import FlowError


@dataclass(frozen=True, slots=True)
class Tile:
    """One stamped tile.

    Parameters
    ----------
    name : str
    design : Netlist
        What is in it; tiles with equal designs are stamps of one.
    nets : mapping of str to str
        Port of the design to net of the chip.
    """

    name: str
    design: Netlist
    nets: Mapping[str, str]


def cut(
    design: Netlist, library: Library, delays: Mapping[str, float], most: int, clock: str
) -> tuple[Tile, ...]:
    """Cut a chip into tiles of at most `most` of its gates.

    Every tile has tie cells of its own, an antenna diode at each input but the clock, and buffers
    at inputs that change too soon after another tile's clock.

    Parameters
    ----------
    delays : mapping of str to float
        Shortest delay (ns) of each cell, see `flow.silicon.hold`.
    """
    ties = {cell for cell, _ in TIES.values()}
    constants = {wire: gate for gate in design.gates if gate.cell in ties
                 for wire in gate.pins.values()}  # fmt: skip
    gates = [gate for gate in design.gates if gate.cell not in ties]
    found = [[gates[index] for index in part] for part in partition.parts(gates, most)]
    ends: Counter[str] = Counter()
    for part in found:
        ends.update({net for gate in part for net in gate.pins.values()})
    ends.update(list(design.ports))
    late = hold.buffers(found, library, delays)
    return tuple(
        _tile(f"tile{number}", part, ends, constants, library, clock, late[number])
        for number, part in enumerate(found)
    )


def _tile(
    name: str,
    gates: Sequence[Gate],
    ends: Mapping[str, int],
    constants: Mapping[str, Gate],
    library: Library,
    clock: str,
    late: Mapping[str, int],
) -> Tile:
    used = sorted({net for gate in gates for net in gate.pins.values()})
    driven = {
        net for gate in gates for pin, net in gate.pins.items()
        if pin in library.cells[gate.cell].outputs
    }  # fmt: skip
    outside = [net for net in used if net not in constants and ends[net] > 1]
    port = {net: clock if net == clock else f"p{index}" for index, net in enumerate(outside)}
    ways = {port[net]: "output" if net in driven else "input" for net in outside}
    chains = {net: hold.chain(port[net], count) for net, count in late.items()}
    inner = port | {net: end for net, (end, _) in chains.items()}
    inside = [
        Gate(gate.name, gate.cell, {pin: inner.get(net, net) for pin, net in gate.pins.items()},
             gate.unit)
        for gate in gates
    ]  # fmt: skip
    inside += [gate for _, added in chains.values() for gate in added]
    inside += [constants[net] for net in used if net in constants]
    inside += [
        Gate(f"d{index}", ANTENNA, {"i": pin}, netlist.DIODES)
        for index, (pin, way) in enumerate(ways.items())
        if way == "input" and pin != clock
    ]
    nets = {port[net]: net for net in outside}
    return Tile(name, Netlist("tile", dict(sorted(ways.items())), tuple(inside)), nets)


def nets(tiles: Sequence[Tile]) -> dict[str, list[tuple[str, str]]]:
    """Tile and port of every end of each net between tiles."""
    found: dict[str, list[tuple[str, str]]] = {}
    for tile in tiles:
        for port, net in tile.nets.items():
            found.setdefault(net, []).append((tile.name, port))
    return dict(sorted(found.items()))


def joined(
    tiles: Sequence[Tile],
    top: str,
    ports: Mapping[str, str],
    placed: Mapping[str, Mapping[str, Any]],
    assembly: Assembly,
    library: Library,
) -> tuple[dict[str, Any], Netlist]:
    """What the chip's layout contains: content of ``layout.json``, and the netlist.

    A net keeps its name if no other tile has one of that name.

    Parameters
    ----------
    placed : mapping of str to mapping
        Tile to its ``layout.json``.
    assembly : Assembly
        Where the tiles stand.

    Raises
    ------
    FlowError
        If a net inside a tile gets the name of a net of the chip.
    """
    instances: list[dict[str, Any]] = []
    gates: list[Gate] = []
    own = Counter(net for tile in tiles for net in _inner(tile.design))
    known = {net for tile in tiles for net in tile.nets.values()} | ports.keys()
    for tile in tiles:
        here = placed[tile.name]
        start, bottom, mirrored = assembly.places[tile.name]
        names = {net: net if own[net] == 1 else f"{tile.name}_{net}" for net in _inner(tile.design)}
        names |= tile.nets
        # Place and route has aliases for ports and nets of its own.
        outer = {drawn(net): drawn(name) for net, name in names.items()}
        for item in here["instances"]:
            x, y = item["at"]
            cell = library.cells.get(item["cell"])
            if mirrored and cell is not None:
                x = here["size"][0] - x - cell.width
            instances.append({
                "name": f"{tile.name}_{item['name']}",
                "cell": item["cell"],
                "at": [round(start + x, 4), round(bottom + y, 4)],
                "pins": {
                    pin: outer.get(net, f"{tile.name}_{net}") for pin, net in item["pins"].items()
                },
            })  # fmt: skip
        for gate in netlist.routed(here, tile.design, library).gates:
            pins = {pin: names.get(net, f"{tile.name}_{net}") for pin, net in gate.pins.items()}
            if clash := {net for net in pins.values() if net in known} - set(tile.nets.values()):
                raise FlowError(f"{tile.name}: the chip has nets with names of its own: {clash}")
            gates.append(Gate(f"{tile.name}_{gate.name}", gate.cell, pins, gate.unit))
    content = {
        "top": top,
        "size": assembly.size,
        "ports": {drawn(port): way for port, way in sorted(ports.items())},
        "instances": instances,
        "tiles": sorted({laid_out(tile, tiles) for tile in tiles}),
    }
    return content, Netlist(top, ports, tuple(gates))


def laid_out(tile: Tile, tiles: Sequence[Tile]) -> str:
    """Name of the first tile with the same design: the one that is laid out."""
    return next(other.name for other in tiles if other.design == tile.design)


def _inner(design: Netlist) -> set[str]:
    return {net for gate in design.gates for net in gate.pins.values()} - design.ports.keys()
