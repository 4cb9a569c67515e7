"""`rtl_gen.rom_macro`: the black box behaves as the memory it stands for; its texts agree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rtl_gen import rom_macro
from rtl_gen.fabric import rom
from rtl_gen.rom_macro import MacroShape, MacroTiming, RomMacro
from tests.harness import require_tool, seed

MACRO = RomMacro("rom/weights.hex", 37, 13)
SHAPE = MacroShape(
    bit_width=0.8, bit_height=1.2, column_mux=4, edge=30.0, pin_layer="met3", pin_pitch=0.68,
    pin_size=0.3, layers_below=("li1", "met1", "met2"),
)  # fmt: skip
TIMING = MacroTiming(access=2.5, setup=0.4, hold=0.1, cycle=6.0)

BENCH = """
module bench;
  reg clk = 0, en;
  reg [5:0] addr;
  wire [12:0] data, expected;
  rom #(.WIDTH(13), .DEPTH(37), .ABITS(6), .FILE("rom/weights.hex"))
    dut(.clk(clk), .en(en), .addr(addr), .data(data));
  reference #(.WIDTH(13), .DEPTH(37), .ABITS(6), .FILE("rom/weights.hex"))
    same(.clk(clk), .en(en), .addr(addr), .data(expected));
  integer k, wrong = 0, moved = 0;
  initial begin
    for (k = 0; k < 500; k = k + 1) begin
      en = k < 3 | $random; addr = $unsigned($random) % 37;
      #1 clk = 1; #1 clk = 0;
      if (data !== expected) wrong = wrong + 1;
      if (k > 2 && ^data !== 1'bx) moved = moved + 1;
    end
    $display("%0d wrong, %0d known", wrong, moved);
    $finish;
  end
endmodule
"""


def simulate(folder: Path, text: str) -> str:
    require_tool("iverilog", "install the Debian package iverilog")
    (folder / "bench.v").write_text(text)
    argv = ["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    done = subprocess.run(["vvp", "bench.vvp"], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_the_macro_is_the_memory_cycle_by_cycle(tmp_path: Path) -> None:
    (tmp_path / "rom").mkdir()
    words = np.random.default_rng(seed()).integers(0, 1 << 13, 37).tolist()
    (tmp_path / "rom/weights.hex").write_text(rom.image(words, 13))
    reference = rom.VERILOG.replace("module rom ", "module reference ")
    other = RomMacro("rom/other.hex", 5, 2)
    text = rom_macro.wrapper([other, MACRO]) + rom_macro.behaviour(MACRO)
    assert simulate(tmp_path, text + reference + BENCH) == "0 wrong, 497 known"


def test_an_image_without_a_macro_does_not_elaborate(tmp_path: Path) -> None:
    text = rom_macro.wrapper([RomMacro("rom/other.hex", 37, 13)])
    with pytest.raises(subprocess.CalledProcessError) as failure:
        simulate(tmp_path, text + BENCH.replace("  reference", "  rom"))
    assert b"rom_without_a_macro" in failure.value.stderr


def test_macros_have_the_geometry_of_their_memories() -> None:
    (found,) = rom_macro.macros([rom.Rom("matvec_weight", 512, 256)])
    assert found == RomMacro("rom/matvec_weight.hex", 512, 256)
    assert (found.name, found.address_bits) == ("rom_matvec_weight_512x256", 9)


def test_a_memory_of_one_word_is_refused() -> None:
    with pytest.raises(ValueError, match="1 words"):
        RomMacro("rom/x.hex", 1, 4)


def test_lef_pins_lie_inside_the_outline_and_apart() -> None:
    text = rom_macro.lef(MACRO, SHAPE)
    (size,) = re.findall(r"SIZE ([\d.]+) BY ([\d.]+)", text)
    width, height = map(float, size)
    layer = re.findall(r"LAYER met3 ;\n +RECT ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+)", text)
    boxes = [tuple(map(float, box)) for box in layer]
    assert len(boxes) == len(MACRO.pins) + 2
    for left, low, right, high in boxes:
        assert 0 <= left < right <= width
        assert 0 <= low < high <= height
    for k, (left, low, right, high) in enumerate(boxes):
        for other in boxes[k + 1 :]:
            assert left >= other[2] or other[0] >= right or low >= other[3] or other[1] >= high


def test_lef_lib_and_verilog_have_the_same_pins() -> None:
    names = re.findall(r"^  PIN (\S+)", rom_macro.lef(MACRO, SHAPE), re.MULTILINE)
    text = rom_macro.lib(MACRO, SHAPE, TIMING, corner="rom_tt")
    assert set(re.findall(r"(?:pin|bus)\((\w+)\)", text)) == {n.partition("[")[0] for n in names}
    widths = dict(re.findall(r"type\((\w+)\) \{[^}]*bit_width : (\d+)", text))
    for bus in ("addr", "data"):
        count = sum(name.startswith(f"{bus}[") for name in names)
        kind = {"addr": "address", "data": "data"}[bus]
        assert int(widths[kind]) == count
        assert f"[{count - 1}:0] {bus}" in rom_macro.black_box(MACRO)
    assert text.count("{") == text.count("}")


def test_the_outline_holds_the_array_and_grows_with_it() -> None:
    width, height = SHAPE.outline(MACRO)
    assert width >= MACRO.width * 4 * 0.8 + 60
    assert height >= 10 * 1.2 + 60
    wide = SHAPE.outline(RomMacro("rom/x.hex", 37, 400))
    assert wide[0] > width
    assert wide[1] == height


@pytest.mark.parametrize("change", [{"column_mux": 3}, {"pin_size": 0.5}])
def test_shapes_that_cannot_be_drawn_are_refused(change: dict[str, float]) -> None:
    fields = {name: getattr(SHAPE, name) for name in SHAPE.__slots__}
    with pytest.raises(ValueError, match=r"power of two|overlap"):
        MacroShape(**(fields | change))
