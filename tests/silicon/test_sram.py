"""Memories in SRAM macros: which, where, and that they read what was written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flow.silicon import sram
from flow.silicon.sram import Bank, Sram
from flow.tools import icarus
from rtl_gen.errors import TargetError, ToolNotFoundError
from tests.silicon.archive import unpack

ARCHIVE = Path(__file__).parents[3] / "shared/pdk/ihp-sg13g2.tar.xz"
SMALL = Sram("RM_IHPSG13_2P_64x32_c2", 64, 32, (702.83, 74.87), False)
WIDE = Sram("RM_IHPSG13_2P_256x16_c2_bm_bist", 256, 16, (419.95, 136.97), True)
RAM = """
module ram #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1)
  (input clk, input write, input [ABITS-1:0] write_addr, input [WIDTH-1:0] write_data,
   input en, input [ABITS-1:0] addr, output reg [WIDTH-1:0] data);
  reg [WIDTH-1:0] mem [0:DEPTH-1];
  always @(posedge clk) begin
    if (write) mem[write_addr] <= write_data;
    if (en) data <= mem[addr];
  end
endmodule
"""


def instance(depth: int, width: int, name: str) -> str:
    """An instance of ``ram`` as the chip's Verilog has them."""
    bits = max(1, (depth - 1).bit_length())
    return (
        f"  ram #(\n    .ABITS(32'd{bits}),\n    .DEPTH(32'd{depth}),\n    .WIDTH(32'd{width})\n"
        f"  ) {name} (\n    .clk(clk),\n    .write(write),\n"
        f"    .write_addr(write_addr[{bits - 1}:0]),\n    .write_data(given[{width - 1}:0]),\n"
        f"    .en(en),\n    .addr(addr[{bits - 1}:0]),\n    .data({name}_data)\n  );\n"
    )


PORTS = "clk, write, en, write_addr, addr, given"
INPUTS = """  input clk;
  input write;
  input en;
  input [9:0] write_addr;
  input [9:0] addr;
  input [63:0] given;
"""
CHIP = f"""module chip({PORTS}, out);
{INPUTS}  output [15:0] out;
  \\chip.memory  memory (
    .clk(clk), .write(write), .en(en), .write_addr(write_addr), .addr(addr), .given(given),
    .out(out)
  );
endmodule

module \\chip.memory ({PORTS}, out);
{INPUTS}  output [15:0] out;
  wire [15:0] array_data;
  wire [3:0] few_data;
  assign out = array_data ^ few_data;
{instance(96, 16, "array")}{instance(8, 4, "few")}endmodule
{RAM}"""


def pdk(root: Path) -> Path:
    """A PDK with two macros and a flip-flop of 49 square micrometres."""
    folder = root / "ihp-sg13g2/libs.ref/sg13g2_sram"
    for kind in ("lef", "lib"):
        (folder / kind).mkdir(parents=True)
    for item in (SMALL, WIDE):
        size = "SIZE {} BY {} ;".format(*item.size)
        (folder / f"lef/{item.name}.lef").write_text(
            f"MACRO {item.name}\n  {size}\nEND {item.name}\n"
        )
        for corner in sram.CORNERS:
            (folder / f"lib/{item.name}_{corner}_1p20V.lib").touch()
    (folder / "lef/RM_IHPSG13_1P_64x64_c2_bm_bist.lef").write_text("MACRO one_port\n")
    cells = root / "ihp-sg13g2/libs.ref/sg13g2_stdcell/lib"
    cells.mkdir(parents=True)
    (cells / "sg13g2_stdcell_typ_1p20V_25C.lib").write_text(
        "  cell (nand) {\n    area : 7.0;\n  }\n"
        '  cell (big) {\n    area : 54.0;\n    ff (IQ,IQN) {\n  } }\n'
        '  cell (dff) {\n    area : 49.0;\n    ff (IQ,IQN) {\n  } }\n'
    )  # fmt: skip
    return root


def test_a_memory_goes_where_it_is_smaller(tmp_path: Path) -> None:
    root = pdk(tmp_path)
    found = sram.macros(root, "ihp-sg13g2")
    assert found == (WIDE, SMALL)
    assert sram.flip_flop_um2(root, "ihp-sg13g2") == 49
    assert sram.macros(root, "sky130A") == ()
    chosen = sram.banks(CHIP, found, 49.0)
    # 96 words in two small macros would take 105,242 um2, 32 bits of flip-flops take 1,568.
    assert chosen == {(96, 16): Bank(96, 16, WIDE, 1, 1)}
    assert chosen[96, 16].area < 96 * 16 * 49
    text = sram.replaced(CHIP, chosen)
    assert "  ram_96x16 array (" in text
    assert ".DEPTH(32'd8)" in text
    assert ".DEPTH(32'd96)" not in text
    places = sram.instances(text, "chip", chosen)
    assert places == {"memory.array.macro_0_0": WIDE}
    values = sram.config(places, "ihp-sg13g2", root, 0.4)
    entry = values["MACROS"][WIDE.name]
    assert entry["lib"].keys() == {"*_typ_*", "*_fast_*", "*_slow_*"}
    assert entry["instances"]["memory.array.macro_0_0"]["location"] == [40.0, 40.0]
    assert len(values["PDN_MACRO_CONNECTIONS"]) == 2
    # Alone, the macro is wider than a square core that it fills to 40 %.
    assert values["FP_CORE_UTIL"] == pytest.approx(
        100 * WIDE.size[0] * WIDE.size[1] / 459.95**2, 0.01
    )


