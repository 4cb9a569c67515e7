"""Solver proofs of small blocks, and the faults that they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import z3

from flow.evidence import design, invariant
from flow.evidence.design import Cell, Design
from flow.evidence.term import proved
from flow.tools import base, yosys
from rtl_gen.blocks.requantize import Requantize
from rtl_gen.verilog import convert
from tests.flow.evidence import shapes


@pytest.fixture(scope="module")
def rtl(tmp_path_factory: pytest.TempPathFactory) -> Design:
    folder = tmp_path_factory.mktemp("invariant")
    shapes.make("mlp", folder / "checkpoint").write(folder)
    base.run(yosys.elaborate(folder / "chip.v", folder / "rom"), folder / "job", folder / "log")
    return design.read(folder / "job/rtl.json")


def only(rtl: Design, *names: str) -> Design:
    return {name: rtl[name] for name in names}


def changed(rtl: Design, name: str, change: Callable[[str, Cell], Cell | None]) -> Design:
    """The module called `name` with the first cell that `change` changes."""
    module = rtl[name]
    for key, cell in module.cells.items():
        other = change(key, cell)
        if other is not None:
            return {name: replace(module, cells={**module.cells, key: other})}
    raise AssertionError(f"{name} has no such cell")


def of_type(old: str, new: str) -> Callable[[str, Cell], Cell | None]:
    return lambda key, cell: replace(cell, type=new) if cell.type == old else None


def test_blocks_and_invariants_are_proved(rtl: Design) -> None:
    found, numbers = invariant.findings(rtl)
    assert found == []
    assert numbers["roundings"] >= 1
    assert numbers["streams"] >= 2
    assert numbers["buffers"] >= 2
    assert numbers["lanes"] == 1


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("chip.matvec.scale.requantize0", "$gt", "$lt", "rounding"),
        ("chip.matvec.scale.requantize0", "$sshr", "$shr", "rounding"),
        ("chip.skid", "$and", "$or", "a buffer"),
        ("chip.skid", "$or", "$and", "a buffer"),
    ],
)
def test_a_wrong_gate_is_refused(rtl: Design, name: str, old: str, new: str, says: str) -> None:
    found, _ = invariant.findings(changed(rtl, name, of_type(old, new)))
    assert found
    assert any(says in line for line in found), found


def test_a_stream_that_may_stall_keeps_what_it_offers(tmp_path: Path) -> None:
    (tmp_path / "chip.v").write_text(convert(Requantize(20, 8), "chip"))
    base.run(
        yosys.elaborate(tmp_path / "chip.v", tmp_path / "rom"), tmp_path / "job", tmp_path / "log"
    )
    alone = only(design.read(tmp_path / "job/rtl.json"), "chip")
    found, numbers = invariant.findings(alone)
    assert found == []
    assert numbers["streams"] == 1
    found, _ = invariant.findings(changed(alone, "chip", of_type("$or", "$and")))
    assert any("without cause" in line for line in found), found


def test_a_group_too_many_is_refused(rtl: Design) -> None:
    """Ready that asks the low bit of the count instead of the high one."""
    count = rtl["chip.matvec"].nets["outstanding"]

    def change(key: str, cell: Cell) -> Cell | None:
        if cell.type != "$not" or tuple(cell.pins["A"]) != (count[1],):
            return None
        return replace(cell, pins={**cell.pins, "A": ("0",)})

    found, _ = invariant.findings(changed(rtl, "chip.matvec", change))
    assert any("outstanding groups" in line for line in found)


def test_a_claim_that_takes_too_long_does_not_hold() -> None:
    a, b = z3.BitVecs("a b", 40)
    hard = z3.Implies(z3.And(a > 1, b > 1, z3.ULT(a, 1 << 19), z3.ULT(b, 1 << 19)),
                      a * b != 137438953481)  # fmt: skip
    assert proved(hard, seconds=1) != ""
    assert proved(a + b == b + a) == ""
    assert "a =" in proved(a == b)
