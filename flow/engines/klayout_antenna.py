"""Antenna rules of sky130 on a layout: charge that wires collect while they are etched.

Runs in the environment ``klayout``. Reads ``chip.gds``; writes ``antenna.json``. When a layer is
etched, a net is what the layers up to it connect, down to the gates of transistors and to the
drains that lead charge away. Of a metal, the side walls (length of edge times thickness) count, of
contacts the area, both against the area of the net's gates; each layer is looked at alone.

A violation is a result, not an error: it exits with 0 once it has looked.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import klayout.db as kdb

DRAWING, CUT = 20, 44
DIFFUSION, POLY = 65, 66
MOST_LISTED = 20
OUT_OF_REACH = 1e12
"""Ratio that a square micrometre of drain adds where a net with one is looked at apart."""


@dataclass(frozen=True)
class Layer:
    """What SkyWater allows of one layer (technology LEF of sky130_fd_sc_hd).

    Parameters
    ----------
    name : str
    number, kind : int
        Layer in the file.
    thickness : float
        Of a metal, in micrometres; 0 for contacts.
    bare : float
        Largest ratio of a net without drains.
    drained, slope : float
        Largest ratio with drains is `drained`, and `slope` more for each square micrometre of them.
    """

    name: str
    number: int
    kind: int
    thickness: float
    bare: float
    drained: float
    slope: float


METALS = (
    Layer("li", 67, DRAWING, 0.10, 75, 75, 450), Layer("m1", 68, DRAWING, 0.35, 400, 2600, 400),
    Layer("m2", 69, DRAWING, 0.35, 400, 2600, 400), Layer("m3", 70, DRAWING, 0.80, 400, 2600, 400),
    Layer("m4", 71, DRAWING, 0.80, 400, 2600, 400), Layer("m5", 72, DRAWING, 1.20, 400, 2600, 400),
)  # fmt: skip
CUTS = (
    Layer("mcon", 67, CUT, 0, 3, 3, 18), Layer("via", 68, CUT, 0, 6, 6, 36),
    Layer("via2", 69, CUT, 0, 6, 6, 36), Layer("via3", 70, CUT, 0, 6, 6, 36),
    Layer("via4", 71, CUT, 0, 6, 6, 36),
)  # fmt: skip


def check(layout: kdb.Layout, top: kdb.Cell, level: int) -> dict[str, list[list[float]]]:
    """Look at one metal and the contacts on it; what is above them is not there yet.

    Returns
    -------
    dict of str to list of [float, float]
        Layer to places (um) of the nets that have too much of it.
    """
    found = kdb.LayoutToNetlist(kdb.RecursiveShapeIterator(layout, top, []))

    def made(layer: Layer) -> kdb.Region:
        return found.make_layer(layout.layer(layer.number, layer.kind), layer.name)

    diffusion = found.make_layer(layout.layer(DIFFUSION, DRAWING), "diff")
    poly = found.make_layer(layout.layer(POLY, DRAWING), "poly")
    contact = found.make_layer(layout.layer(POLY, CUT), "licon")
    gate, drain = poly & diffusion, diffusion - poly
    found.register(gate, "gate")
    found.register(drain, "drain")
    for item in (gate, drain, poly, contact):
        found.connect(item)
    found.connect(gate, poly)
    found.connect(contact, poly)
    found.connect(contact, drain)
    below = contact
    looked = []
    for metal, cut in zip(METALS[: level + 1], [*CUTS, None], strict=False):
        looked = [(layer, made(layer)) for layer in (metal, cut) if layer is not None]
        for _, shapes in looked:
            found.connect(shapes)
            found.connect(below, shapes)
            below = shapes
    found.extract_netlist()
    return {layer.name: places(found, gate, drain, shapes, layer) for layer, shapes in looked}


def places(
    found: kdb.LayoutToNetlist,
    gate: kdb.Region,
    drain: kdb.Region,
    shapes: kdb.Region,
    layer: Layer,
) -> list[list[float]]:
    """Where each net that breaks the rule of a layer has some of it, in micrometres."""
    part = (0.0, layer.thickness) if layer.thickness else (1.0, 0.0)
    limits = [(layer.bare, OUT_OF_REACH), (layer.drained, layer.slope)]
    broken: dict[tuple[str, int], list[float]] = {}
    for ratio, slope in limits:
        marks = found.antenna_check(gate, 1.0, 0.0, shapes, *part, ratio, [[drain, slope]])
        for polygon in marks.each():  # every piece of such a net
            inside = polygon.decompose_trapezoids()[0].bbox().center()
            net = found.probe_net(shapes, inside)
            place = inside.to_dtype(found.internal_layout().dbu)
            at = [round(place.x, 3), round(place.y, 3)]
            broken.setdefault((net.circuit().name, net.cluster_id), at)
    return list(broken.values())


def main() -> None:
    """Look at every layer and write the result."""
    start = time.monotonic()
    layout = kdb.Layout()
    layout.read("chip.gds")
    found: dict[str, list[list[float]]] = {}
    for level in range(len(METALS)):
        found |= check(layout, layout.top_cell(), level)
    listed: list[dict[str, Any]] = [
        {"layer": name, "at": place} for name, where in found.items() for place in where
    ]
    result = {
        "violations": len(listed),
        "by_layer": {name: len(where) for name, where in found.items() if where},
        "layers": len(found),
        "listed": listed[:MOST_LISTED],
    }
    Path("antenna.json").write_text(f"{json.dumps(result, indent=1)}\n")
    print(f"antenna rules: {result['violations']} violations, {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
