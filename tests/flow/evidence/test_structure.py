"""A routed design is the synthesized one, and a change of any part of it is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow import config, ecp5
from flow.evidence import design, packing, route_fault, wire
from flow.evidence.design import Cell, Design, EvidenceError, Module
from flow.evidence.plant import with_cells
from flow.evidence.trellis import Config, with_source, with_table
from flow.tools import base, ecppack, nextpnr_ecp5, yosys
from tests.harness import seed

# One of each that is packed in a way of its own: carry chains, multiplexers of LUTs, a memory of
# LUTs, a block RAM, registers with enable and reset.
CHIP = """\
module chip(input clk, input rst, input [7:0] i, input [1:0] what, output reg [7:0] o);
  reg [7:0] word;
  reg [7:0] rom [0:511];
  reg [7:0] ram [0:15];
  reg [9:0] total;
  reg carry, odd;
  localparam [63:0] ODD = 64'h9e3779b97f4a7c15;
  initial $readmemh("rom/table.hex", rom);
  wire [8:0] sum = word + i;
  always @(posedge clk) begin
    word <= rom[{i[0], total[7:0]}];
    if (what[0]) ram[total[3:0]] <= i;
    total <= rst ? 10'd0 : total + word;
    carry <= sum[8];
    odd <= ODD[word[5:0]];
    if (what[1]) o <= carry ? (word[7:2] * 6'd37) ^ ram[i[3:0]] : {odd ^ sum[7], sum[6:0]};
  end
endmodule
"""
TOP = """\
module top(input clk_25mhz, input btn_fire1, input ftdi_txd, output [7:0] led);
  reg [7:0] beat;
  reg [1:0] ways;
  always @(posedge clk_25mhz) begin
    beat <= {beat[6:0], ftdi_txd};
    ways <= {ways[0], btn_fire1};
  end
  chip chip(.clk(clk_25mhz), .rst(btn_fire1), .i(beat), .what(ways), .o(led));
endmodule
"""

Built = tuple[Design, Module, Config, Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("structure")
    rng = np.random.default_rng(seed())
    (folder / "rom").mkdir()
    words = rng.integers(0, 256, 512).tolist()
    (folder / "rom/table.hex").write_text("".join(f"{word:02x}\n" for word in words))
    (folder / "chip.v").write_text(CHIP)
    (folder / "top.v").write_text(TOP)
    chip = folder / "chip"
    base.run(yosys.synthesize_chip(folder / "chip.v", folder / "rom"), chip, folder / "chip.log")
    job = yosys.link_board(folder / "top.v", chip / "netlist.json", chip / "stub.v")
    base.run(job, folder / "board", folder / "board.log")
    target = config.load_target(config.target_file("ulx3s_25f"))
    job = nextpnr_ecp5.place(
        folder / "board/top.json", target.pins, device=target.device, package=target.package,
        speed=target.speed, clock_mhz=25, seed=1, placer="heap",
    )  # fmt: skip
    base.run(job, folder / "placed", folder / "placed.log")
    return (
        design.read(chip / "netlist.json"), design.read(folder / "placed/routed.json")["top"],
        Config((folder / "placed/top.config").read_text()), folder,
    )  # fmt: skip


def unlike(built: Built, cells: dict[str, Cell]) -> list[str]:
    netlist, routed, *_ = built
    return packing.compare(netlist, with_cells(routed, {**routed.cells, **cells}))[1]


def of_mode(built: Built, mode: str, name: str = "") -> tuple[str, Cell]:
    return next(
        (key, cell) for key, cell in sorted(built[1].cells.items())
        if cell.type == "TRELLIS_COMB" and cell.parameters.get("MODE", "").strip() == mode
        and key.startswith("chip.") and name in key
    )  # fmt: skip


def test_every_cell_and_wire_is_there(built: Built) -> None:
    netlist, routed, placed, _ = built
    numbers, findings = packing.compare(netlist, routed)
    assert findings == []
    kinds = {cell.type for cell in design.inlined(netlist, netlist["chip"]).cells.values()}
    assert kinds >= {"LUT4", "CCU2C", "PFUMX", "L6MUX21", "TRELLIS_FF", "TRELLIS_DPR16X4", "DP16KD"}
    assert numbers["cells left out"] < numbers["cells"] / 10
    numbers, findings = wire.compare(routed, placed)
    assert findings == []
    assert numbers["switches"] >= len(placed.arcs) - 10
    assert numbers["truth tables"] >= 40


def test_the_bitstream_has_the_truth_tables(built: Built) -> None:
    _, routed, placed, folder = built
    (folder / "top.config").write_text(placed.text)
    job = ecppack.pack(folder / "top.config", idcode=ecp5.IDCODE["LFE5U-25F"])
    base.run(job, folder / "packed", folder / "packed.log")
    job = ecppack.unpack(folder / "packed/chip.bit")
    base.run(job, folder / "unpacked", folder / "unpacked.log")
    read = Config((folder / "unpacked/unpacked.config").read_text())
    compared, findings = wire.truth_tables(routed, read, blank=wire.BLANK)
    assert compared >= 40
    assert findings == []
    name, cell = of_mode(built, "CCU2")
    place = cell.attributes["NEXTPNR_BEL"]
    flipped = with_table(read.text, place, (read.truth_table(place) or wire.BLANK) ^ 1 << 13)
    (finding,) = wire.truth_tables(routed, Config(flipped), blank=wire.BLANK)[1]
    assert finding == f"{name} at {place}: not the truth table of the routed netlist"


@pytest.mark.parametrize("mode", ["", "CCU2"])
def test_a_flipped_table_is_named(built: Built, mode: str) -> None:
    name, cell = of_mode(built, mode)
    for index in route_fault.live(cell):
        table = cell.number("INITVAL") ^ 1 << index
        changed = replace(cell, parameters={**cell.parameters, "INITVAL": f"{table:016b}"})
        assert any("another function" in line for line in unlike(built, {name: changed}))


def test_where_a_carry_is_made_counts(built: Built) -> None:
    """Even if the netlist ties the inputs that tell the carry's entries from the sum's."""
    name, cell = of_mode(built, "CCU2", "total")
    table = cell.number("INITVAL") ^ 2
    changed = replace(cell, parameters={**cell.parameters, "INITVAL": f"{table:016b}"})
    assert any("another function" in line for line in unlike(built, {name: changed}))


def test_exchanged_nets_are_named(built: Built) -> None:
    """At every kind of pin: a LUT's, a register's, a carry's, a memory's."""
    cells = built[1].cells
    kinds = {"TRELLIS_FF": ("CLK", "CE", "LSR", "DI", "M"), "DP16KD": ("ADA5", "DOA1"),
             "TRELLIS_COMB": ("A", "FCI", "F1", "M", "WD", "WRE"), "TRELLIS_RAMW": ("A0", "C1"),
             }  # fmt: skip
    seen = 0
    for kind, pins in kinds.items():
        for pin in pins:
            names = [name for name, cell in sorted(cells.items()) if name.startswith("chip.")
                     and cell.type == kind and cell.bit(pin) != "x"]  # fmt: skip
            for name in names[:1]:
                other = cells["chip.o_TRELLIS_FF_Q"].bit("Q")
                moved = replace(cells[name], pins={**cells[name].pins, pin: (other,)})
                assert unlike(built, {name: moved}), (name, pin)
                seen += 1
    assert seen >= 10


def test_a_register_of_another_mode_is_named(built: Built) -> None:
    name = "chip.o_TRELLIS_FF_Q"
    cell = built[1].cells[name]
    changed = replace(cell, parameters={**cell.parameters, "REGSET": "SET"})
    assert unlike(built, {name: changed}) == [f"{name}: REGSET is not RESET, as in the netlist"]


def test_a_cell_that_is_gone_is_named(built: Built) -> None:
    netlist, routed, *_ = built
    name, _ = of_mode(built, "", "o_TRELLIS_FF_Q")
    left = {key: cell for key, cell in routed.cells.items() if key != name}
    assert packing.compare(netlist, with_cells(routed, left))[1]


def test_a_wrong_switch_is_named(built: Built) -> None:
    _, routed, placed, _ = built
    one, other = sorted(arc for arc in placed.arcs if arc[2].startswith("S3_V06"))[:2]
    findings = wire.compare(routed, Config(with_source(placed.text, one, "V99X0000")))[1]
    assert findings == [
        f"X{one[0]}/Y{one[1]}: {one[2]} is driven by V99X0000, which is in no net",
        f"X{one[0]}/Y{one[1]}: {one[2]} is not driven by {one[3]}",
    ]
    with pytest.raises(EvidenceError, match="no switch"):
        with_source(placed.text, (*one[:3], "V99X0000"), other[3])


def test_a_lut_without_a_wire_is_named(built: Built) -> None:
    _, routed, placed, _ = built
    name, cell = of_mode(built, "")
    pin = next(letter for letter in "ABCD" if cell.bit(letter) != "x")
    routes = {bit: text for bit, text in routed.routes.items() if bit != cell.bit(pin)}
    findings = wire.compare(replace(routed, routes=routes), placed)[1]
    assert any(line.startswith(f"{name} at ") and "no wire" in line for line in findings) or (
        len(findings) >= wire.MOST_FINDINGS
    )
