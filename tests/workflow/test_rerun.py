"""What runs again: contents decide, not file times."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.workflow.project import Project, checkpoint, create

GRAPH = "results/tiny/quantize/graph.safetensors"
CHIP = "results/tiny/rtl/chip.v"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose RTL is built."""
    project = create(tmp_path_factory.mktemp("project") / "intaglio")
    project.snakemake("rtl")
    return project


@pytest.fixture
def project(pristine: Project, tmp_path: Path) -> Project:
    """A copy of it, file times and all."""
    shutil.copytree(pristine.root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


def test_nothing_runs_twice(project: Project) -> None:
    assert project.planned("rtl") == set()


def test_a_touched_checkpoint_runs_nothing(project: Project) -> None:
    for path in project.file("models/tiny").iterdir():
        os.utime(path, (time.time() + 100, time.time() + 100))
    assert project.planned("rtl") == set()


def test_a_moved_checkpoint_runs_nothing(project: Project) -> None:
    project.file("models/tiny").rename(project.file("elsewhere"))
    assert project.planned("rtl", "--config", "checkpoint=elsewhere") == set()


def test_an_older_replacement_rebuilds(project: Project) -> None:
    before = project.file(CHIP).with_name("rom")
    images = {path.name: path.read_text() for path in before.iterdir()}
    checkpoint(project.file("models/tiny"), 2)
    for path in project.file("models/tiny").iterdir():
        os.utime(path, (1e9, 1e9))
    assert project.planned("rtl") == {"quantize_model", "generate_rtl", "rtl"}
    project.snakemake("rtl")
    after = {path.name: path.read_text() for path in before.iterdir()}
    assert images["identity.hex"] != after["identity.hex"]
    assert project.planned("rtl") == set()


def test_another_checkpoint_on_the_command_line_rebuilds(project: Project) -> None:
    checkpoint(project.file("other"), 2)
    assert "quantize_model" in project.planned("rtl", "--config", "checkpoint=other")
    assert "quantize_model" in project.planned("rtl", "--config", "checkpoints={tiny: other}")


def test_a_changed_generator_reruns_rtl_only_and_leaves_equal_output(project: Project) -> None:
    chip, graph = project.file(CHIP), project.file(GRAPH)
    inodes = chip.stat().st_ino, graph.stat().st_ino
    emit = project.file("rtl_gen/emit.py")
    emit.write_text(f"{emit.read_text()}\n# A comment changes the generator, not the chip.\n")
    assert project.planned("rtl") == {"generate_rtl", "rtl"}
    project.snakemake("rtl")
    assert (chip.stat().st_ino, graph.stat().st_ino) == inodes
    assert project.planned("rtl") == set()


def test_a_setting_reruns_the_stage_it_belongs_to(project: Project) -> None:
    path = project.file("configs/models/tiny.yaml")
    values = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**values, "title": "another title"}))
    assert project.planned("rtl") == set()
    path.write_text(yaml.safe_dump({**values, "plan": {"lanes": 2}}))
    assert project.planned("rtl") == {"generate_rtl", "rtl"}
    path.write_text(yaml.safe_dump({**values, "quantize": {"weights": {"*": "int4"}}}))
    assert project.planned("rtl") == {"quantize_model", "generate_rtl", "rtl"}


def test_a_misspelt_key_stops_before_anything_runs(project: Project) -> None:
    path = project.file("configs/models/tiny.yaml")
    path.write_text("chekpoint: models/tiny\n")
    said = project.snakemake("rtl", ok=False)
    assert "unknown key chekpoint; did you mean checkpoint?" in said
    assert "Traceback" not in said


def test_a_misspelt_configuration_stops_before_anything_runs(project: Project) -> None:
    project.file("configs/config.yaml").write_text("run: []\n")
    said = project.snakemake("rtl", ok=False)
    assert "configs/config.yaml: unknown key run; did you mean runs?" in said


def test_an_absent_checkpoint_is_named(project: Project) -> None:
    said = project.snakemake("rtl", "--config", "checkpoint=nowhere", ok=False)
    assert "checkpoint nowhere: no such file or folder" in said


def test_a_damaged_checkpoint_is_refused(project: Project) -> None:
    path = project.file("models/tiny/model.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    said = project.snakemake("rtl", ok=False)
    assert "model.safetensors" in said
    assert "Traceback" not in said


def test_a_second_snakemake_in_the_same_folder_is_refused(project: Project) -> None:
    lock = project.file(".snakemake/intaglio.lock")
    holder = subprocess.Popen(["flock", str(lock), "sleep", "60"])
    try:
        time.sleep(0.5)
        checkpoint(project.file("models/tiny"), 3)
        said = project.snakemake("rtl", ok=False)
    finally:
        holder.kill()
        holder.wait()
    assert "another snakemake works in" in said


def test_a_killed_run_is_repaired_by_the_next(project: Project) -> None:
    """kill -9 of Snakemake and all it started, in the middle of the RTL stage."""
    expected = {p.name: p.read_bytes() for p in project.file("results/tiny/rtl/rom").iterdir()}
    shutil.rmtree(project.file("results"))
    shutil.rmtree(project.file(".snakemake"))
    process = subprocess.Popen(
        project.command("rtl"), cwd=project.root, env=project.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not project.file(GRAPH).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not project.file(CHIP).exists()
    project.snakemake("rtl")
    found = {p.name: p.read_bytes() for p in project.file("results/tiny/rtl/rom").iterdir()}
    assert found == expected
    assert json.loads(project.file("results/tiny/rtl/manifest.json").read_text())["identity"]
    assert project.planned("rtl") == set()


def test_lint_is_clean(pristine: Project) -> None:
    assert "Congratulations" in pristine.snakemake("--lint")
