"""Compare a layout with the netlist it must contain, gate by gate.

Runs in the environment ``klayout``. Reads ``chip.gds``, ``layout.json`` (what place and route says
it placed, see ``coriolis_place.py``) and ``library.json``; writes ``lvs.json`` and, about the
wires of each net, ``wires.json``. Wires from local
interconnect to metal 5 are extracted from the layout; a cell is a black box that is known by its
pins' labels; tiles are dissolved into their cells. Nets of one name are not joined: every
connection must be there in metal.

A mismatch is a result, not an error: it exits with 0 once it has compared.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import klayout.db as kdb

METALS = {"li": 67, "m1": 68, "m2": 69, "m3": 70, "m4": 71, "m5": 72}
VIAS = (("li", 67, "m1"), ("m1", 68, "m2"), ("m2", 69, "m3"), ("m3", 70, "m4"), ("m4", 71, "m5"))
DRAWING, PIN, CUT = 20, 16, 44
LABELS = (0, 5, 16)
SUPPLIES = ("vdd", "vss")

# Capacitance to what lies below, per area (fF/um2) and per length of edge (fF/um), sheet resistance
# (ohm) and width of wires (um): the technology LEF of SkyWater's sky130_fd_sc_hd, and the routing
# gauge of the cells. Coupling between neighbours counts as if to ground; contacts count nothing.
WIRES = {
    "li": (36.9866e-3, 40.697e-3, 12.8, 0.17),
    "m1": (25.7784e-3, 40.567e-3, 0.125, 0.32),
    "m2": (16.9423e-3, 37.759e-3, 0.125, 0.37),
    "m3": (12.3729e-3, 40.989e-3, 0.047, 0.38),
    "m4": (8.41537e-3, 36.676e-3, 0.047, 0.38),
}
MOST_LISTED = 20


def extract(layout: kdb.Layout, top: kdb.Cell) -> kdb.LayoutVsSchematic:
    """Find the nets of all cells from wires, contacts and labels."""
    found = kdb.LayoutVsSchematic(kdb.RecursiveShapeIterator(layout, top, []))
    metal, label = {}, []
    for name, number in METALS.items():
        wires = found.make_layer(layout.layer(number, DRAWING), name)
        pins = found.make_layer(layout.layer(number, PIN), f"{name}_pin")
        found.connect(wires)
        found.connect(pins)
        found.connect(wires, pins)
        metal[name] = wires
        for kind in LABELS:
            text = found.make_text_layer(layout.layer(number, kind), f"{name}_label_{kind}")
            found.connect(wires, text)
            label.append(text)
    for below, number, above in VIAS:
        cut = found.make_layer(layout.layer(number, CUT), f"{below}_{above}")
        found.connect(cut)
        found.connect(metal[below], cut)
        found.connect(cut, metal[above])
    found.extract_netlist()
    return found


def reference(placed: dict[str, Any], library: dict[str, Any], top: str) -> kdb.Netlist:
    """Netlist that the layout must contain."""
    netlist = kdb.Netlist()
    netlist.case_sensitive = True
    pins: dict[str, list[str]] = {
        name: [*cell["pins"], *SUPPLIES] for name, cell in library["cells"].items()
    }
    boxes = {}
    for name in sorted({item["cell"] for item in placed["instances"]}):
        names = pins.get(name, list(SUPPLIES))
        if set(names) == set(SUPPLIES):
            continue
        box = kdb.Circuit()
        box.name = name
        netlist.add(box)
        for pin in names:
            box.create_pin(pin)
            box.connect_pin(box.pin_by_name(pin), box.create_net(pin))
        boxes[name] = box
    circuit = kdb.Circuit()
    circuit.name = top
    netlist.add(circuit)
    nets: dict[str, kdb.Net] = {}

    def net(name: str) -> kdb.Net:
        if name not in nets:
            nets[name] = circuit.create_net(name)
        return nets[name]

    for port in (*placed["ports"], *SUPPLIES):
        circuit.create_pin(port)
        circuit.connect_pin(circuit.pin_by_name(port), net(port))
    for item in placed["instances"]:
        if item["cell"] not in boxes:
            continue
        box = boxes[item["cell"]]
        instance = circuit.create_subcircuit(box, item["name"])
        for pin, wire in {**item["pins"], "vdd": "vdd", "vss": "vss"}.items():
            instance.connect_pin(box.pin_by_name(pin), net(wire))
    return netlist


def drop_physical(netlist: kdb.Netlist, top: str) -> None:
    """Remove cells with supply pins alone (fillers, ties, decoupling): they carry no signal."""
    for circuit in list(netlist.each_circuit()):
        if circuit.name != top and {pin.name() for pin in circuit.each_pin()} <= set(SUPPLIES):
            netlist.flatten_circuit(circuit)


def hint(comparer: kdb.NetlistComparer, layout: kdb.Circuit, schematic: kdb.Circuit) -> None:
    """Say which nets have one name on both sides; the comparer then proves or refutes it.

    Without, it cannot tell symmetrical branches of the clock tree apart.
    """
    names = {net.name: net for net in layout.each_net() if net.name}
    for net in schematic.each_net():
        if net.name in names:
            comparer.same_nets(layout, schematic, names[net.name], net)


def wires(found: kdb.LayoutVsSchematic, top: str) -> dict[str, list[float]]:
    """Capacitance (fF) and resistance (ohm) of the wires of each net of `top`, cells' own left out.

    Nets go by their names in the netlist.
    """
    result = {}
    unit = found.internal_layout().dbu
    for pair in found.xref().each_circuit_pair():
        if (pair.second() or pair.first()).name != top:
            continue
        for item in found.xref().each_net_pair(pair):
            drawn, named = item.first(), item.second()
            if drawn is None or named is None or named.name in SUPPLIES:
                continue
            capacitance = resistance = 0.0
            for layer, (area, edge, sheet, width) in WIRES.items():
                shapes = found.shapes_of_net(drawn, found.layer_by_name(layer), False)
                size, around = shapes.area() * unit**2, shapes.perimeter() * unit
                capacitance += area * size + edge * around
                resistance += sheet * size / width**2
            result[named.name] = [round(capacitance, 4), round(resistance, 3)]
    return dict(sorted(result.items()))


def listed(found: kdb.LayoutVsSchematic, top: str) -> list[str]:
    """Nets and instances of `top`, and other circuits, that have no exact partner."""
    bad: list[str] = []
    # Of branches that are alike the comparer picks one (a warning): that is a match.
    fine = (kdb.NetlistCrossReference.Match, kdb.NetlistCrossReference.MatchWithWarning)
    xref = found.xref()
    for pair in xref.each_circuit_pair():
        name = (pair.second() or pair.first()).name
        if name != top:
            if pair.status() not in fine:
                bad.append(f"cell {name}: {pair.status()}")
            continue
        for kind, items in (
            ("net", xref.each_net_pair(pair)),
            ("pin", xref.each_pin_pair(pair)),
            ("instance", xref.each_subcircuit_pair(pair)),
        ):
            for item in items:
                if item.status() not in fine:
                    sides = (item.second() or item.first()).expanded_name()
                    bad.append(f"{kind} {sides}: {item.status()}")
    return bad


def main() -> None:
    """Compare and write the result."""
    start = time.monotonic()
    placed = json.loads(Path("layout.json").read_text())
    library = json.loads(Path("library.json").read_text())
    layout = kdb.Layout()
    layout.read("chip.gds")
    top = layout.top_cell()
    stamped = set(placed.get("tiles", ()))
    for instance in [item for item in top.each_inst() if item.cell.name in stamped]:
        instance.flatten(1)
    found = extract(layout, top)
    extracted = found.netlist()
    extracted.case_sensitive = True
    extracted.make_top_level_pins()
    drop_physical(extracted, top.name)
    schematic = reference(placed, library, top.name)
    found.reference = schematic
    schematic = found.reference
    comparer = kdb.NetlistComparer()
    hint(comparer, extracted.circuit_by_name(top.name), schematic.circuit_by_name(top.name))
    same = found.compare(comparer)
    circuit = extracted.circuit_by_name(top.name)
    wanted = found.reference.circuit_by_name(top.name)
    bad = listed(found, top.name)
    result: dict[str, Any] = {
        "match": bool(same) and not bad,
        "nets": [sum(1 for _ in side.each_net()) for side in (circuit, wanted)],
        "instances": [sum(1 for _ in side.each_subcircuit()) for side in (circuit, wanted)],
        "pins": [circuit.pin_count(), wanted.pin_count()],
        "cells": dict(sorted(Counter(
            item.circuit_ref().name for item in wanted.each_subcircuit()
        ).items())),
        "mismatches": len(bad),
        "listed": bad[:MOST_LISTED],
    }  # fmt: skip
    Path("wires.json").write_text(f"{json.dumps(wires(found, top.name), indent=0)}\n")
    Path("lvs.json").write_text(f"{json.dumps(result, indent=1)}\n")
    print(f"LVS {'match' if result['match'] else 'MISMATCH'}: {result['instances'][0]} instances, "
          f"{result['nets'][0]} nets, {time.monotonic() - start:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main()
