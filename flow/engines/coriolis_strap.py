"""The filler cell that ties the rails of its row to power straps, for a Coriolis library.

Imported by the generated ``StdCellLib.py`` while it builds the library: the framework indexes a
library when it wraps it, so the cell has to be there before.
"""

from __future__ import annotations

from typing import Any

from coriolis.helpers import u
from coriolis.helpers.overlay import UpdateSession
from coriolis.Hurricane import (
    Box,
    Cell,
    DataBase,
    Horizontal,
    Net,
    NetExternalComponents,
    Point,
    Rectilinear,
    Vertical,
)

NAME = "power_strap"

# The strap cell: width, and where its two m2 wires stand in it.
STRAP_WIDTH, VDD_AT, VSS_AT = 3.04, 0.765, 2.295
RAIL, M2_WIRE, NWELL_FROM, NWELL_OVER = 0.95, 0.52, 2.94, 0.18
# From the centre of a strap: half a contact, and the offsets of the two contacts on a rail.
MCON, MCON_OFF, VIA, VIA_OFF = 0.085, 0.19, 0.075, 0.17


def add_strap_cell(library: Any, height: float) -> None:
    """Add a filler that ties the li rails of its row to vertical m2 wires, one for each supply.

    In a block, Coriolis leaves the rails of the rows unconnected. Columns of this cell stand in
    every row at the same place, so that their wires join to straps from bottom to top.
    """
    technology = DataBase.getDB().getTechnology()

    def box(net: Any, layer: str, x0: float, y0: float, x1: float, y1: float) -> Any:
        corners = ((x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0))
        points = [Point(u(x), u(y)) for x, y in corners]
        return Rectilinear.create(net, technology.getLayer(layer), points)

    with UpdateSession():
        cell = Cell.create(library, NAME)
        cell.setAbutmentBox(Box(u(0), u(0), u(STRAP_WIDTH), u(height)))
        blockage = Net.create(cell, "*")
        rails = (
            ("vdd", VDD_AT, height - RAIL, height, Net.Type.POWER),
            ("vss", VSS_AT, 0.0, RAIL, Net.Type.GROUND),
        )
        for name, x, low, high, kind in rails:
            net = Net.create(cell, name)
            net.setExternal(True)
            net.setGlobal(True)
            net.setType(kind)
            net.setDirection(Net.Direction.IN)
            middle, centre = (low + high) / 2, STRAP_WIDTH / 2
            box(net, "li", 0, low, STRAP_WIDTH, high)
            for layer in ("li.pin", "li"):
                rail = Vertical.create(
                    net, technology.getLayer(layer), u(centre), u(STRAP_WIDTH), u(low), u(high)
                )
            NetExternalComponents.setExternal(rail)
            first = technology.getLayer("m1")
            Horizontal.create(net, first, u(middle), u(0.80), u(x - 0.25), u(x + 0.25))
            Horizontal.create(
                blockage, first.getBlockageLayer(), u(middle), u(1.70), u(x - 0.60), u(x + 0.60)
            )
            for layer, half, offset in (("mcon", MCON, MCON_OFF), ("via", VIA, VIA_OFF)):
                for y in (middle - offset, middle + offset):
                    box(net, layer, x - half, y - half, x + half, y + half)
            second = technology.getLayer("m2")
            wire = Vertical.create(net, second, u(x), u(M2_WIRE), u(0), u(height))
            NetExternalComponents.setExternal(wire)
            Vertical.create(
                blockage, second.getBlockageLayer(), u(x), u(M2_WIRE + 0.28), u(0), u(height)
            )
            if name == "vdd":
                box(net, "nwm", -NWELL_OVER, NWELL_FROM, STRAP_WIDTH + NWELL_OVER,
                    height + NWELL_OVER)  # fmt: skip
        # Implants reach the edges of the row, as those of the neighbours do.
        box(blockage, "psdm", 0, 0, STRAP_WIDTH, 0.38)
        box(blockage, "nsdm", 0, height - 0.38, STRAP_WIDTH, height)
        cell.setTerminalNetlist(True)
