"""Digit-serial products in space against the golden function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from flow.testbench.stream import start
from rtl_gen.golden.const_matvec import const_matvec
from rtl_gen.ir.types import IntType
from rtl_gen.space.serial_product import SerialProduct
from tests.harness import parameters, run_cocotb, seed

OUT = IntType(6)


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("shape", "x"),
    [((9, 5), IntType(6)), ((4, 11), IntType(6, signed=False)), ((1, 1), IntType(2))],
    ids=["signed", "unsigned", "one"],
)
def test_products_are_golden(shape: tuple[int, int], x: IntType, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed())
    weight = rng.integers(-4, 5, shape)
    weight[0, 0] = 3
    factor = 1 << rng.integers(0, 3, shape[0])
    dut = SerialProduct(weight, None, factor, 5, x, OUT, name="core")
    vectors = rng.integers(x.min, x.max + 1, (20, shape[1]))
    vectors[0], vectors[1] = x.min, x.max
    want = const_matvec(vectors, weight, None, factor, 5, OUT)
    run_cocotb(
        dut,
        module=__name__,
        build_dir=tmp_path,
        parameters={"x": vectors.tolist(), "want": want.tolist(), "latency": dut.latency,
                    "width": x.width},
        verilog_text=dut.verilog,
        testcase="all_vectors",
    )  # fmt: skip


@cocotb.test()
async def all_vectors(dut: Any) -> None:
    width, latency = parameters()["width"], parameters()["latency"]
    dut.start.value = dut.i.value = 0
    await start(dut)
    for number, (x, want) in enumerate(zip(parameters()["x"], parameters()["want"], strict=True)):
        dut.i.value = sum((v & (1 << width) - 1) << width * k for k, v in enumerate(x))
        dut.start.value = 1
        await RisingEdge(dut.clk)
        dut.start.value = 0
        for _ in range(latency + number % 3):
            await RisingEdge(dut.clk)
        got = dut.o.value.to_unsigned()
        for k, exact in enumerate(want):
            assert got >> OUT.width * k & 63 == exact & 63, (x, k)
