"""Tool modules: what they read from stored logs, and a small design through the real tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow import config, ecp5, fpga
from flow.tools import ecppack, icarus, nextpnr_ecp5, verilator, yosys
from rtl_gen.errors import FlowError, TargetError

HERE = Path(__file__).parent
STORED = HERE / "stored"
DESIGNS = HERE / "designs"
CONFIGS = HERE.parents[1] / "configs"


def test_yosys_counts_cells_by_module() -> None:
    modules = yosys.metrics((STORED / "yosys_stat.json").read_text())
    assert modules["mac"] == {"CCU2C": 16, "MULT18X18D": 1, "TRELLIS_FF": 66}
    assert modules["chip"]["rom"] == 1


def test_yosys_without_modules_is_refused() -> None:
    with pytest.raises(ValueError, match="no modules"):
        yosys.metrics("{}")


def test_units_hold_what_is_below_them() -> None:
    modules = {
        "chip": {"LUT4": 3, "a": 2, "b": 1, "chip.U$13": 2},
        "a": {"LUT4": 10, "b": 1},
        "b": {"TRELLIS_FF": 5, "CCU2C": 2},
        "chip.U$13": {"LUT4": 4},
    }
    units = ecp5.by_unit(modules, "chip")
    assert units[""] == ecp5.Resources(lut=11)
    assert set(units) == {"", "a", "b"}
    assert ecp5.unit_name("chip.token$346") == "token"
    assert units["a"] == ecp5.Resources(lut=28, ff=10)
    assert units["b"] == ecp5.Resources(lut=4, ff=5)


def test_units_of_the_stored_log() -> None:
    units = ecp5.by_unit(yosys.metrics((STORED / "yosys_stat.json").read_text()), "chip")
    assert units["rom"] == ecp5.Resources(ebr=1)
    assert units["mac"] == ecp5.Resources(lut=32, ff=66, dsp=1)


def test_nextpnr_reads_frequency_utilization_and_path() -> None:
    timing = nextpnr_ecp5.metrics((STORED / "nextpnr_report.json").read_text(), clock_mhz=50)
    assert timing.clock == "$glbnet$chip.clk"
    assert timing.fmax_mhz == pytest.approx(118.624, abs=1e-3)
    assert timing.slack_ns == pytest.approx(20 - 1e3 / 118.624, abs=1e-3)
    assert timing.used["DP16KD"] == 1
    assert timing.available["TRELLIS_COMB"] == 83640
    assert timing.path[0][0] == "clk-to-q"
    assert sum(delay for _, _, delay in timing.path) == pytest.approx(8.43, abs=0.01)


def test_nextpnr_takes_the_clock_that_was_asked_for() -> None:
    report = {
        "fmax": {
            "oscillator": {"achieved": 400.0, "constraint": 25.0},
            "pll": {"achieved": 52.0, "constraint": 50.0},
        },
        "utilization": {},
        "critical_paths": [],
    }
    assert nextpnr_ecp5.metrics(json.dumps(report), clock_mhz=50).clock == "pll"


def test_nextpnr_without_a_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="no clock"):
        nextpnr_ecp5.metrics('{"fmax": {}}', clock_mhz=50)


def test_nextpnr_progress_says_what_happens() -> None:
    shown = [
        nextpnr_ecp5.progress(line) for line in (STORED / "nextpnr.log").read_text().splitlines()
    ]
    said = [line for line in shown if line]
    assert said[0] == "packing ios.."
    assert said[1] == "placing, iteration 10"
    assert said[-1] == "83.93 MHz on $glbnet$bridge.clk"


def test_a_bitstream_has_a_preamble() -> None:
    assert ecppack.metrics(b"\xff\x00\xff\xff\xbd\xb3rest") == 10
    with pytest.raises(ValueError, match="preamble"):
        ecppack.metrics(b"text")


@pytest.mark.parametrize(
    ("tool", "log"),
    [
        (icarus, "chip.v:3: error: Unknown module\nchip.v:9: warning: width\n"),
        (verilator, "%Error: chip.v:3:1: Unknown\n%Warning-WIDTH: chip.v:9:1: width\n"),
    ],
)
def test_lint_messages_are_counted(tool, log: str) -> None:
    assert tool.metrics(log) == {"design__lint_error__count": 1, "design__lint_warning__count": 1}


def test_a_design_that_does_not_fit_is_refused_with_numbers() -> None:
    units = {
        "": ecp5.Resources(lut=100),
        "chip.matvec": ecp5.Resources(lut=30_000, ebr=60),
        "chip.attention": ecp5.Resources(lut=4000, ebr=6),
    }
    total = sum(units.values(), ecp5.Resources())
    with pytest.raises(TargetError) as caught:
        ecp5.check_fit(total, units, "LFE5U-25F", "configs/targets/ulx3s_25f.yaml")
    message = str(caught.value)
    assert "configs/targets/ulx3s_25f.yaml: the design does not fit LFE5U-25F" in message
    assert "LUT4: 34100 needed, 24288 there, 9812 too many (40 % over)" in message
    assert "the most in matvec 30000, attention 4000, control 100" in message
    assert "block RAMs: 66 needed, 56 there, 10 too many" in message
    assert "It fits LFE5U-45F" in message


def test_a_design_that_fits_nowhere_gets_advice() -> None:
    total = ecp5.Resources(dsp=200, ebr=300)
    with pytest.raises(TargetError, match=r"No ECP5 device holds it; .*weights.*lanes"):
        ecp5.check_fit(total, {"": total}, "LFE5U-85F", "here")


def test_a_design_that_fits_is_accepted() -> None:
    ecp5.check_fit(ecp5.CAPACITY["LFE5U-25F"], {}, "LFE5U-25F", "here")


def test_a_design_too_big_never_starts_place_and_route(tmp_path: Path) -> None:
    cells = tmp_path / "cells.json"
    cells.write_text('{"total": {"lut": 99999, "ff": 0, "ebr": 0, "dsp": 0}, "units": {}}')
    target = config.load_target(CONFIGS / "targets/ulx3s_85f.yaml")
    with pytest.raises(TargetError, match="16359 too many"):
        fpga.place(tmp_path, target, "t", 1, tmp_path / "s", tmp_path / "log")
    assert not (tmp_path / "s").exists()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a small design through Yosys, nextpnr and ecppack."""
    folder = tmp_path_factory.mktemp("built")
    target = config.load_target(CONFIGS / "targets/ulx3s_25f.yaml")
    log = folder / "log"
    fpga.synthesize(
        DESIGNS / "chip.v", (DESIGNS / "top.v").read_text(), target, folder, log / "synthesize.log"
    )
    for seed in (1, 2):
        fpga.place(folder, target, "t", seed, folder / f"seed{seed}", log / f"place{seed}.log")
    fpga.pack([folder / "seed1", folder / "seed2"], target, folder, log / "pack.log")
    return folder


