"""A tiny model from checkpoint to bitstream and report, with one command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workflow.project import Project, checkpoint, create

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
    for words in ("tiny: quantizing", "tiny on ulx3s_25f: synthesizing", "placing, iteration 10",
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
def test_the_chip_is_signed_off(built: tuple[Project, str]) -> None:
    """Every obligation has a record; a spoilt artefact is refused."""
    project, _ = built
    evidence = json.loads(project.file(f"{CHIP}/evidence.json").read_text())
    verdicts = {item["obligation"]: item["verdict"] for item in evidence["obligations"]}
    assert len(verdicts) >= 14
    assert set(verdicts.values()) == {"holds"}
    said = project.intaglio("signoff", CHIP)
    assert said.count("  holds ") == len(verdicts)
    image = project.file("results/tiny/rtl/rom/matvec_weight.hex")
    text = image.read_text()
    image.write_text(text.replace("0", "1", 1))
    try:
        said = project.intaglio("signoff", CHIP, ok=False)
    finally:
        image.write_text(text)
    assert "provenance.rtl stale" in said


@pytest.mark.slow
def test_faults_at_every_level_are_caught(built: tuple[Project, str]) -> None:
    project, _ = built
    said = project.intaglio("mutate", CHIP, "--number", "50", "--packed", "1")
    assert "50 of 50 faults caught" in said
    for name in ("provenance.rtl", "provenance.netlist", "provenance.routed",
                 "provenance.bitstream", "memories.rtl", "memories.netlist"):  # fmt: skip
        assert name in said


@pytest.mark.slow
def test_new_weights_carry_the_comparisons_over(built: tuple[Project, str]) -> None:
    """The same architecture with another checkpoint: constants are proved, tests carried."""
    project, _ = built
    checkpoint(project.file("models/tiny"), 2)
    project.snakemake("results/tiny/evidence/equal.rtl.json",
                      "results/tiny/evidence/provenance.rtl.json")  # fmt: skip
    folder = project.file("results/tiny/evidence")
    carried = json.loads((folder / "equal.rtl.json").read_text())
    assert carried["verdict"] == "carried"
    assert "constants changed only" in carried["carried"]["condition"]
    proved = json.loads((folder / "provenance.rtl.json").read_text())
    assert proved["verdict"] == "holds"
    said = project.intaglio("signoff", CHIP, ok=False)
    assert "provenance.rtl stale" in said  # the ledger of the chip is still the old one
    said = project.snakemake(f"{CHIP}/evidence/provenance.bitstream.json")
    assert "placed and routed before" in said
    assert "placing, iteration" not in said
    proved = json.loads(project.file(f"{CHIP}/evidence/provenance.bitstream.json").read_text())
    assert proved["verdict"] == "holds"
    checkpoint(project.file("models/tiny"), 1)
    project.snakemake()


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
