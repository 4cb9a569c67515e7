"""Delays for nets between tiles, whose clock trees differ.

Inside a tile Coriolis balances the clock tree. The trees of two tiles are of different depth, so an
edge may reach the reading tile so late that the next value overtakes it. Nets between tiles whose
shortest path from register to register takes less than `LEAST_NS` at the fastest corner therefore
get buffers where they enter a tile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from flow.silicon.cell import Library
from flow.silicon.netlist import BUFFER, HOLD, Gate
from flow.silicon.table import Group, Liberty

LEAST_NS = 0.35
"""Shortest path between registers of two tiles at the fastest corner, wires not counted."""

SLEW_NS, LOAD_PF = 0.05, 0.004
"""At the inputs and outputs of gates that drive one gate nearby."""


def shortest(liberty: Liberty) -> dict[str, float]:
    """Delay (ns) of the fastest path through each cell that drives one gate nearby."""
    found = {}
    for name, cell in liberty.cells.items():
        delays = [
            liberty.table(table).at(SLEW_NS, LOAD_PF)
            for pin in cell.each("pin")
            for timing in pin.each("timing")
            for table in _delays(timing)
        ]
        if delays:
            found[name] = min(delays)
    return found


def _delays(timing: Group) -> list[Group]:
    return [table for kind in ("cell_rise", "cell_fall") for table in timing.each(kind)]


def buffers(
    parts: Sequence[Sequence[Gate]], library: Library, delays: Mapping[str, float]
) -> list[dict[str, int]]:
    """Buffers that each part needs at the nets that other parts drive.

    Parameters
    ----------
    delays : mapping of str to float
        Shortest delay (ns) of each cell.

    Returns
    -------
    list of dict of str to int
        For each part, net to number of buffers.
    """
    gates = [gate for part in parts for gate in part]
    driver = {
        net: number
        for number, part in enumerate(parts) for gate in part for pin, net in gate.pins.items()
        if pin in library.cells[gate.cell].outputs
    }  # fmt: skip
    come = _distances(gates, library, delays, forward=True)
    leave = _distances(gates, library, delays, forward=False)
    found: list[dict[str, int]] = []
    for number, part in enumerate(parts):
        left: dict[str, float] = {}
        for gate in part:
            cell = library.cells[gate.cell]
            behind = _behind(gate, library, delays, leave)
            for pin, net in gate.pins.items():
                if pin in cell.outputs or driver.get(net, number) == number:
                    continue
                if not cell.flip_flop or pin == "i":
                    left[net] = min(left.get(net, math.inf), behind)
        found.append({
            net: math.ceil((LEAST_NS - come[net] - behind) / delays[BUFFER])
            for net, behind in sorted(left.items())
            if come.get(net, math.inf) + behind < LEAST_NS
        })  # fmt: skip
    return found


def _behind(
    gate: Gate, library: Library, delays: Mapping[str, float], leave: Mapping[str, float]
) -> float:
    """Shortest way from an input of a gate to a register."""
    cell = library.cells[gate.cell]
    if cell.flip_flop:
        return 0.0
    return min(
        (delays.get(gate.cell, 0.0) + leave.get(gate.pins[pin], math.inf) for pin in cell.outputs),
        default=math.inf,
    )


def _distances(
    gates: Sequence[Gate], library: Library, delays: Mapping[str, float], *, forward: bool
) -> dict[str, float]:
    """Shortest way (ns) from a register to each net, or on from each net to a register."""
    steps: dict[str, list[tuple[str, float]]] = {}
    best: dict[str, float] = {}
    for gate in gates:
        cell = library.cells[gate.cell]
        inputs = [net for pin, net in gate.pins.items() if pin not in cell.outputs]
        outputs = [net for pin, net in gate.pins.items() if pin in cell.outputs]
        took = delays.get(gate.cell, 0.0)
        if cell.flip_flop:
            ends = outputs if forward else [gate.pins["i"]]
            best |= dict.fromkeys(ends, took if forward else 0.0)
            continue
        for source in inputs if forward else outputs:
            for target in outputs if forward else inputs:
                steps.setdefault(source, []).append((target, took))
    waiting = [(way, net) for net, way in best.items()]
    heapify(waiting)
    while waiting:
        way, net = heappop(waiting)
        if way > best[net]:
            continue
        for target, took in steps.get(net, ()):
            if way + took < best.get(target, math.inf):
                best[target] = way + took
                heappush(waiting, (way + took, target))
    return best


def chain(port: str, count: int) -> tuple[str, list[Gate]]:
    """Net that follows `port` behind `count` buffers, and the buffers."""
    nets = [port, *(f"{port}_late{step}" for step in range(count))]
    return nets[-1], [
        Gate(f"h_{port}_{step}", BUFFER, {"i": nets[step], "q": nets[step + 1]}, HOLD)
        for step in range(count)
    ]
