"""A comparison is carried to new weights of the same architecture, and to nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.evidence import carry, design, ranges, structure
from flow.tools import base, yosys
from rtl_gen.emit import emit
from rtl_gen.ir.integer import Constant, ConstMatVec, IntegerGraph
from rtl_gen.ir.types import IntType
from rtl_gen.plan import Plan
from tests.flow.evidence import shapes


def _changed(graph: IntegerGraph) -> IntegerGraph:
    name = next(node.op.weight for node in graph.nodes if isinstance(node.op, ConstMatVec))
    data = graph.constants[name].data.copy()
    data[0, 0] = 1 if data[0, 0] != 1 else 2
    constant = Constant(graph.constants[name].type, data)
    return replace(graph, constants={**graph.constants, name: constant})


def _about(made: shapes.Made, folder: Path, trial: str = "t") -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    if not (folder / "chip.v").exists():
        made.write(folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(made.emitted.manifest))
    return carry.subject("rtl", folder / "chip.v", path, made.emitted.manifest, made.graph, trial)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> shapes.Made:
    return shapes.make("llama", tmp_path_factory.mktemp("llama"))


def test_new_weights_carry_it_over(first: shapes.Made, tmp_path: Path) -> None:
    graph = _changed(first.graph)
    second = shapes.Made(graph, emit(graph, Plan(4)))
    assert second.emitted.manifest["identity"] != first.emitted.manifest["identity"]
    about = _about(first, tmp_path / "first")
    known = {"about": about, "mismatches": 0, "identity": first.emitted.manifest["identity"]}
    now = _about(second, tmp_path / "second")
    chip = tmp_path / "second/chip.v"
    why = carry.condition(known, now, graph, chip, tmp_path / "job")
    assert why is not None
    assert why["identity"] == first.emitted.manifest["identity"]
    assert "constants changed only" in why["condition"]
    for spoilt in (
        {**known, "mismatches": 1},
        {**known, "about": {**about, "architecture": "another"}},
        {**known, "about": {**about, "skeleton": "another"}},
        {**known, "about": {**about, "trial": "another"}},
        {"mismatches": 0},
    ):
        assert carry.condition(spoilt, now, graph, chip, tmp_path / "job") is None


def test_what_the_planner_says_is_no_architecture(first: shapes.Made) -> None:
    """Its estimates may follow the weights; the chip it chose is in the Verilog."""
    verilog, manifest = first.emitted.verilog, first.emitted.manifest
    told = structure.architecture(verilog, {**manifest, "planning": {"cycles": 1}})
    assert told == structure.architecture(verilog, manifest)
    assert told != structure.architecture(verilog + "\n", manifest)
    assert told != structure.architecture(verilog, {**manifest, "memories": []})


def test_a_sum_that_outgrows_its_register_is_found(first: shapes.Made, tmp_path: Path) -> None:
    first.write(tmp_path)
    base.run(
        yosys.elaborate(tmp_path / "chip.v", tmp_path / "rom"), tmp_path / "job", tmp_path / "log"
    )
    rtl = design.read(tmp_path / "job/rtl.json")
    findings, numbers = ranges.check(first.graph, rtl)
    assert findings == []
    assert numbers["bits needed"] <= numbers["register bits"]
    name = next(node.op.weight for node in first.graph.nodes if isinstance(node.op, ConstMatVec))
    large = Constant(IntType(16), np.full_like(first.graph.constants[name].data, 32767))
    graph = replace(first.graph, constants={**first.graph.constants, name: large})
    findings, _ = ranges.check(graph, rtl)
    assert any("accumulators have" in line for line in findings)
