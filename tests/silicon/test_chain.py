"""From Verilog to a checked layout: the whole chain on a small tile."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from flow import files
from flow.silicon import layout, timing
from flow.silicon.target import AsicTarget
from flow.tools import environment, icarus, klayout, opensta
from rtl_gen.errors import ToolNotFoundError

TARGET = AsicTarget("tile", "", "asic", "c4m_sky130", 25.0, (0.6, 0.56, 0.64, 0.52), ("tt",))
CHIP = """module chip(clk, rst, i__valid, i__payload, o__payload, idle);
  input clk;
  input rst;
  input i__valid;
  input [7:0] i__payload;
  output [15:0] o__payload;
  output idle;
  reg [15:0] o__payload;
  reg [15:0] last;
  reg [1:0] row;
  assign idle = 1'b0;
  always @(posedge clk)
    if (rst) begin o__payload <= 0; last <= 0; row <= 0; end
    else if (i__valid) begin
      row <= row + 1;
      last <= row == 3 ? o__payload : last;
      o__payload <= (row == 0 ? last : o__payload)
        + (row == 0 ? i__payload * 53 : row == 1 ? i__payload * 107
           : row == 2 ? i__payload * 77 : i__payload * 91);
    end
endmodule
"""
BENCH = """module bench;
  reg clk = 0, rst = 1, i__valid = 0;
  reg [7:0] i__payload = 0;
  wire [15:0] o__payload;
  wire idle;
  integer k;
  chip chip(.clk(clk), .rst(rst), .i__valid(i__valid), .i__payload(i__payload),
            .o__payload(o__payload), .idle(idle));
  initial begin
    for (k = 0; k < 400; k = k + 1) begin
      rst = k < 3;
      i__valid = $random(SEED) % 4 != 0;
      i__payload = $random(SEED);
      #1 clk = 1;
      #1 clk = 0;
      if (k >= 3) $display("%h %b", o__payload, idle);
    end
  end
  integer SEED = 7;
endmodule
"""


def need_tools() -> None:
    """Skip where a tool is absent, unless all have to be there."""
    absent = [name for name in ("coriolis", "klayout", "precheck") if not environment.made(name)]
    if absent and not os.environ.get("CI"):
        pytest.skip(f"needs the environments {', '.join(absent)}: a layout makes them, e.g. "
                    "`snakemake -c2 results/cartpole_mlp/sky130/checks.json`")  # fmt: skip
    for program in (klayout.program_version, opensta.version, icarus.version):
        try:
            program()
        except ToolNotFoundError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))


@pytest.fixture(scope="module")
def tile(views: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the laid out tile."""
    need_tools()
    folder = tmp_path_factory.mktemp("tile")
    files.write(folder / "rtl/chip.v", CHIP)
    layout.synthesize(folder / "rtl/chip.v", views, folder, folder / "map.log")
    layout.place(folder / "mapped.json", TARGET, "tile.yaml", views, folder, folder / "place.log")
    layout.compare(folder / "chip.gds", folder / "layout.json", views, folder / "lvs.json",
                   folder / "lvs.log")  # fmt: skip
    return folder


def simulate(
    folder: Path, *sources: Path, ports: tuple[str, str] = ("", ""), bench: str = BENCH
) -> str:
    """What the bench prints, with other `ports` instead of the first ones."""
    folder.mkdir(exist_ok=True)
    (folder / "bench.v").write_text(bench.replace(*ports))
    program = folder / "bench.vvp"
    subprocess.run(["iverilog", "-g2005", "-o", program, folder / "bench.v", *sources], check=True)
    return subprocess.run(["vvp", program], capture_output=True, text=True, check=True,
                          cwd=folder).stdout  # fmt: skip


def test_the_layout_is_routed_clean_and_matches(tile: Path) -> None:
    assert files.read_json(tile / "place.json")["chosen"]["open_segments"] == 0
    rules = files.read_json(tile / "drc.json")
    assert rules["violations"] == 0
    assert rules["rules"] > 200
    antennas = files.read_json(tile / "antenna.json")
    assert (antennas["violations"], antennas["layers"]) == (0, 11)
    compared = files.read_json(tile / "lvs.json")
    assert compared["match"]
    assert compared["instances"][0] > 150


def test_its_gates_do_what_the_verilog_says(tile: Path, views: Path) -> None:
    said = simulate(tile / "sim_rtl", tile / "rtl/chip.v")
    assert len(set(said.split())) > 100
    assert simulate(tile / "sim_gates", tile / "netlist.v", views / "cells.v") == said


def test_a_cut_wire_is_a_mismatch(tile: Path, views: Path) -> None:
    placed = files.read_json(tile / "layout.json")
    gate = next(item for item in placed["instances"] if item["cell"].startswith("nand2"))
    gate["pins"]["i0"], gate["pins"]["i1"] = "rst", gate["pins"]["i0"]
    files.write_json(tile / "wrong/layout.json", placed)
    layout.compare(tile / "chip.gds", tile / "wrong/layout.json", views, tile / "wrong/lvs.json",
                   tile / "wrong/lvs.log")  # fmt: skip
    found = files.read_json(tile / "wrong/lvs.json")
    assert not found["match"]
    assert found["mismatches"] > 0


def test_wires_make_it_slower(tile: Path, views: Path) -> None:
    timing.analyze(TARGET, views, tile, tile / "timing.json", tile / "timing.log")
    found = files.read_json(tile / "timing.json")["corners"]
    assert found["tt_wires"]["setup_ns"] < found["tt_cells"]["setup_ns"] < 40
    assert found["tt_wires"]["path"]
