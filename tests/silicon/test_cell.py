"""Functions of the standard cells against their transistors."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from flow.silicon import cell, characterize
from rtl_gen.errors import FlowError

STORED = Path(__file__).parent / "stored"
LIBRARY = cell.read(STORED / "library.json")
# Of a tie cell each transistor is held on by the other's output.
GATES = sorted(
    name for name, item in LIBRARY.cells.items()
    if item.functions and item.inputs and not item.flip_flop
)  # fmt: skip


def settle(circuit: str, levels: Mapping[str, int]) -> dict[str, int]:
    """Levels of all nets: a net on a path of conducting transistors has the level at its end."""
    transistors = [
        (fields[1], fields[2], fields[3], "pfet" in fields[5])
        for fields in map(str.split, circuit.splitlines())
        if fields and fields[0].startswith("M")
    ]
    known = {"vdd": 1, "vss": 0, **levels}
    while True:
        found = dict(known)
        for one, gate, other, is_p in transistors:
            if gate in found and found[gate] == (0 if is_p else 1):
                for source, sink in ((one, other), (other, one)):
                    if source in found:
                        assert found.setdefault(sink, found[source]) == found[source], "a short"
        if found == known:
            return known
        known = found


@pytest.fixture(scope="module")
def circuits(views: Path) -> str:
    """Circuits of the cells."""
    return (views / "cells.spi").read_text()


@pytest.mark.parametrize("name", GATES)
def test_a_gate_computes_what_its_transistors_do(name: str, circuits: str) -> None:
    item = LIBRARY.cells[name]
    circuit, ports = characterize.circuit(circuits, name)
    assert set(ports) == {*item.pins, "vdd", "vss"}
    for values in itertools.product((0, 1), repeat=len(item.inputs)):
        levels = dict(zip(item.inputs, values, strict=True))
        settled = settle(circuit, levels)
        for pin, function in item.functions.items():
            assert settled[pin] == cell.evaluate(function, levels), (name, levels)


def test_a_cell_that_is_not_what_its_name_says_is_not_used() -> None:
    assert LIBRARY.cells["nexor2_x0"].functions == {"q": "i0 ^ i1"}
    assert not LIBRARY.cells["nexor2_x0"].usable
    assert LIBRARY.cells["xor2_x0"].usable


def test_areas_are_those_of_the_layouts() -> None:
    assert LIBRARY.cells["nand2_x0"].area == pytest.approx(1.52 * 6.08)
    assert all(item.height == LIBRARY.row_height for item in LIBRARY.cells.values())


def test_verilog_models_every_cell_that_a_netlist_may_have() -> None:
    modules = set(re.findall(r"^module (\w+)", cell.verilog(LIBRARY), re.MULTILINE))
    usable = {name for name, item in LIBRARY.cells.items() if item.usable}
    assert usable | {"one_x1", "zero_x1", "diode_w1"} <= modules


def test_an_unknown_cell_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "library.json"
    path.write_text('{"row_height": 6.08, "grid": 0.76, "cells": {"maj3_x1": '
                    '{"width": 3, "height": 6.08, "pins": ["i0", "i1", "i2", "q"]}}}')  # fmt: skip
    with pytest.raises(FlowError, match="no function for cell 'maj3_x1'"):
        cell.read(path)
