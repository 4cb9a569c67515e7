"""Designs for LibreLane: their texts, LibreLane's own loader, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flow.report import page
from flow.silicon import harden, librelane, macro
from flow.silicon.macro import Macro
from flow.tools import base, environment
from flow.tools import librelane as tool
from rtl_gen.errors import FlowError, TargetError, ToolError
from tests.silicon.archive import unpack

TARGETS = Path(__file__).parents[2] / "configs/targets"
CHIP = """module chip(i__valid, rst, clk, i__payload, o__payload);
  input [7:0] i__payload;
  wire [7:0] i__payload;
  input clk;
  input i__valid;
  input rst;
  output [15:0] o__payload;
  reg [15:0] o__payload;
  always @(posedge clk) o__payload <= rst ? 16'd0 : {8'd0, i__payload} & {16{i__valid}};
endmodule
"""
# Its memory is worth a macro of IHP's: 75,000 um2 of flip-flops against 57,500.
REMEMBERS = """module chip(i__valid, rst, clk, i__payload, o__payload);
  input [7:0] i__payload;
  input clk;
  input i__valid;
  input rst;
  output [15:0] o__payload;
  reg [6:0] at;
  always @(posedge clk) at <= rst ? 7'd0 : at + 7'd1;
  ram #(
    .ABITS(32'd7),
    .DEPTH(32'd96),
    .WIDTH(32'd16)
  ) array (
    .clk(clk), .write(i__valid), .write_addr(at), .write_data({i__payload, i__payload}),
    .en(1'b1), .addr(at + 7'd1), .data(o__payload)
  );
endmodule
"""
LEF = """MACRO rom
  CLASS BLOCK ;
  SIZE 10.0 BY 20.0 ;
END rom
"""


def target(name: str = "sky130a") -> librelane.LibrelaneTarget:
    return librelane.load(TARGETS / f"{name}.yaml")


def rom(tmp_path: Path, **values: object) -> Macro:
    for kind, text in (("gds", "g"), ("lef", LEF), ("lib", "l")):
        (tmp_path / f"rom.{kind}").write_text(text)
    gds, lef, lib = (tmp_path / f"rom.{kind}" for kind in ("gds", "lef", "lib"))
    return replace(Macro("rom", "constant", 1000, gds, lef, lib, {"a.b": (5.0, 6.0)}), **values)


def test_every_pin_has_a_side() -> None:
    names = librelane.ports(CHIP)
    sides = {
        block.splitlines()[0]: block.splitlines()[1:]
        for block in librelane.pin_order(names).split("\n\n")
    }
    assert {"#N", "#W", "#E"} == sides.keys()
    bits = ["clk", "rst", "i__valid", "i__payload[3]", "o__payload[15]"]
    wanted = ["#N", "#N", "#W", "#W", "#E"]
    for bit, side in zip(bits, wanted, strict=True):
        assert [
            key for key, rules in sides.items() if any(re.fullmatch(r, bit) for r in rules)
        ] == [side]


def test_constraints_leave_a_part_of_the_period_outside() -> None:
    text = librelane.constraints(target(), librelane.ports(CHIP))
    assert "-period 40.0000" in text
    delay = next(line for line in text.splitlines() if line.startswith("set_input_delay"))
    assert "10.0000" in delay
    assert "i__valid" in delay
    assert "clk clk[*]" not in delay


def test_verilog_without_the_chip_is_refused() -> None:
    with pytest.raises(FlowError, match="no module 'chip'"):
        librelane.ports("module other(clk);\n  input clk;\nendmodule\n")


def test_a_macro_denser_than_its_transistors_is_refused(tmp_path: Path) -> None:
    item = rom(tmp_path)
    assert macro.check(item, LEF, "sky130A", "t.yaml") == pytest.approx(0.2)
    with pytest.raises(TargetError, match=r"t\.yaml: macros: rom stores 10000 bits in 200\.0 um2"):
        macro.check(replace(item, bits=10_000), LEF, "sky130A", "t.yaml")
    with pytest.raises(TargetError, match=r"at least 0\.4704 um2"):
        macro.check(replace(item, kind="state"), LEF, "sky130A", "t.yaml")
    with pytest.raises(TargetError, match="no `MACRO ram`"):
        macro.check(replace(item, name="ram"), LEF, "sky130A", "t.yaml")


def test_macros_lie_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "chip.v").write_text(CHIP)
    chosen = replace(target(), macros=(rom(tmp_path),))
    place, _ = harden.emit(chosen, "t.yaml", tmp_path / "chip.v", tmp_path / "design", None)
    entry = json.loads((place / "config.json").read_text())["MACROS"]["rom"]
    assert (place / entry["lef"][0].removeprefix("dir::")).read_text() == LEF
    assert entry["instances"]["a.b"]["location"] == [5.0, 6.0]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PDK_ROOT", str(tmp_path))
    monkeypatch.setattr(harden, "CIEL", tmp_path)
    assert harden.pdk_root("gf180mcuD") is None
    said = harden.missing("gf180mcuD", None, ("openroad", "magic"))
    assert "ciel enable --pdk-family gf180mcu" in said[0]
    assert said[1].startswith("openroad, magic: ")
    assert "--dockerized" in said[1]


def test_the_page_says_how_far_it_went_and_what_is_missing() -> None:
    content = {
        "librelane": "3.0.17", "target": "ihp_sg13g2", "pdk": "ihp-sg13g2", "clock_mhz": 25.0,
        "loaded_with_pdk": True, "variables": 300, "reached": "Yosys.Synthesis",
        "memories": [], "missing": ["openroad: run it with nix <or> a container"],
        "metrics": {"design__instance__count": 33, "synthesis__check_error__count": 0},
    }  # fmt: skip
    text = page.hardened_page("tiny", content)
    assert 'badge bad">reached Yosys.Synthesis' in text
    assert "nix &lt;or&gt; a container" in text
    assert "<b>33</b> cells" in text
    assert "<b>pass</b>" in text
    done = {
        **content, "missing": [], "reached": "the end",
        "metrics": {"design__core__area": 5200.0, "klayout__drc_error__count": 2},
    }  # fmt: skip
    text = page.hardened_page("tiny", done)
    assert 'badge good">reached the end' in text
    assert "<b>5,200</b>" in text
    assert "<b>FAIL</b>" in text
    nothing = {**content, "loaded_with_pdk": False, "reached": None, "metrics": {}}
    text = page.hardened_page("tiny", nothing)
    assert "reached the configuration" in text
    assert "Nothing was run" in text


def test_metrics_are_the_numbers() -> None:
    text = '{"nl": "a.v", "metrics": {"design__instance__count": 5, "flow": "Classic", "ok": true}}'
    assert tool.metrics(text) == {"design__instance__count": 5}
    with pytest.raises(ToolError, match="no number"):
        tool.metrics('{"metrics": {}}')


@pytest.mark.parametrize("name", ["sky130a", "gf180mcu", "ihp_sg13g2"])
def test_librelane_loads_the_configuration(name: str, tmp_path: Path) -> None:
    if not environment.made("librelane") and not os.environ.get("CI"):
        pytest.skip("needs the environment librelane: `snakemake -c2 "
                    "results/cartpole_mlp/sky130a/librelane.json` makes it")  # fmt: skip
    (tmp_path / "chip.v").write_text(CHIP)
    chosen = replace(target(name), macros=(rom(tmp_path, bits=500),))
    place, _ = harden.emit(chosen, name, tmp_path / "chip.v", tmp_path / "design", None)
    cells = librelane.LIBRARIES[chosen.pdk]
    base.run(tool.check(place, chosen.pdk, cells, None), tmp_path / "check", tmp_path / "log")
    loaded = json.loads((tmp_path / "check/loaded.json").read_text())
    assert loaded["errors"] == []
    assert loaded["values"]["DESIGN_NAME"] == "chip"
    assert float(loaded["values"]["CLOCK_PERIOD"]) == 40
    content = json.loads((place / "config.json").read_text())
    wrong = json.dumps({**content, "FP_CORE_UTIL": "dense", "CORE_UTIL": 3})
    (place / "config.json").write_text(wrong)
    base.run(tool.check(place, chosen.pdk, cells, None), tmp_path / "check", tmp_path / "log")
    errors = json.loads((tmp_path / "check/loaded.json").read_text())["errors"]
    assert any("CORE_UTIL" in error for error in errors)
    assert any("FP_CORE_UTIL" in error for error in errors)


def test_the_flow_runs_to_synthesis_without_openroad(tmp_path: Path) -> None:
    archive = Path(__file__).parents[3] / "shared/pdk/ihp-sg13g2.tar.xz"
    if not archive.is_file():
        pytest.skip("needs ../shared/pdk/ihp-sg13g2.tar.xz")
    if shutil.which("openroad"):
        pytest.skip("needs OpenROAD to be absent")
    pytest.importorskip("tkinter", reason="LibreLane needs tkinter: apt-get install python3-tk")
    unpack(archive, tmp_path / "pdk")
    # The archive lacks the layout of the pads, which only the last steps read.
    pads = tmp_path / "pdk/ihp-sg13g2/libs.ref/sg13g2_io/gds/sg13g2_io.gds"
    pads.parent.mkdir(parents=True, exist_ok=True)
    pads.touch()
    (tmp_path / "chip.v").write_text(REMEMBERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PDK_ROOT", str(tmp_path / "pdk"))
        harden.harden(target("ihp_sg13g2"), "t.yaml", tmp_path / "chip.v", tmp_path / "out",
                      tmp_path / "out/librelane.json", tmp_path / "log")  # fmt: skip
    found = json.loads((tmp_path / "out/librelane.json").read_text())
    assert found["loaded_with_pdk"]
    assert found["reached"] == "Yosys.Synthesis"
    assert found["metrics"]["design__instance_unmapped__count"] == 0
    assert found["metrics"]["design__instance__count"] > 20
    (memory,) = found["memories"]
    assert (memory["macro"], memory["macros"]) == ("RM_IHPSG13_2P_256x16_c2_bm_bist", 1)
    netlist = next((tmp_path / "out/run").rglob("chip.nl.v")).read_text()
    assert "RM_IHPSG13_2P_256x16_c2_bm_bist \\array.macro_0_0 " in netlist
    assert "openroad" in found["missing"][0]
