"""Planted faults: every one is refused, and by the obligation that is about it."""

from __future__ import annotations

from collections import Counter

import pytest

from flow.evidence import design, mutation
from flow.evidence.plant import Chip
from flow.tools import base, yosys
from tests.flow.evidence import shapes
from tests.harness import seed

MUTANTS = 30


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Chip:
    """A tiny chip, elaborated and synthesized."""
    folder = tmp_path_factory.mktemp("mutation")
    made = shapes.make("mlp", folder / "checkpoint")
    made.write(folder)
    source, rom = folder / "chip.v", folder / "rom"
    base.run(yosys.elaborate(source, rom), folder / "rtl", folder / "rtl.log")
    base.run(yosys.synthesize_chip(source, rom), folder / "netlist", folder / "netlist.log")
    return Chip(
        graph=made.graph,
        manifest=made.emitted.manifest,
        verilog=made.emitted.verilog,
        hierarchical=design.read(folder / "rtl/rtl.json"),
        flat=design.read(folder / "rtl/flat.json")["chip"],
        netlist=design.read(folder / "netlist/netlist.json"),
    )


def test_the_chip_without_a_fault_passes(chip: Chip) -> None:
    for level in ("rtl", "netlist"):
        for name, findings in mutation.obligations(chip, level):
            assert findings == [], name


def test_every_fault_is_caught(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "LEVELS", ("rtl", "netlist"))
    stale = mutation.stale(chip.graph, chip)
    drawn = mutation.mutants(chip, stale, MUTANTS, seed())
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
