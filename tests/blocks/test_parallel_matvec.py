"""`rtl_gen.blocks.parallel_matvec` against `rtl_gen.golden.parallel_matvec`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.parallel_matvec import ParallelMatVec
from rtl_gen.golden.parallel_matvec import parallel_matvec
from rtl_gen.ir.types import IntType
from tests.adders.matrices import MATRICES, SIMULATED
from tests.blocks.drive import Bench, paced
from tests.blocks.vectors import pack, vectors
from tests.harness import parameters, run_cocotb


def test_golden_is_the_exact_sum() -> None:
    y = parallel_matvec(np.array([[127, -128]]), np.array([[-8, 7], [0, 0]]))
    assert y.tolist() == [[127 * -8 - 128 * 7, 0]]


def test_unsigned_elements_are_refused() -> None:
    with pytest.raises(ValueError, match="signed"):
        ParallelMatVec(np.ones((1, 1), np.int64), IntType(8, signed=False))


CASES = [*((name, 8, 2) for name in SIMULATED), ("int4", 5, 1), ("ternary", 2, 9)]


@pytest.mark.cocotb
@pytest.mark.parametrize(("matrix", "width", "levels"), CASES)
def test_block_equals_golden(matrix: str, width: int, levels: int, tmp_path: Path) -> None:
    block = ParallelMatVec(MATRICES[matrix], IntType(width), levels=levels)
    run_cocotb(
        block,
        module=__name__,
        build_dir=tmp_path,
        verilog_text=block.core.verilog,
        parameters={
            "matrix": matrix,
            "width": width,
            "acc": block.acc.width,
            "latency": block.core.latency,
        },
    )


@cocotb.test()
@paced
async def vectors_equal_golden(dut: Any, idle: str, stall: str) -> None:
    weight, kind = MATRICES[parameters()["matrix"]], IntType(parameters()["width"])
    bench = Bench(dut, ["i"], idle, stall, signed=False)
    await bench.reset()
    x = vectors(bench.rng, kind, weight, 20)
    expected = pack(parallel_matvec(x, weight), parameters()["acc"])
    await bench.exchange(expected, parameters()["matrix"], i=pack(x, kind.width))


@cocotb.test()
async def a_vector_enters_every_cycle(dut: Any) -> None:
    weight, width = MATRICES[parameters()["matrix"]], parameters()["width"]
    bench = Bench(dut, ["i"], "steady", "steady", signed=False)
    await bench.reset()
    x = np.zeros((4, weight.shape[1]), np.int64)
    assert await bench.cycles(4, i=pack(x, width)) == parameters()["latency"] + 3
