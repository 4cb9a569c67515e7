"""Two stamps of one tile, joined: from Verilog to a checked layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow import files
from flow.silicon import hierarchy, layout, netlist
from flow.silicon.netlist import Netlist
from flow.silicon.tiles import Tile
from tests.silicon.test_chain import CHIP, TARGET, need_tools, simulate

SHARED = ("clk", "rst", "i__valid")
BITS = 8

# The second stamp takes the low half of what the first one gives.
PAIR = """module chip(clk, rst, i__valid, i__payload, middle, o__payload, idle);
  input clk, rst, i__valid;
  input [7:0] i__payload;
  output [7:0] middle;
  output [15:0] o__payload;
  output [1:0] idle;
  wire [7:0] low;
  tile first(.clk(clk), .rst(rst), .i__valid(i__valid), .i__payload(i__payload),
             .o__payload({middle, low}), .idle(idle[0]));
  tile second(.clk(clk), .rst(rst), .i__valid(i__valid), .i__payload(low),
              .o__payload(o__payload), .idle(idle[1]));
endmodule
"""
BENCH_PORTS = (
    ".o__payload(o__payload), .idle(idle)",
    ".middle(), .o__payload(o__payload), .idle()",
)


def stamp(number: int, design: Netlist) -> Tile:
    """One of the two."""
    nets = {}
    for port in design.ports:
        name, _, bit = port.partition("[")
        index = int(bit[:-1]) if bit else 0
        if port in SHARED:
            nets[port] = port
        elif name == "idle":
            nets[port] = f"idle[{number}]"
        elif name == "i__payload":
            nets[port] = port if number == 0 else f"low[{index}]"
        elif number == 0:
            nets[port] = f"low[{index}]" if index < BITS else f"middle[{index - BITS}]"
        else:
            nets[port] = port
    return Tile(f"tile{number}", design, nets)


@pytest.fixture(scope="module")
def pair(views: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the laid out pair."""
    need_tools()
    folder = tmp_path_factory.mktemp("pair")
    files.write(folder / "rtl/chip.v", CHIP)
    layout.synthesize(folder / "rtl/chip.v", views, folder, folder / "map.log")
    mapped = netlist.from_json(files.read_json(folder / "mapped.json"))
    design = Netlist("tile", mapped.ports, mapped.gates)
    stamps = [stamp(number, design) for number in (0, 1)]
    ports = {
        net: design.ports[port] for item in stamps for port, net in item.nets.items()
        if not net.startswith("low")
    }  # fmt: skip
    hierarchy.place_tiles(stamps, "chip", ports, TARGET, "pair.yaml", views, folder,
                          folder / "place.log")  # fmt: skip
    layout.compare(folder / "chip.gds", folder / "layout.json", views, folder / "lvs.json",
                   folder / "lvs.log")  # fmt: skip
    return folder


def test_one_tile_is_laid_out_and_two_stamps_are_clean_and_match(pair: Path) -> None:
    assert [path.name for path in sorted((pair / "tiles").iterdir())] == ["tile0"]
    assert files.read_json(pair / "place.json")["chosen"]["open_segments"] == 0
    assert files.read_json(pair / "drc.json")["violations"] == 0
    assert files.read_json(pair / "antenna.json")["violations"] == 0
    compared = files.read_json(pair / "lvs.json")
    assert compared["match"]
    tile = files.read_json(pair / "tiles/tile0/finish.json")["cells"]
    assert compared["instances"] == [2 * tile, 2 * tile]


def test_an_exchange_between_tiles_is_a_mismatch(pair: Path, views: Path) -> None:
    placed = files.read_json(pair / "layout.json")
    swap = {"low(1)": "low(2)", "low(2)": "low(1)"}
    for item in placed["instances"]:
        if item["name"].startswith("tile1"):
            item["pins"] = {pin: swap.get(net, net) for pin, net in item["pins"].items()}
    files.write_json(pair / "wrong/layout.json", placed)
    layout.compare(pair / "chip.gds", pair / "wrong/layout.json", views, pair / "wrong/lvs.json",
                   pair / "wrong/lvs.log")  # fmt: skip
    assert not files.read_json(pair / "wrong/lvs.json")["match"]


def test_its_gates_do_what_the_verilog_says(pair: Path, views: Path) -> None:
    files.write(pair / "rtl/pair.v", PAIR + CHIP.replace("module chip", "module tile", 1))
    said = simulate(pair / "sim_rtl", pair / "rtl/pair.v", ports=BENCH_PORTS)
    assert len(set(said.split())) > 100
    gates = simulate(pair / "sim_gates", pair / "netlist.v", views / "cells.v", ports=BENCH_PORTS)
    assert gates == said
