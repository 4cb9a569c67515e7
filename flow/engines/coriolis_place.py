"""Place and route a mapped netlist with Coriolis, in a folder that holds everything it needs.

Runs in the environment ``coriolis``. Reads ``design.blif``, ``cells.spi``, the package
``library/c4msky130`` and ``floorplan.json``::

    {"top": "chip", "clock": "clk", "rows": 70, "row_height": 6.08, "grid": 0.76,
     "pins": [{"net": "rst", "side": "north", "at": 12.24}, ...], "options": {...}}

Writes ``routed.gds``, and in ``layout.json`` every instance with its place and its nets: what the
layout must contain, for the comparison with the layout and for simulation. Exits with 1 if a net
stays open.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("MBK_WORK_LIB", ".")
sys.path[:0] = [".", "library"]

import coriolis_strap
from c4msky130 import StdCellLib, techno
from coriolis import CRL, Cfg
from coriolis.helpers import overlay, u
from coriolis.Hurricane import DbU, Net

POWER_LAYER = 5


def set_up(plan: dict[str, Any]) -> Any:
    """Load technology and cells; give the framework."""
    techno.setup()
    framework = CRL.AllianceFramework.get()
    library = StdCellLib.setup()
    CRL.Spice.load(library, "cells.spi", CRL.Spice.PIN_ORDERING)
    with overlay.CfgCache(priority=Cfg.Parameter.Priority.UserFile) as settings:
        settings.misc.catchCore = False
        settings.misc.info = False
        settings.misc.paranoid = False
        settings.misc.bug = False
        settings.misc.logMode = True
        settings.misc.verboseLevel1 = True
        settings.misc.verboseLevel2 = False
        settings.anabatic.topRoutingLayer = "m4"
        settings.katana.eventsLimit = 4_000_000
        framework.getRoutingGauge("StdCellLib").getLayerGauge(POWER_LAYER).setType(
            CRL.RoutingLayerGauge.PowerSupply
        )
        framework.getEnvironment().setCLOCK(f"^{plan['clock']}$")
    return framework


def configure(cell: Any, plan: dict[str, Any]) -> Any:
    """Settings of one place-and-route run."""
    # The plugins make a database when they are imported: not before the technology made its own.
    from coriolis.plugins.block.configuration import IoPin
    from coriolis.plugins.block.spares import Spares
    from coriolis.plugins.chip.configuration import ChipConf

    sides = {"west": IoPin.WEST, "east": IoPin.EAST, "north": IoPin.NORTH, "south": IoPin.SOUTH}
    pins = [
        (sides[pin["side"]] | IoPin.A_BEGIN, pin["net"], u(pin["at"]), 0, 1) for pin in plan["pins"]
    ]
    conf = ChipConf(cell, ioPins=pins, ioPads=[])
    options = plan["options"]
    conf.cfg.etesian.densityVariation = options["density_variation"]
    conf.cfg.etesian.aspectRatio = 1.0
    conf.cfg.etesian.spaceMargin = options["space_margin"]
    conf.cfg.etesian.antennaGateMaxWL = u(options["wire_without_diode"])
    conf.cfg.etesian.cell.power = coriolis_strap.NAME
    conf.cfg.anabatic.globalIterations = options["global_iterations"]
    conf.cfg.katana.runRealignStage = False
    conf.cfg.katana.globalRipupLimit = options["ripup_limit"]
    conf.cfg.katana.maxFlatEdgeOverflow = 1000
    conf.cfg.katana.hTracksReservedLocal = options["reserved_tracks"]
    conf.cfg.katana.vTracksReservedLocal = options["reserved_tracks"]
    conf.cfg.katana.hTracksReservedMin = 4
    conf.cfg.katana.vTracksReservedMin = 4
    conf.cfg.block.spareSide = u(10 * plan["row_height"])
    conf.editor = None
    conf.ioPinsInTracks = True
    conf.useSpares = True
    conf.useClockTree = False  # the H-tree below is the clock's
    conf.useHFNS = True
    conf.bColumns = conf.bRows = 2
    conf.chipName = "corona"
    conf.coreSize = (u(plan["width"]), u(plan["height"]))
    conf.useHTree(plan["clock"], Spares.HEAVY_LEAF_LOAD)
    return conf


def describe(cell: Any) -> dict[str, Any]:
    """Instances with place and nets; ports; size. In micrometres."""
    micro = DbU.toPhysical
    unit = DbU.UnitPowerMicro

    def um(value: int) -> float:
        return round(float(micro(value, unit)), 4)

    box = cell.getAbutmentBox()
    instances = []
    for instance in cell.getInstances():
        area = instance.getAbutmentBox()
        nets = {}
        for plug in instance.getPlugs():
            net = plug.getNet()
            if net is not None and not plug.getMasterNet().isSupply():
                nets[plug.getMasterNet().getName()] = net.getName()
        instances.append({
            "name": instance.getName(),
            "cell": instance.getMasterCell().getName(),
            "at": [um(area.getXMin()), um(area.getYMin())],
            "pins": dict(sorted(nets.items())),
        })  # fmt: skip
    ports = {}
    for net in cell.getNets():
        if net.isExternal() and not net.isSupply():
            direction = "output" if net.getDirection() & Net.Direction.DirOut else "input"
            ports[net.getName()] = direction
    return {
        "top": cell.getName(),
        "size": [um(box.getWidth()), um(box.getHeight())],
        "ports": dict(sorted(ports.items())),
        "instances": sorted(instances, key=lambda item: item["name"]),
    }


def join_roots(cell: Any, clock: str) -> None:
    """Give the clock to every buffer of its tree that has something to drive and no input.

    A block so small that the tree's root is its only node has several root buffers, of which
    Coriolis 2.5.4 connects the first.
    """
    net = cell.getNet(clock)
    for instance in cell.getInstances():
        if not instance.getName().startswith("spare_buffer"):
            continue
        plugs = {plug.getMasterNet().getName(): plug for plug in instance.getPlugs()}
        if plugs["q"].getNet() is not None and plugs["i"].getNet() is None:
            plugs["i"].setNet(net)


def main() -> int:
    """Run; 0 if everything is routed."""
    plan = json.loads(Path("floorplan.json").read_text())
    set_up(plan)
    from coriolis.plugins.block.block import Block

    cell = CRL.Blif.load("design")
    block = Block(configure(cell, plan))
    split = block.splitHTrees

    def split_and_join() -> None:
        split()
        join_roots(block.conf.cellPnR, plan["clock"])

    block.splitHTrees = split_and_join
    routed = block.doPnR()
    block.save()
    Path(f"{cell.getName()}.gds").rename("routed.gds")
    Path("layout.json").write_text(f"{json.dumps(describe(cell), indent=1)}\n")
    print(f"placed and routed: {bool(routed)}", flush=True)
    return 0 if routed else 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # the interpreter's own end crashes in the destructors of the database
