"""`rtl_gen.blocks.serial_matvec` against `rtl_gen.golden.serial_matvec`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.serial_matvec import SerialMatVec
from rtl_gen.golden.serial_matvec import serial_matvec
from rtl_gen.ir.types import IntType
from tests.adders.matrices import MATRICES, SIMULATED
from tests.adders.primitives import CCU2C
from tests.blocks.drive import Bench, paced
from tests.blocks.vectors import pack, vectors
from tests.harness import parameters, run_cocotb


def test_golden_is_the_exact_sum() -> None:
    y = serial_matvec(np.array([[127, -128]]), np.array([[-8, 7], [0, 0]]))
    assert y.tolist() == [[127 * -8 - 128 * 7, 0]]


def test_unsigned_elements_are_refused() -> None:
    with pytest.raises(ValueError, match="signed"):
        SerialMatVec(np.ones((1, 1), np.int64), IntType(8, signed=False))


CASES: list[tuple[str, int, int, int | str]] = [
    *((name, 8, 1, 2) for name in SIMULATED),
    ("int4", 5, 1, 1),
    ("int8", 8, 1, 1),
    ("ternary", 2, 1, 2),
    ("int4", 8, 2, "ecp5"),
    ("zero rows and columns", 8, 3, "ecp5"),
    ("single column", 8, 4, "ecp5"),
    ("opposite rows", 8, 4, "portable"),
    ("int8", 8, 8, "ecp5"),
    ("ternary", 2, 4, "ecp5"),
]


@pytest.mark.cocotb
@pytest.mark.parametrize(("matrix", "width", "digit", "made"), CASES)
def test_block_equals_golden(
    matrix: str, width: int, digit: int, made: int | str, tmp_path: Path
) -> None:
    made_of = {"stages": made} if isinstance(made, int) else {"cells": made}
    block = SerialMatVec(
        MATRICES[matrix], IntType(width), digit=digit, rounds=20 * (width == 8), **made_of
    )
    run_cocotb(
        block,
        module=__name__,
        build_dir=tmp_path,
        verilog_text=block.core.verilog + (CCU2C if made == "ecp5" else ""),
        parameters={
            "matrix": matrix,
            "width": width,
            "acc": block.acc.width,
            "period": block.period,
            "latency": block.period + block.core.latency + 2,
        },
    )


@cocotb.test()
@paced
async def words_equal_golden(dut: Any, idle: str, stall: str) -> None:
    weight, kind = MATRICES[parameters()["matrix"]], IntType(parameters()["width"])
    bench = Bench(dut, ["i"], idle, stall, signed=False)
    await bench.reset()
    x = vectors(bench.rng, kind, weight, 6)
    expected = pack(serial_matvec(x, weight), parameters()["acc"])
    await bench.exchange(expected, parameters()["matrix"], i=pack(x, kind.width))
    # An empty pipeline begins anew at any phase.
    await bench.exchange(expected[:2], "after a pause", i=pack(x[:2], kind.width))


@cocotb.test()
async def a_word_enters_every_period(dut: Any) -> None:
    weight, width = MATRICES[parameters()["matrix"]], parameters()["width"]
    bench = Bench(dut, ["i"], "steady", "steady", signed=False)
    await bench.reset()
    x = np.zeros((4, weight.shape[1]), np.int64)
    taken = await bench.cycles(4, i=pack(x, width))
    assert taken == parameters()["latency"] + 3 * parameters()["period"]
