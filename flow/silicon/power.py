"""Power of a layout from how often its nets toggle, its wires, and the energies of its cells.

A net takes half its capacitance (wires and input pins) times the square of the supply for every
edge. A gate takes in addition the internal energy that its library has for an edge of its output at
the net's load, averaged over its inputs; a flip-flop also what each edge of its clock and data
takes while the output rests. Slews are those of the driving gate at its load. The library has no
energy of inputs of other gates that leave the output as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from flow import files
from flow.silicon import cell, netlist, table
from flow.silicon.cell import Cell, Library
from flow.silicon.netlist import Gate, Netlist
from flow.silicon.table import Group, Liberty, Table
from flow.silicon.target import AsicTarget
from flow.silicon.timing import SHIPPED, drawn

SLEW_NS = 0.15
"""Slew at the input of a gate when the slew of its output is looked up."""

PARTS = ("switching", "internal", "leakage")


@dataclass(frozen=True, slots=True)
class Energies:
    """What one cell takes at one corner.

    Parameters
    ----------
    capacitance : mapping of str to float
        Input pin to picofarads.
    edges : tuple of (Table, Table)
        Energy (pJ) of a rise and a fall of the output, one pair for each input.
    slews : tuple of Table
        Slews (ns) of the output.
    idle : mapping of str to (Table, Table)
        Input pin of a flip-flop to the energy of its own edges.
    leakage_nw : float
    """

    capacitance: Mapping[str, float]
    edges: tuple[tuple[Table, Table], ...]
    slews: tuple[Table, ...]
    idle: Mapping[str, tuple[Table, Table]]
    leakage_nw: float


def analyze(target: AsicTarget, views: Path, folder: Path, result: Path) -> None:
    """Write ``power.json`` of the layout in `folder`.

    Raises
    ------
    FlowError
        If a corner has no library, or a net no wires.
    """
    library = cell.read(views / "library.json")
    routed = netlist.from_json(files.read_json(folder / "routed.json"))
    wires = files.read_json(folder / "wires.json")
    activity = files.read_json(folder / "toggles.json")
    seconds = activity["cycles"] / (1e6 * target.clock_mhz)
    corners = {}
    for corner in target.corners:
        found = table.read(SHIPPED / target.process / f"{corner}.lib")
        units = of_units(routed, library, found, wires, activity["toggles"], seconds)
        parts = {part: sum(item[part] for item in units.values()) for part in PARTS}
        corners[corner] = {"voltage": found.voltage, "total_mw": sum(parts.values()), **parts,
                           "units": units}  # fmt: skip
        print(f"  {corner}: {corners[corner]['total_mw']:.3f} mW", file=sys.stderr)
    files.write_json(
        result,
        {
            "clock_mhz": target.clock_mhz,
            "cycles": activity["cycles"],
            "steps": activity["steps"],
            "corners": corners,
        },
    )


def of_units(
    routed: Netlist,
    library: Library,
    liberty: Liberty,
    wires: Mapping[str, Sequence[float]],
    toggles: Mapping[str, Sequence[int]],
    seconds: float,
) -> dict[str, dict[str, float]]:
    """Power of every unit in milliwatts: switching, internal, leakage.

    Parameters
    ----------
    wires : mapping of str to (float, float)
        Capacitance (fF) and resistance of each net, by its name in the layout.
    toggles : mapping of str to (int, int)
        Rises and falls of each net.
    seconds : float
        How long that took.
    """
    energies = {
        name: _energies(library.cells[name], liberty)
        for name in {gate.cell for gate in routed.gates}
    }
    loads = _loads(routed, library, energies, wires)
    slews = {net: _slew(energies[gate.cell], loads[net]) for gate, net in _driven(routed, library)}
    found: dict[str, dict[str, float]] = {}
    for gate in routed.gates:
        unit = found.setdefault(gate.unit, dict.fromkeys(PARTS, 0.0))
        item = energies[gate.cell]
        unit["leakage"] += item.leakage_nw * 1e-6
        internal = sum(
            count * edge.at(slews.get(gate.pins[pin], SLEW_NS))
            for pin, pair in item.idle.items()
            for count, edge in zip(toggles[gate.pins[pin]], pair, strict=True)
        )
        for net in (gate.pins[pin] for pin in library.cells[gate.cell].outputs):
            rises, falls = toggles[net]
            unit["switching"] += (rises + falls) / 2 * loads[net] * liberty.voltage**2
            if item.edges:
                slew = fmean(slews.get(gate.pins[pin], SLEW_NS) for pin in item.capacitance)
                internal += fmean(
                    rises * rise.at(slew, loads[net]) + falls * fall.at(slew, loads[net])
                    for rise, fall in item.edges
                )
        unit["internal"] += internal
    for unit in found.values():
        for part in ("switching", "internal"):
            unit[part] *= 1e-12 / seconds * 1e3  # picojoules over that time to milliwatts
    return dict(sorted(found.items(), key=lambda item: -sum(item[1].values())))


def _driven(routed: Netlist, library: Library) -> list[tuple[Gate, str]]:
    return [
        (gate, gate.pins[pin]) for gate in routed.gates for pin in library.cells[gate.cell].outputs
    ]


def _loads(
    routed: Netlist,
    library: Library,
    energies: Mapping[str, Energies],
    wires: Mapping[str, Sequence[float]],
) -> dict[str, float]:
    """Capacitance of every net in picofarads: its wires and the pins it feeds."""
    loads = {net: 0.0 for _, net in _driven(routed, library)}
    for gate in routed.gates:
        for pin in library.cells[gate.cell].inputs:
            net = gate.pins[pin]
            loads[net] = loads.get(net, 0.0) + energies[gate.cell].capacitance.get(pin, 0.0)
    for net in loads:
        loads[net] += wires.get(drawn(net), (0.0, 0.0))[0] * 1e-3
    return loads


def _slew(item: Energies, load: float) -> float:
    return max((slew.at(SLEW_NS, load) for slew in item.slews), default=SLEW_NS)


def _energies(item: Cell, liberty: Liberty) -> Energies:
    group = liberty.cells.get(item.name)
    if group is None:  # ties and antenna diodes: neither edges nor gates
        return Energies({}, (), (), {}, 0.0)
    capacitance, edges, slews, idle = {}, [], [], {}
    for pin in group.each("pin"):
        if "capacitance" in pin.values:
            capacitance[pin.name] = float(pin.values["capacitance"]) * liberty.capacitance_pf
        for power in pin.each("internal_power"):
            pair = _pair(liberty, power)
            if pin.values["direction"] == "input":
                idle[pin.name] = pair
            else:
                edges.append(pair)
        slews += [
            liberty.table(edge, scale=liberty.time_ns)
            for timing in pin.each("timing")
            for edge in timing.groups
            if edge.kind.endswith("_transition")
        ]
    leakage = float(group.values["cell_leakage_power"])
    return Energies(capacitance, tuple(edges), tuple(slews), idle, leakage)


def _pair(liberty: Liberty, group: Group) -> tuple[Table, Table]:
    rise, fall = (next(group.each(f"{edge}_power")) for edge in ("rise", "fall"))
    return liberty.table(rise), liberty.table(fall)


def summary(content: Mapping[str, Any], corner: str) -> dict[str, float]:
    """Metrics of one corner of ``power.json``."""
    found = content["corners"][corner]
    energy = found["total_mw"] * 1e-3 * content["cycles"] / (content["clock_mhz"] * 1e6)
    return {
        "power__total": found["total_mw"],
        **{f"power__{part}__total": found[part] for part in PARTS},
        "step__energy": 1e9 * energy / content["steps"],
    }