def test_block_ram_and_multiplier_are_inferred_by_unit(built: Path) -> None:
    cells = json.loads((built / "cells.json").read_text())
    assert cells["units"]["rom"] == {"lut": 0, "ff": 0, "ebr": 1, "dsp": 0}
    assert cells["units"]["mac"]["dsp"] == 1
    assert cells["total"]["ebr"] == 1
    assert cells["units"]["board"]["ff"] == 17


def test_the_rom_reaches_the_netlist(built: Path) -> None:
    assert "module rom" in (built / "netlist.v").read_text()
    modules = json.loads((built / "netlist.json").read_text())["modules"]
    (ram,) = [c for c in modules["rom"]["cells"].values() if c["type"] == "DP16KD"]
    assert set(ram["parameters"]["INITVAL_00"]) == {"0", "1"}


def test_the_fastest_seed_becomes_the_bitstream(built: Path) -> None:
    timings = [json.loads((built / f"seed{s}/timing.json").read_text()) for s in (1, 2)]
    best = max(timings, key=lambda item: item["fmax_mhz"])
    choice = json.loads((built / "bitstream.json").read_text())
    assert choice["seed"] == best["seed"]
    assert (built / "chip.bit").stat().st_size == choice["bytes"]
    assert b"LFE5U-25F" in (built / "chip.bit").read_bytes()[:64]


def test_results_name_no_folder_of_this_machine(built: Path) -> None:
    for name in ("netlist.json", "netlist.v", "top.json", "cells.json", "seed1/timing.json"):
        assert "site-packages" not in (built / name).read_text()
        assert str(built) not in (built / name).read_text()


def test_equal_inputs_run_no_tool_again(built: Path) -> None:
    target = config.load_target(CONFIGS / "targets/ulx3s_25f.yaml")
    before = (built / "top.json").stat().st_ino
    fpga.synthesize(
        DESIGNS / "chip.v", (DESIGNS / "top.v").read_text(), target, built, built / "log/again.log"
    )
    assert "nothing to do" in (built / "log/again.log").read_text()
    assert (built / "top.json").stat().st_ino == before


def test_verilog_that_yosys_refuses_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "chip.v").write_text("module chip(input clk;\nendmodule\n")
    (tmp_path / "manifest.json").write_text('{"memories": [], "products": []}')
    target = config.load_target(CONFIGS / "targets/ulx3s_25f.yaml")
    with pytest.raises(FlowError, match=r"Yosys .* exited with status 1(.|\n)*syntax error"):
        fpga.synthesize(tmp_path / "chip.v", "", target, tmp_path / "out", tmp_path / "log")
