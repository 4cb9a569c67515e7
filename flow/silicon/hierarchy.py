"""Layout of a chip of any size: flat, or as tiles that are laid out alone and joined."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flow import files
from flow.silicon import cell, channel, floorplan, hold, layout, netlist, table, tiles
from flow.silicon.channel import Assembly, Block
from flow.silicon.target import AsicTarget
from flow.silicon.tiles import Tile
from flow.silicon.timing import SHIPPED
from flow.silicon.timing import drawn as drawn_as
from flow.tools import base, coriolis, klayout

FASTEST = "ff"
"""Corner that hold is decided at."""

STRAP = "power_strap"
STRAP_AT = (0.765, 2.295)
"""Where the wires of vdd and vss stand in the strap's cell, see `flow.engines.coriolis_strap`."""


def place(mapped: Path, target: AsicTarget, where: str, views: Path, folder: Path,
          log: Path, jobs: int = 1) -> None:  # fmt: skip
    """Lay out the chip of ``mapped.json``, in tiles if it has more than ``tile_cells`` cells.

    Parameters and results are those of `flow.silicon.layout.place`; `jobs` tiles at once.
    """
    design = netlist.from_json(files.read_json(mapped))
    if len(design.gates) <= target.tile_cells:
        layout.place(mapped, target, where, views, folder, log)
        return
    library = cell.read(views / "library.json")
    delays = hold.shortest(table.read(SHIPPED / target.process / f"{FASTEST}.lib"))
    found = tiles.cut(design, library, delays, target.tile_cells, layout.CLOCK)
    late = sum(gate.unit == netlist.HOLD for tile in found for gate in tile.design.gates)
    print(f"  {len(found)} tiles of up to {max(len(tile.design.gates) for tile in found)} cells, "
          f"{len(tiles.nets(found))} nets between them, {late} buffers for hold",
          file=sys.stderr)  # fmt: skip
    place_tiles(found, design.top, design.ports, target, where, views, folder, log, jobs)


def place_tiles(
    parts: Sequence[Tile], top: str, ports: Mapping[str, str], target: AsicTarget, where: str,
    views: Path, folder: Path, log: Path, jobs: int = 1,
) -> None:  # fmt: skip
    """Lay out every design of a tile once, stamp the tiles, join them and check the whole.

    Parameters
    ----------
    ports : mapping of str to str
        Ports of the chip; a net of the tiles has the name of the port that it is.
    jobs : int
        Tiles that are laid out at once.
    """
    library = cell.read(views / "library.json")
    drawn = {tile.name: tiles.laid_out(tile, parts) for tile in parts}

    def lay_out(tile: Tile) -> dict[str, Any]:
        here = folder / "tiles" / tile.name
        files.write_json(here / "mapped.json", netlist.to_json(tile.design))
        print(f"  {tile.name}: {len(tile.design.gates)} cells, {len(tile.nets)} pins",
              file=sys.stderr, flush=True)  # fmt: skip
        layout.place(here / "mapped.json", target, where, views, here,
                     log.with_name(f"{log.stem}.{tile.name}.log"), _tall, tile.name)  # fmt: skip
        return dict(files.read_json(here / "place.json"))

    different = [tile for tile in parts if drawn[tile.name] == tile.name]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        made = dict(zip([tile.name for tile in different], pool.map(lay_out, different),
                        strict=True))  # fmt: skip
    tries = [{"tile": name, **item} for name, record in made.items() for item in record["tries"]]
    records = {name: record["chosen"] for name, record in made.items()}
    placed = {tile.name: files.read_json(folder / "tiles" / drawn[tile.name] / "layout.json")
              for tile in parts}  # fmt: skip
    blocks = [_block(tile, drawn[tile.name], placed[tile.name], library) for tile in parts]
    labels = {port: drawn_as(port) for port in ports}
    assembly = channel.plan(blocks, tiles.nets(parts), labels)
    content, routed = tiles.joined(parts, top, ports, placed, assembly, library)
    stitch = klayout.stitch(
        {name: folder / "tiles" / name / "chip.gds" for name in records},
        json.dumps(channel.describe(assembly, blocks, top)),
    )
    base.run(stitch, folder / "stitched/stitch", log)
    layout.finish(content, routed, folder / "stitched/stitch/routed.gds", library,
                  folder / "stitched", log)  # fmt: skip
    layout.keep(folder / "stitched", folder)
    broken = layout.broken_rules(folder / "stitched")
    print(f"  {assembly.size[0]:.0f} x {assembly.size[1]:.0f} um: {broken['violations']} "
          f"violations of design rules, {broken['antennas']} of antenna rules",
          file=sys.stderr)  # fmt: skip
    chosen = {**_summary(parts, drawn, records, assembly), **broken}
    files.write_json(
        folder / "place.json",
        {"coriolis": coriolis.version(), "tries": tries, "chosen": chosen},
    )


def _tall(design: netlist.Netlist, library: cell.Library, part: float) -> floorplan.Floorplan:
    filled = floorplan.part(design, library, part)
    return floorplan.tile(design, library, filled, channel.TOOTH)


def _block(tile: Tile, drawn: str, placed: Mapping[str, Any], library: cell.Library) -> Block:
    width, height = placed["size"]
    straps = sorted({item["at"][0] for item in placed["instances"] if item["cell"] == STRAP})
    pins = {port: placed["pins"][port] for port in tile.nets}
    offsets = [(round(at + STRAP_AT[0], 3), round(at + STRAP_AT[1], 3)) for at in straps]
    return Block(tile.name, drawn, width, height, pins, tuple(offsets))


def _summary(
    parts: Sequence[Tile],
    drawn: Mapping[str, str],
    records: Mapping[str, Mapping[str, Any]],
    assembly: Assembly,
) -> dict[str, Any]:
    """What ``place.json`` says about the whole."""
    each = [records[drawn[tile.name]] for tile in parts]
    return {
        "utilization": min(item["utilization"] for item in records.values()),
        "rows": sum(item["rows"] for item in each),
        "wires_um": round(sum(item["wires_um"] for item in each) + assembly.wires_um, 1),
        "open_segments": sum(item["open_segments"] for item in each),
        "tiles": {tile.name: {"drawn": drawn[tile.name], "cells": len(tile.design.gates),
                              "pins": len(tile.nets)} for tile in parts},
    }  # fmt: skip