def test_macros_do_not_overlap_and_fit_the_core() -> None:
    many = {f"m{index}": (WIDE, SMALL)[index % 2] for index in range(12)}
    places, fits = sram.shelves(many, 0.9)
    boxes = [
        (x, y, x + many[name].size[0], y + many[name].size[1]) for name, (x, y) in places.items()
    ]
    for index, a in enumerate(boxes):
        for b in boxes[:index]:
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    side = (sum(item.size[0] * item.size[1] for item in many.values()) / fits) ** 0.5
    assert max(max(box) for box in boxes) <= side + 0.01
    assert fits < 0.9


def test_a_pdk_without_flip_flops_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no flip-flop with an area"):
        sram.flip_flop_um2(tmp_path, "ihp-sg13g2")


BENCH = """
module bench;
  reg clk = 0, write = 0, en = 0;
  reg [9:0] write_addr = 0, addr = 0;
  reg [63:0] given = 0;
  wire [63:0] a, b;
  integer k, SEED = 5, wrong = 0, reads = 0;
  reg [63:0] last = 0;
  ram #(.WIDTH(W), .DEPTH(D), .ABITS(B)) wanted(.clk(clk), .write(write),
    .write_addr(write_addr[B-1:0]), .write_data(given[W-1:0]), .en(en), .addr(addr[B-1:0]),
    .data(a[W-1:0]));
  ram_DxW found(.clk(clk), .write(write), .write_addr(write_addr[B-1:0]),
    .write_data(given[W-1:0]), .en(en), .addr(addr[B-1:0]), .data(b[W-1:0]));
  initial begin
    for (k = 0; k < 4 * D; k = k + 1) begin
      write = k < D || $random(SEED) % 2 == 0;
      write_addr = k < D ? k : $unsigned($random(SEED)) % D;
      given = {$random(SEED), $random(SEED)};
      en = k >= D && $random(SEED) % 4 != 0;
      addr = $unsigned($random(SEED)) % D;
      if (write && addr == write_addr) en = 0;
      #1 clk = 1;
      #1 clk = 0;
      if (k > D && ^a[W-1:0] !== 1'bx) begin
        reads = reads + (a[W-1:0] != last[W-1:0]);
        last = a;
        wrong = wrong + (a[W-1:0] !== b[W-1:0]);
      end
    end
    $display("%0d wrong, %0d reads", wrong, reads);
  end
endmodule
"""


@pytest.mark.parametrize(("depth", "width", "item", "rows", "columns"), [
    (96, 16, WIDE, 1, 1), (300, 36, WIDE, 2, 3), (134, 40, SMALL, 3, 2), (20, 9, SMALL, 1, 1),
])  # fmt: skip
def test_a_bank_is_the_memory(
    depth: int, width: int, item: Sram, rows: int, columns: int, tmp_path: Path
) -> None:
    if not ARCHIVE.is_file():
        pytest.skip("needs ../shared/pdk/ihp-sg13g2.tar.xz, which has models of the macros")
    try:
        icarus.version()
    except ToolNotFoundError as error:
        pytest.skip(str(error))
    models = f"ihp-sg13g2/{sram.FOLDERS['ihp-sg13g2']}/verilog"
    core = "RM_IHPSG13_2P_core_behavioral" + ("_bm_bist" if item.masked else "") + "_ideal"
    names = [f"{models}/{name}.v" for name in (item.name, core)]
    unpack(ARCHIVE, tmp_path, names)
    bits = (depth - 1).bit_length()
    bench = BENCH.replace("ram_DxW", f"ram_{depth}x{width}")
    source = f"`define W {width}\n`define D {depth}\n`define B {bits}\n"
    for letter in "WDB":
        bench = bench.replace(f"({letter})", f"(`{letter})").replace(f"{letter}-1", f"`{letter}-1")
    bench = bench.replace("4 * D", "4 * `D").replace("k < D", "k < `D").replace("k >= D", "k >= `D")
    bench = bench.replace("k > D", "k > `D").replace("% D;", "% `D;")
    wrapper = sram._wrapper(Bank(depth, width, item, rows, columns))
    (tmp_path / "bench.v").write_text(source + bench + RAM + wrapper)
    program = tmp_path / "bench.vvp"
    subprocess.run(["iverilog", "-g2005-sv", "-DFUNCTIONAL", "-o", program, tmp_path / "bench.v",
                    *(tmp_path / name for name in names)], check=True)  # fmt: skip
    said = subprocess.run(["vvp", program], capture_output=True, text=True, check=True).stdout
    wrong, reads = (int(part.split()[0]) for part in said.split(","))
    assert wrong == 0
    assert reads > depth
