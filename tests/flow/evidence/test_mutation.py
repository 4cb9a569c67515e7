"""Planted faults: every one is refused, and by the obligation that is about it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from flow import cli, files
from flow.evidence import adder_fault, adders, choice_fault, design, fault, memories, mutation
from flow.evidence.adders import Cores
from flow.evidence.plant import Chip
from flow.tools import base, yosys
from rtl_gen.emit import emit
from rtl_gen.ir import serialize
from rtl_gen.ir.integer import ConstMatVec
from rtl_gen.plan import Plan
from tests.chip import test_adapters
from tests.flow.evidence import shapes
from tests.harness import seed

MUTANTS = 30


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Chip:
    """A tiny chip, elaborated and synthesized."""
    folder = tmp_path_factory.mktemp("mutation")
    return built(shapes.make("mlp", folder / "checkpoint"), folder, mapped=True)


def built(made: shapes.Made, folder: Path, *, mapped: bool) -> Chip:
    made.write(folder)
    source, rom = folder / "chip.v", folder / "rom"
    base.run(yosys.elaborate(source, rom), folder / "rtl", folder / "rtl.log")
    if mapped:
        base.run(yosys.synthesize_chip(source, rom), folder / "netlist", folder / "netlist.log")
    wired = None
    if made.emitted.manifest["weights_in_logic"]:
        base.run(yosys.adders(source, rom), folder / "adders", folder / "adders.log")
        wired = Cores(*(design.read(folder / f"adders/{name}.json") for name in ("words", "gates")))
    return Chip(
        graph=made.graph,
        manifest=made.emitted.manifest,
        verilog=made.emitted.verilog,
        hierarchical=design.read(folder / "rtl/rtl.json"),
        flat=design.read(folder / "rtl/flat.json")["chip"],
        netlist=design.read(folder / "netlist/netlist.json") if mapped else None,
        cores=wired,
    )


def test_faults_of_rtl_and_netlist_need_no_bitstream(
    chip: Chip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results/tiny/ulx3s_25f"
    made = shapes.make("mlp", tmp_path / "checkpoint")
    made.write(tmp_path / "results/tiny/rtl")
    files.write_json(tmp_path / "results/tiny/rtl/manifest.json", made.emitted.manifest)
    (tmp_path / "results/tiny/quantize").mkdir()
    serialize.save(made.graph, tmp_path / "results/tiny/quantize/graph.safetensors")
    folder.mkdir(parents=True)
    command = ["mutate", str(folder), "--number", "6", "--level"]
    assert cli.main([*command, "rtl"]) == 0
    assert "6 of 6 faults caught" in capsys.readouterr().out
    assert cli.main([*command, "rtl", "netlist"]) == 2
    assert "no netlist.json for faults of level netlist" in capsys.readouterr().err
    source = tmp_path / "results/tiny/rtl"
    job = yosys.synthesize_chip(source / "chip.v", source / "rom")
    base.run(job, folder / "job", folder / "log")
    (folder / "netlist.json").write_text((folder / "job/netlist.json").read_text())
    assert cli.main([*command, "rtl", "netlist"]) == 0
    assert cli.main([*command, "bitstream"]) == 2
    assert "no chip.bit for faults of level bitstream" in capsys.readouterr().err


def test_the_chip_without_a_fault_passes(chip: Chip) -> None:
    for level in ("rtl", "netlist"):
        for name, findings in mutation.obligations(chip, level):
            assert findings == [], name


def test_every_fault_is_caught(chip: Chip) -> None:
    stale = mutation.stale(chip.graph, chip)
    drawn = mutation.mutants(chip, stale, MUTANTS, seed(), ("rtl", "netlist"))
    found = [mutation.judge(mutant) for mutant in drawn]
    summary = mutation.summary(found)
    assert summary["mutants"] == MUTANTS
    assert summary["survivors"] == []
    kinds = Counter((item.level, item.kind) for item in found)
    for level in ("rtl", "netlist"):
        for kind in ("flipped weight bit", "flipped bit elsewhere", "exchanged rows",
                     "scale off by one", "stale image"):  # fmt: skip
            assert kinds[level, kind] >= 2
    for item in found:
        place = "memories" if "port" in item.kind else "provenance"
        if item.kind != "block RAM enabled to write":
            assert item.by[0] == f"{place}.{item.level}", item
    assert {"memories.rtl", "memories.netlist"} <= set(summary["by obligation"])


def test_faults_of_one_level_alone(chip: Chip) -> None:
    stale = mutation.stale(chip.graph, chip)
    drawn = list(mutation.mutants(chip, stale, 8, seed(), ("netlist",)))
    assert [mutant.level for mutant in drawn] == ["netlist"] * 8


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Chip:
    """A chip with one matrix as a bit-serial adder graph and one as a parallel one."""
    folder = tmp_path_factory.mktemp("wired")
    graph = shapes.make("mlp", folder / "checkpoint").graph
    first, second, *_ = (n.op.weight for n in graph.nodes if isinstance(n.op, ConstMatVec))
    emitted = emit(graph, Plan(2, styles=((first, "serial"), (second, "parallel"))))
    return built(shapes.Made(graph, emitted), folder, mapped=True)


@pytest.mark.parametrize("kind", sorted(fault.CHANGES))
def test_a_fault_of_a_memory_that_a_chip_has_not_is_none(kind: str) -> None:
    """All matrices may be wired in space."""
    assert fault.CHANGES[kind]({}, {}, np.random.default_rng(seed())) is None


def test_matrices_wired_in_space_are_shown(wired: Chip) -> None:
    """In the RTL, and by the functions of all registers in the netlist."""
    for level in ("rtl", "netlist"):
        for name, findings in mutation.obligations(wired, level):
            assert findings == [], name
    assert wired.cores is not None
    assert set(wired.cores.known) == {0, 1}
    compared, findings = adders.mapped(wired.cores, wired.netlist)
    assert findings == []
    assert compared > 100


def test_faults_of_matrices_wired_in_space_are_caught(wired: Chip) -> None:
    rng = np.random.default_rng(seed())
    test_matrices_wired_in_space_are_shown(wired)
    for kind, make in adder_fault.of_chip(wired, rng).items():
        for _ in range(4):
            mutant = make()
            assert mutant is not None, kind
            caught = mutation.judge(mutant)
            assert caught.by == (f"provenance.{mutant.level}",), (kind, mutant.place)


@pytest.mark.parametrize(
    ("made", "kinds"),
    [
        ("top_2_of_4", {"exchanged experts", "wrong slot of the choice"}),
        ("adapters", {"wrong region of the adapter"}),
    ],
)
def test_faults_of_a_choice_are_caught(made: str, kinds: set[str], tmp_path: Path) -> None:
    if made == "adapters":
        chip_of = test_adapters.build(tmp_path / "checkpoint", *test_adapters.CASES["llama"])
        shape = shapes.Made(chip_of.graph, emit(chip_of.graph, chip_of.plan))
    else:
        shape = shapes.make(made, tmp_path / "checkpoint")
    chip = built(shape, tmp_path, mapped=False)
    rng = np.random.default_rng(seed())
    changes = choice_fault.of_chip(chip)
    assert set(changes) == kinds
    words = memories.of_rtl(chip.hierarchical, chip.manifest)
    for kind, change in changes.items():
        for _ in range(3):
            mutant = fault.content(chip, "rtl", kind, change, words, {}, rng)()
            assert mutant is not None
            assert mutation.judge(mutant).by == ("provenance.rtl",)
