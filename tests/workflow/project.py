"""A copy of the project in a temporary folder, with a tiny model, through real Snakemake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests import checkpoints

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "profiles", "flow", "rtl_gen", "configs/targets")
TINY = {
    "vocab_size": 8, "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1,
    "max_position_embeddings": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Project:
    """A working copy; `root` is its folder."""

    root: Path

    def snakemake(self, *args: str, ok: bool = True) -> str:
        """Run Snakemake there and give all it says."""
        done = subprocess.run(
            self.command(*args), cwd=self.root, env=self.environment(), text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900,
        )  # fmt: skip
        assert (done.returncode == 0) == ok, done.stdout
        return done.stdout

    def intaglio(self, *args: str, ok: bool = True) -> str:
        """Run the command line there and give all it says."""
        done = subprocess.run(
            [sys.executable, "-m", "flow", *args], cwd=self.root, env=self.environment(), text=True,
            check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900,
        )  # fmt: skip
        assert (done.returncode == 0) == ok, done.stdout
        return done.stdout

    def command(self, *args: str) -> list[str]:
        """Command line of Snakemake."""
        return [sys.executable, "-m", "snakemake", "-c2", *args]

    def environment(self) -> dict[str, str]:
        """Environment in which ``import flow`` is the copy."""
        return {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}

    def planned(self, target: str, *args: str) -> set[str]:
        """Rules that a dry run would execute for `target`."""
        said = self.snakemake("--dry-run", target, *args)
        if "Nothing to be done" in said:
            return set()
        table = said.split("Job stats:")[1].split("total")[0].splitlines()[3:]
        return {line.split()[0] for line in table if line.strip()}

    def file(self, name: str) -> Path:
        """Path in the copy."""
        return self.root / name


def checkpoint(path: Path, seed: int) -> Path:
    """Write a tiny random Llama."""
    return checkpoints.write(path, *checkpoints.llama(seed, **TINY))


def create(root: Path) -> Project:
    """Copy what a user clones, with the model ``tiny`` as the only one."""
    skip = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=skip)
        else:
            (root / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / part)
    runs = {"runs": [{"model": "tiny", "target": "ulx3s_25f"}]}
    model = {
        "title": "a tiny random Llama", "checkpoint": "models/tiny", "tokenizer": "ids",
        "data": {"kind": "generated", "calibration": 8, "evaluation": 8},
        "quantize": {"loss_increase": 1.0}, "plan": {"lanes": 1},
        "verify": {"tokens": 120, "netlist_tokens": 40, "prompts": ["", "3 1 4 1 5 2 6"]},
        "generate": {"count": 2},
    }  # fmt: skip
    (root / "configs/models").mkdir()
    (root / "configs/config.yaml").write_text(yaml.safe_dump(runs))
    (root / "configs/models/tiny.yaml").write_text(yaml.safe_dump(model))
    checkpoint(root / "models/tiny", 1)
    return Project(root)
