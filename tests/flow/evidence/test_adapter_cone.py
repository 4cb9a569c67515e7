"""What a host reaches in a mapped chip, followed cell by cell; wires that go astray are found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flow.evidence import adapter_cone, design, memory_class
from flow.tools import base, yosys
from rtl_gen.emit import emit
from rtl_gen.plan import Plan
from tests import checkpoints
from tests.chip.test_adapters import build
from tests.flow.evidence import shapes


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], design.Design]:
    """Manifest and netlist of a tiny chip with adapter memory."""
    folder = tmp_path_factory.mktemp("mapped")
    plan = Plan(4, slots=2)
    graph = build(folder, checkpoints.tiny_gpt2, ("*.mlp.up",), 2, plan).graph
    made = shapes.Made(graph, emit(graph, plan))
    made.write(folder)
    job = yosys.synthesize_chip(folder / "chip.v", folder / "rom")
    base.run(job, folder / "job", folder / "log")
    return made.emitted.manifest, design.read(folder / "job/netlist.json")


def test_a_host_reaches_the_adapter_memory_alone(mapped) -> None:
    manifest, netlist = mapped
    findings, numbers = memory_class.of_netlist(netlist, manifest)
    assert findings == []
    # sum, place, status and the delayed word: the port is followed, not cut off at its pins
    assert numbers["registers a host reaches"] > 100
    assert numbers["registers of the slot in use"] == 2
    assert numbers["other memory cells"] >= 10


def wired(netlist: design.Design, cell: str, pin: str, source: str) -> design.Design:
    """The netlist with the first bit of a top-level instance's pin taken from another's."""
    chip = netlist["chip"]
    owner, _, port = source.partition(".")
    bit = chip.cells[owner].pins[port][0] if port else chip.ports[owner][0]
    found = chip.cells[cell]
    pins = {**found.pins, pin: (bit, *found.pins[pin][1:])}
    cells = {**chip.cells, cell: replace(found, pins=pins)}
    return {**netlist, "chip": replace(chip, cells=cells)}


@pytest.mark.parametrize(
    ("cell", "pin", "source", "words"),
    [
        ("memory", "d__payload", "adapter_write_data", "the adapter port reaches pin"),
        ("memory", "d__payload", "adapter_port.bank", "the adapter port reaches pin"),
        ("sequencer", "begin", "adapter_write", "the adapter port reaches the register"),
        ("sequencer", "limit", "adapter_port.opened", "the adapter port reaches"),
        ("adapter_memory", "write", "memory.done", "the datapath reaches the write enable"),
        ("adapter_memory", "write_data", "memory.a__payload", "the datapath reaches the write"),
    ],
)
def test_wires_astray_are_found(mapped, cell: str, pin: str, source: str, words: str) -> None:
    findings, _ = adapter_cone.of_netlist(wired(mapped[1], cell, pin, source))
    assert any(words in line for line in findings)


def test_a_slot_that_is_no_register_is_refused(mapped) -> None:
    netlist = mapped[1]
    kind = netlist["chip"].cells["adapter_port"].type
    port = netlist[kind]
    loose = replace(port, ports={**port.ports, "active": port.ports["memory_write"] * 2})
    with pytest.raises(design.EvidenceError, match="not driven by flip-flops"):
        adapter_cone.of_netlist({**netlist, kind: loose})
