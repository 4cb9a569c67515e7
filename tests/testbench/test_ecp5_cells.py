"""`flow/testbench/ecp5_cells.v`: netlists of Yosys behave like the RTL they come from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.harness import require_tool, seed

HERE = Path(__file__).parent
CELLS = Path(__file__).parents[2] / "flow" / "testbench" / "ecp5_cells.v"
CYCLES = 500

BENCH = """
module bench;
  reg clk = 0, rst = 1;
  reg [63:0] r = 0;
  wire [349:0] expected, found;
  {top} rtl (clk, rst, r, expected);
  {top}_netlist netlist (clk, rst, r, found);
  integer cycle;
  initial begin
    for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin
      #5 r = {{$urandom, $urandom}}; rst = cycle < 2 || r[5:0] == 0;
      #4 if (found !== expected) begin
        $display("MISMATCH in cycle %0d: bits %h", cycle, found ^ expected);
        $finish;
      end
      #1 clk = 1;
      #5 clk = 0;
    end
    $display("SAME for %0d cycles, last %h", cycle, expected);
    $finish;
  end
endmodule
"""

SCRIPT = """
from pyosys import libyosys as ys
design = ys.Design()
for command in {commands!r}:
    ys.run_pass(command, design)
"""


def synthesize(folder: Path, top: str) -> str:
    """ECP5 netlist of a module of ``ecp5_designs.v`` as Verilog, renamed ``<top>_netlist``."""
    commands = [
        f"read_verilog -defer -sv {HERE / 'ecp5_designs.v'}",
        f"synth_ecp5 -top {top}",
        f"rename {top} {top}_netlist",
        f"write_verilog -noattr {top}_netlist.v",
    ]
    (folder / "synth.py").write_text(SCRIPT.format(commands=commands))
    done = subprocess.run(
        [sys.executable, "synth.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return (folder / f"{top}_netlist.v").read_text()


def write_images(folder: Path) -> None:
    rng = np.random.default_rng(seed())
    sizes = {"m36": 9, "m18": 10, "m9": 11, "m4": 12, "m2": 13, "m1": 14, "d36": 5, "d18": 6}
    for name, abits in sizes.items():
        words = rng.integers(0, 1 << int(name[1:]), 1 << abits)
        (folder / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in words))


def simulate(folder: Path, top: str) -> str:
    (folder / "bench.v").write_text(BENCH.format(top=top, cycles=CYCLES))
    sources = [HERE / "ecp5_designs.v", f"{top}_netlist.v", CELLS, "bench.v"]
    subprocess.run(["iverilog", "-g2012", "-o", "sim", "-s", "bench", *sources],
                   cwd=folder, check=True)  # fmt: skip
    return subprocess.run(["vvp", "-n", "sim"], cwd=folder, capture_output=True, text=True,
                          check=False).stdout  # fmt: skip


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("top", "cells"),
    [
        ("memories", {"DP16KD", "TRELLIS_DPR16X4"}),
        ("multipliers", {"MULT18X18D", "CCU2C"}),
        ("logic_cells", {"LUT4", "CCU2C", "TRELLIS_FF", "PFUMX", "L6MUX21"}),
    ],
)
def test_netlist_equals_rtl(tmp_path, top: str, cells: set[str]) -> None:
    require_tool("iverilog", "install the Debian package iverilog")
    write_images(tmp_path)
    netlist = synthesize(tmp_path, top)
    used = set(re.findall(r"^  (\w+) (?:#\(|\S+ +\()$", netlist, re.MULTILINE))
    assert cells <= used, f"the design no longer exercises {cells - used}"
    assert used <= modelled(), f"no model for {used - modelled()}"

    output = simulate(tmp_path, top)
    assert f"SAME for {CYCLES} cycles" in output, output


def modelled() -> set[str]:
    return set(re.findall(r"^module (\w+)", CELLS.read_text(), re.MULTILINE))


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ('DP16KD #(.REGMODE_A("OUTREG")) u ();', "DP16KD: this configuration"),
        ('MULT18X18D #(.REG_OUTPUT_CLK("CLK0")) u ();', "MULT18X18D: a registered"),
        ('TRELLIS_FF #(.LSRMODE("PRLD")) u ();', "TRELLIS_FF: LSRMODE PRLD"),
    ],
)
def test_configuration_without_a_model_ends_the_simulation(tmp_path, instance, message) -> None:
    require_tool("iverilog", "install the Debian package iverilog")
    (tmp_path / "bench.v").write_text(f"module bench; {instance} endmodule\n")
    subprocess.run(["iverilog", "-g2012", "-o", "sim", "-s", "bench", CELLS, "bench.v"],
                   cwd=tmp_path, check=True)  # fmt: skip
    done = subprocess.run(["vvp", "-n", "sim"], cwd=tmp_path, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode != 0
    assert message in done.stdout
