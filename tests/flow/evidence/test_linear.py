"""Exact linear forms: adder graphs are their matrices, and planted faults are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.evidence import design, linear
from flow.tools import base, yosys
from rtl_gen.adders import accumulator, parallel_core, share
from rtl_gen.ir.types import IntType
from tests.harness import seed

X = IntType(8)


def words(verilog: str, folder: Path) -> design.Module:
    folder.mkdir(exist_ok=True)
    (folder / "core.v").write_text(verilog)
    base.run(yosys.words(folder / "core.v", "core"), folder / "job", folder / "log")
    return design.read(folder / "job/words.json")["core"]


def matrix(rows: int, columns: int, bits: int) -> np.ndarray:
    rng = np.random.default_rng(seed())
    return rng.integers(-(1 << bits - 1), 1 << bits - 1, (rows, columns))


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> tuple[design.Module, np.ndarray, int, int]:
    weight = matrix(10, 12, 4)
    weight[3] = 0
    width = accumulator(weight, X).width
    core = parallel_core(share(weight), X, width, "core", levels=2)
    return words(core.verilog, tmp_path_factory.mktemp("core")), weight, width, core.latency


def test_an_adder_graph_is_its_matrix(proved) -> None:
    module, weight, width, latency = proved
    proof = linear.prove(module, weight, X, width)
    assert proof.findings == ()
    assert proof.latency == latency
    assert proof.words > 40


def test_every_wrong_weight_is_named(proved) -> None:
    module, weight, width, _ = proved
    for row, column in ((0, 0), (3, 5), (9, 11)):
        other = weight.copy()
        other[row, column] += 1
        (finding,) = linear.prove(module, other, X, width).findings
        assert finding.startswith(f"row {row}, column {column}: {weight[row, column]} in the RTL")


def test_an_exchanged_operand_is_named(proved) -> None:
    """An adder that subtracts."""
    module, weight, width, _ = proved
    name, cell = next((n, c) for n, c in module.cells.items() if c.type == "$add")
    broken = replace(module, cells={**module.cells, name: replace(cell, type="$sub")})
    assert "in the matrix" in linear.prove(broken, weight, X, width).findings[0]


def test_an_overflow_ends_the_proof(tmp_path: Path) -> None:
    weight = matrix(4, 6, 4)
    width = accumulator(weight, X).width - 1
    core = parallel_core(share(weight), X, width, "core")
    (finding,) = linear.prove(words(core.verilog, tmp_path), weight, X, width).findings
    assert f"in {width} bits" in finding


def test_words_of_different_age_end_the_proof(proved) -> None:
    """A register left out: its word comes a cycle early."""
    module, weight, width, _ = proved
    name, cell = next(
        (n, c) for n, c in module.cells.items()
        if c.type == "$dffe" and module.drivers.get(c.pins["D"][0], ("",))[0].startswith("$")
    )  # fmt: skip
    place = dict(zip(cell.pins["Q"], cell.pins["D"], strict=True))
    cells = {
        key: replace(
            item,
            pins={
                pin: bits if pin in item.outputs else tuple(place.get(bit, bit) for bit in bits)
                for pin, bits in item.pins.items()
            },
        )
        for key, item in module.cells.items()
        if key != name
    }
    ports = {**module.ports, "y": tuple(place.get(bit, bit) for bit in module.ports["y"])}
    (finding, *_) = linear.prove(
        replace(module, cells=cells, ports=ports), weight, X, width
    ).findings
    assert "different" in finding
