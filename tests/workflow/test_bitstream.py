"""A tiny model from checkpoint to bitstream and report, with one command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workflow.project import Project, create

CHIP = "results/tiny/ulx3s_25f"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The project after ``snakemake``, and what that said."""
    project = create(tmp_path_factory.mktemp("project") / "intaglio")
    return project, project.snakemake()


@pytest.mark.slow
def test_one_command_makes_a_verified_bitstream(built: tuple[Project, str]) -> None:
    project, said = built
    assert f"report: {CHIP}/report.html" in said
    assert project.file(f"{CHIP}/chip.bit").stat().st_size > 1000
    metrics = json.loads(project.file(f"{CHIP}/metrics.json").read_text())
    assert all(check["ok"] for check in metrics["checks"]), metrics["checks"]
    assert metrics["metrics"]["verify__netlist__mismatches"]["value"] == 0
    assert metrics["metrics"]["verify__netlist__steps"]["value"] >= 40


@pytest.mark.slow
def test_progress_is_visible(built: tuple[Project, str]) -> None:
    _, said = built
    for words in ("tiny: quantizing", "tiny on ulx3s_25f: synthesizing", "placing, iteration 1",
                  "seed 1:", "comparing at least"):  # fmt: skip
        assert words in said


@pytest.mark.slow
def test_all_results_stand_below_their_model(built: tuple[Project, str]) -> None:
    project, _ = built
    names = {path.name for path in project.file(CHIP).iterdir() if path.is_file()}
    assert {"netlist.json", "netlist.v", "top.json", "top.v", "chip.bit", "metrics.json",
            "report.html", "signoff.json"} <= names  # fmt: skip
    logs = {p.relative_to(project.file("logs")).as_posix()
            for p in project.file("logs").rglob("*.log")}  # fmt: skip
    assert {"tiny/quantize.log", "tiny/ulx3s_25f/place.seed1.log"} <= logs


@pytest.mark.slow
def test_nothing_is_left_to_do(built: tuple[Project, str]) -> None:
    project, _ = built
    for target in ("all", "tiny", "quantize", "rtl", "verify", "fpga", "report"):
        assert project.planned(target) == set()


@pytest.mark.slow
def test_snakemake_writes_its_own_report(built: tuple[Project, str], tmp_path: Path) -> None:
    project, _ = built
    project.snakemake("--report", str(tmp_path / "workflow.html"))
    assert (tmp_path / "workflow.html").stat().st_size > 10_000


@pytest.mark.slow
def test_a_chip_that_stays_the_same_is_not_placed_again(built: tuple[Project, str]) -> None:
    """A comment in the generator: the stages run, their tools do not, the files stay."""
    project, _ = built
    bitstream = project.file(f"{CHIP}/chip.bit")
    inode = bitstream.stat().st_ino
    emit = project.file("rtl_gen/emit.py")
    emit.write_text(f"{emit.read_text()}\n# A comment changes the generator, not the chip.\n")
    said = project.snakemake()
    assert "placing, iteration" not in said
    assert "nothing to do, same inputs" in said
    assert bitstream.stat().st_ino == inode
