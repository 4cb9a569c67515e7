"""Adder graphs for inputs that hold still: plain text and carry cells against exact products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import Timer

from flow.simulate import CELLS
from rtl_gen.adders import share
from rtl_gen.adders.held import held_core
from rtl_gen.ir.types import IntType
from tests.harness import parameters, run_cocotb, seed

X = IntType(5)


def matrix() -> np.ndarray:
    """Signs of both kinds, rows of one weight, of none, and the extremes."""
    rng = np.random.default_rng(seed())
    weight = rng.integers(-8, 8, (9, 7))
    weight[0] = 0
    weight[1] = [0, 0, -4, 0, 0, 0, 0]
    weight[2] = -8
    return weight


@pytest.mark.cocotb
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("cells", [False, True])
def test_sums_are_exact(cells: bool, levels: int, tmp_path: Path) -> None:
    weight = matrix()
    rng = np.random.default_rng(seed())
    graph = share(weight)
    core = held_core(graph, X, "dut", levels=levels)
    vectors = np.vstack([
        rng.integers(X.min, X.max + 1, (40, 7)), np.full((1, 7), X.min), np.full((1, 7), X.max)
    ])  # fmt: skip
    run_cocotb(
        ("`define CARRY_CELLS\n" if cells else "") + core.verilog,
        module=__name__,
        build_dir=tmp_path,
        verilog_text=CELLS.read_text() if cells else "",
        parameters={
            "vectors": vectors.tolist(),
            "want": (vectors @ weight.T).tolist(),
            "places": core.places,
            "outputs": [None if o is None else [o.shift, o.sign] for o in graph.outputs],
            "latency": core.latency,
        },
        testcase="products",
    )


@cocotb.test()
async def products(dut: Any) -> None:
    given = parameters()
    for vector, want in zip(given["vectors"], given["want"], strict=True):
        mask = (1 << X.width) - 1
        dut.x.value = sum((x & mask) << (X.width * k) for k, x in enumerate(vector))
        for _ in range(given["latency"]):
            for level in (0, 1):
                dut.clk.value = level
                await Timer(1, "ns")
        word = dut.y.value.to_unsigned()
        for place, output, exact in zip(given["places"], given["outputs"], want, strict=True):
            if place is None:
                assert exact == 0
                continue
            (low, width), (shift, sign) = place, output
            value = word >> low & (1 << width) - 1
            value -= (value >> width - 1) << width
            assert sign * (value << shift) == exact


def test_unsigned_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="signed inputs"):
        held_core(share(matrix()), IntType(5, signed=False), "dut")
