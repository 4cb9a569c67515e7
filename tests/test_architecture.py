"""The rules of the layout, checked."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LONGEST_FILE = 450

# Files of these folders that are not a block: what several blocks share.
SHARED = {"__init__", "interpreter"}
# Operators that run on another operator's unit: the golden twin is there, the block is not.
HOSTED = {"conv2d": "const_matvec", "low_rank": "const_matvec"}


def names(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob("*.py")} - SHARED


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("needs a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("name", sorted(names("rtl_gen/blocks")))
def test_a_block_is_three_files(name: str) -> None:
    assert (ROOT / f"rtl_gen/golden/{name}.py").is_file()
    assert (ROOT / f"tests/blocks/test_{name}.py").is_file()


@pytest.mark.parametrize("name", sorted(names("rtl_gen/golden")))
def test_a_golden_function_has_a_block(name: str) -> None:
    assert (ROOT / f"rtl_gen/blocks/{HOSTED.get(name, name)}.py").is_file()


@pytest.mark.parametrize("path", sources("rtl_gen"), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_generator_is_pure(path: Path) -> None:
    forbidden = {"flow", "subprocess", "snakemake", "multiprocessing", "socket", "urllib"}
    roots = {name.partition(".")[0] for name in imports(path)}
    assert not roots & forbidden


def test_blocks_and_golden_never_meet() -> None:
    for path in sources("rtl_gen/blocks"):
        assert not {n for n in imports(path) if n.startswith("rtl_gen.golden")}, path
    for path in sources("rtl_gen/golden"):
        assert not {n for n in imports(path) if n.startswith("rtl_gen.blocks")}, path


def test_engines_are_programs_that_nothing_imports() -> None:
    """Their packages are under the GPL and pin each other: each has an environment of its own."""
    for path in [*sources("flow"), *sources("rtl_gen")]:
        if path.parent.name == "engines":
            assert not {name for name in imports(path) if name.startswith(("flow", "rtl_gen"))}
        else:
            roots = {name.partition(".")[0] for name in imports(path)}
            assert not roots & {"coriolis", "klayout", "pdkmaster", "c4m"}, path
            assert not {name for name in imports(path) if name.startswith("flow.engines")}, path


def test_processes_start_in_few_places() -> None:
    """Tools run through `flow.tools.base.run`; `flow.simulate` talks to a simulated chip, and
    `flow.commands.run` lets Snakemake build what it needs."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in sources("flow")
        if "subprocess" in imports(path)
    }
    assert {name for name in found if not name.startswith("flow/tools/")} <= {
        "flow/simulate.py",
        "flow/commands/run.py",
    }


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked()
        if path.suffix in {".py", ".smk", ".v", ".cpp", ".j2"}
        and (count := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert not long


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
    assert not {str(p) for folder in ("flow", "rtl_gen") for p in sources(folder)
                if p.stem in drawers}  # fmt: skip


def test_no_file_names_a_folder_of_a_machine() -> None:
    machine = re.compile(r"(?<![\w.])/(?:home|root|work|Users|usr/local)/\w+")
    found = {}
    for path in tracked():
        if path.suffix in {".safetensors", ".png", ".npz"} or path == Path(__file__):
            continue
        hit = machine.search(path.read_text(errors="replace"))
        if hit:
            found[str(path.relative_to(ROOT))] = hit[0]
    assert not found


def test_every_package_says_what_it_is() -> None:
    for folder in ("flow", "rtl_gen"):
        for path in sources(folder):
            assert ast.get_docstring(ast.parse(path.read_text())), path


def test_rules_are_one_stage_a_file_with_log_and_message() -> None:
    for path in (ROOT / "flow/rules").glob("*.smk"):
        rules = re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]
        for rule in rules:
            if "shell:" in rule:
                assert "log:" in rule, (path.name, rule.split(":")[0])
                assert "message:" in rule, (path.name, rule.split(":")[0])
                assert "python -m flow" in rule, (path.name, rule.split(":")[0])


def test_the_environment_of_rules_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "flow/envs/intaglio.yaml").read_text())
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert pip == project["dependencies"]


def test_the_readme_gives_the_two_commands_that_ci_runs() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci/run").read_text()
    assert "pip install -e . && snakemake -c2" in readme
    assert "pip install -e '.[test]' && pytest" in readme
    assert "pip install -e '.[test]' && pytest" in ci
