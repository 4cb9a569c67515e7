"""Memory classes: a ROM that can be written and a memory that a host reaches are found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flow.evidence import design, memory_class, provenance
from flow.tools import base, yosys
from rtl_gen.emit import emit
from rtl_gen.plan import Plan
from tests import checkpoints
from tests.chip.test_adapters import build
from tests.flow.evidence import shapes


def elaborated(made: shapes.Made, folder: Path) -> tuple[design.Design, design.Module]:
    made.write(folder)
    base.run(yosys.elaborate(folder / "chip.v", folder / "rom"), folder / "job", folder / "log")
    return design.read(folder / "job/rtl.json"), design.read(folder / "job/flat.json")["chip"]


@pytest.mark.parametrize("name", ["llama", "cnn"])
def test_the_chips_hold(name: str, tmp_path: Path) -> None:
    made = shapes.make(name, tmp_path / "checkpoint")
    findings, numbers = memory_class.of_rtl(*elaborated(made, tmp_path), made.emitted.manifest)
    assert findings == []
    assert numbers["constant memories"] >= 4
    assert numbers["host bits followed"] > 17


def test_faults_are_found(tmp_path: Path) -> None:
    made = shapes.make("llama", tmp_path / "checkpoint")
    reads = "always @(posedge clk) if (en) word <= mem[addr];"
    assert reads in made.emitted.verilog
    text = made.emitted.verilog.replace(reads, f"{reads} always @(posedge clk) mem[addr] <= word;")
    broken = shapes.Made(made.graph, replace(made.emitted, verilog=text))
    findings, _ = memory_class.of_rtl(*elaborated(broken, tmp_path), made.emitted.manifest)
    assert sum("a ROM with 1 write ports" in line for line in findings) >= 4


def test_a_host_port_at_a_memory_is_found(tmp_path: Path) -> None:
    made = shapes.make("llama", tmp_path / "checkpoint")
    hierarchical, flat = elaborated(made, tmp_path)
    name, cell = next(
        (n, c) for n, c in flat.cells.items() if c.type == "$mem_v2" and c.number("WR_PORTS")
    )
    for pin, group in (("WR_DATA", "data"), ("WR_ADDR", "address"), ("WR_EN", "enable")):
        pins = {**cell.pins, pin: (flat.ports["seed"][3], *cell.pins[pin][1:])}
        broken = replace(flat, cells={**flat.cells, name: replace(cell, pins=pins)})
        findings, _ = memory_class.of_rtl(hierarchical, broken, made.emitted.manifest)
        assert f"values at seed flow into the write {group} of {name}" in findings


def test_a_memory_that_the_manifest_hides_is_found(tmp_path: Path) -> None:
    made = shapes.make("mlp", tmp_path / "checkpoint")
    rtl, flat = elaborated(made, tmp_path)
    kept = [item for item in made.emitted.manifest["memories"] if item["class"] != "state"]
    findings, _ = memory_class.of_rtl(rtl, flat, {**made.emitted.manifest, "memories": kept})
    assert any("not in the manifest" in line for line in findings)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> tuple[shapes.Made, design.Design, Any]:
    """A chip with adapter memory, one bank wider than what a host writes at once, elaborated."""
    folder = tmp_path_factory.mktemp("adapted")
    plan = Plan(5, slots=2)
    graph = build(folder, checkpoints.tiny_gpt2, ("*.mlp.up", "logits"), 2, plan).graph
    made = shapes.Made(graph, emit(graph, plan))
    return made, *elaborated(made, folder / "chip")


def test_adapters_are_the_only_memory_a_host_writes(adapted) -> None:
    made, rtl, flat = adapted
    kinds = {item["class"] for item in made.emitted.manifest["memories"]}
    assert kinds == {"constant", "adapter", "state"}
    assert memory_class.of_rtl(rtl, flat, made.emitted.manifest)[0] == []
    found = provenance.compare(made.words, made.emitted.manifest, made.graph, made.emitted.verilog)
    assert found.differences == ()


@pytest.mark.parametrize(
    ("port", "memory", "fault"),
    [
        ("adapter_write_data", "memory.", True),
        ("adapter_write_data", "attention.", True),
        ("seed", "adapter_memory.", True),
        ("adapter_write_data", "adapter_memory.", False),
    ],
)
def test_ports_of_adapters_reach_adapters_alone(adapted, port, memory, fault) -> None:
    made, rtl, flat = adapted
    name, cell = next(
        (n, c) for n, c in flat.cells.items() if c.type == "$mem_v2" and n.startswith(memory)
        and c.number("WR_PORTS")
    )  # fmt: skip
    pins = {**cell.pins, "WR_DATA": (flat.ports[port][0], *cell.pins["WR_DATA"][1:])}
    wired = replace(flat, cells={**flat.cells, name: replace(cell, pins=pins)})
    findings, _ = memory_class.of_rtl(rtl, wired, made.emitted.manifest)
    wanted = f"values at {port} flow into the write data of {name}"
    assert (wanted in findings) == fault
