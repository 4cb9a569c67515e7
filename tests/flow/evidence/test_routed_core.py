"""Matrices wired in space, down to the bitstream: every flipped truth table is refused."""

from __future__ import annotations

import numpy as np
import pytest

from flow import config, ecp5
from flow.evidence import adders, design, memories, packing, route_fault, wire
from flow.evidence.adders import Cores
from flow.evidence.plant import Chip
from flow.evidence.trellis import Config
from flow.tools import base, ecppack, nextpnr_ecp5, yosys
from rtl_gen.fabric.etched import core
from rtl_gen.ir.types import IntType
from tests.harness import seed

ROWS, COLUMNS = 4, 5
X = IntType(6)
TOP = """\
module top(input clk_25mhz, input ftdi_txd, output [7:0] led);
  chip chip(.clk(clk_25mhz), .i(ftdi_txd), .o(led));
endmodule
"""


def verilog() -> str:
    """A chip of one bit-serial and one parallel adder graph, and a register around them."""
    weight = np.random.default_rng(seed()).integers(-8, 8, (ROWS, COLUMNS))
    serial, parallel = core(weight, X, "serial", "etched_core0"), core(
        weight[::-1], X, "parallel", "etched_core1"
    )  # fmt: skip
    period, sums = serial.period, ROWS * parallel.acc.width
    bits = max(COLUMNS * X.width, period + COLUMNS) + 3
    return f"""\
module chip(input clk, input i, output reg [7:0] o);
  reg [{bits - 1}:0] s;
  reg [{sums - 1}:0] seen;
  wire [{ROWS - 1}:0] digits;
  wire [{sums - 1}:0] y;
  etched_core0 core0(.clk(clk), .en(s[0]), .en_next(s[1]), .phase(s[{period + 1}:2]),
    .x(s[{period + COLUMNS + 1}:{period + 2}]), .y(digits));
  etched_core1 core1(.clk(clk), .en(s[2]), .x(s[{COLUMNS * X.width + 2}:3]), .y(y));
  always @(posedge clk) begin
    s <= {{s[{bits - 2}:0], i}};
    seen <= s[0] ? y : seen >> 8;
    o <= seen[7:0] ^ digits;
  end
endmodule
{serial.core.verilog}
{parallel.core.verilog}
"""


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Chip:
    folder = tmp_path_factory.mktemp("core")
    (folder / "chip.v").write_text(verilog())
    (folder / "top.v").write_text(TOP)
    source, rom, made = folder / "chip.v", folder / "rom", folder / "chip"
    base.run(yosys.adders(source, rom), folder / "adders", folder / "adders.log")
    base.run(yosys.synthesize_chip(source, rom), made, folder / "chip.log")
    job = yosys.link_board(folder / "top.v", made / "netlist.json", made / "stub.v")
    base.run(job, folder / "board", folder / "board.log")
    target = config.load_target(config.target_file("ulx3s_25f"))
    job = nextpnr_ecp5.place(
        folder / "board/top.json", target.pins, device=target.device, package=target.package,
        speed=target.speed, clock_mhz=25, seed=1, placer="heap",
    )  # fmt: skip
    base.run(job, folder / "placed", folder / "placed.log")
    job = ecppack.pack(folder / "placed/top.config", idcode=ecp5.IDCODE[target.device])
    base.run(job, folder / "packed", folder / "packed.log")
    job = ecppack.unpack(folder / "packed/chip.bit")
    base.run(job, folder / "unpacked", folder / "unpacked.log")
    return Chip(
        graph=None,  # type: ignore[arg-type]  # no memory of this chip is compared with a graph
        manifest={}, verilog="", hierarchical={},
        flat=design.Module("chip", {}, frozenset(), {}),
        netlist=design.read(made / "netlist.json"),
        routed=design.read(folder / "placed/routed.json")["top"],
        placed=Config((folder / "placed/top.config").read_text()),
        unpacked=Config((folder / "unpacked/unpacked.config").read_text()),
        cores=Cores(*(design.read(folder / f"adders/{name}.json") for name in ("words", "gates"))),
    )  # fmt: skip


def provenance(chip: Chip) -> list[str]:
    """What ``provenance.routed`` says of the adder graphs."""
    assert chip.cores is not None
    assert chip.netlist is not None
    assert chip.routed is not None
    return adders.mapped(chip.cores, chip.netlist, memories.routed_tables(chip.routed))[1]


def structure(chip: Chip) -> list[str]:
    """What ``structure.routed`` says."""
    assert chip.netlist is not None
    assert chip.routed is not None
    assert chip.placed is not None
    return packing.compare(chip.netlist, chip.routed)[1] + wire.compare(chip.routed, chip.placed)[1]


def bitstream(chip: Chip) -> list[str]:
    """What ``provenance.bitstream`` says of truth tables."""
    assert chip.routed is not None
    assert chip.unpacked is not None
    return wire.truth_tables(chip.routed, chip.unpacked, blank=wire.BLANK)[1]


@pytest.mark.slow
def test_the_graphs_are_in_the_bitstream(chip: Chip) -> None:
    assert chip.cores is not None
    assert chip.netlist is not None
    assert chip.routed is not None
    compared, findings = adders.mapped(
        chip.cores, chip.netlist, memories.routed_tables(chip.routed)
    )
    assert findings == []
    assert compared > 200
    assert structure(chip) == []
    assert bitstream(chip) == []
    modes = {cell.parameters.get("MODE") for name, cell in chip.routed.cells.items()
             if name.startswith("chip.core1.")}  # fmt: skip
    assert "CCU2" in modes  # the parallel graph is carry chains


@pytest.mark.slow
def test_every_flipped_truth_table_is_refused(chip: Chip) -> None:
    drawn = route_fault.of_chip(chip, np.random.default_rng(seed()))
    refuse = {
        "flipped truth table of a routed adder graph": structure,
        "flipped truth table of an adder graph in the configuration": structure,
        "flipped truth table of an adder graph in the bitstream": bitstream,
        "exchanged inputs": structure,
        "wrong switch": structure,
    }
    for kind, check in refuse.items():
        for _ in range(4):
            mutant = drawn[kind]()
            assert mutant is not None
            assert check(mutant.chip), (kind, mutant.place)


@pytest.mark.slow
def test_a_flipped_table_is_another_function_of_the_graph(chip: Chip) -> None:
    """Not where a LUT's inputs depend on one another so that they never meet the entry."""
    make = route_fault.of_chip(chip, np.random.default_rng(seed()))[
        "flipped truth table of a routed adder graph"
    ]
    mutants = [make() for _ in range(5)]
    found = [provenance(mutant.chip) for mutant in mutants if mutant is not None]
    assert sum(bool(findings) for findings in found) >= 3
    assert any("another function than in the RTL" in line for lines in found for line in lines)
