"""Constant factors, rounding and saturation against the golden function."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from amaranth import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from flow.testbench.stream import start
from rtl_gen.golden.requantize import requantize
from rtl_gen.ir.types import IntType
from rtl_gen.space.arithmetic import digits, requantize_cycles, requantized
from tests.harness import parameters, run_cocotb, seed

TYPES = [IntType(6), IntType(6, signed=False), IntType(16)]
CASES = [
    (factor, shift, type_, offset)
    for factor in (1, -1, 8, -8, 3, -23, 40503)
    for shift in (0, 1, 4, 9, 12)
    for type_ in TYPES
    for offset in (0, 5 * factor)
]
CYCLES = max(requantize_cycles(case[0]) for case in CASES)


class Requantizers(wiring.Component):
    """One of every case."""

    def __init__(self) -> None:
        ports = {f"o{k}": Out(case[2].width) for k, case in enumerate(CASES)}
        super().__init__({"i": In(signed(9)), **ports})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for k, (factor, shift, type_, offset) in enumerate(CASES):
            m.d.comb += getattr(self, f"o{k}").eq(
                requantized(m, self.i, factor, shift, type_, offset)
            )
        return m


@pytest.mark.cocotb
def test_requantized_is_the_golden_function(tmp_path: Path) -> None:
    rng = np.random.default_rng(seed())
    x = np.array([-256, 255, 0, -1, 1, *rng.integers(-256, 256, 60)])
    want = [
        requantize(x * factor + offset, np.array(1), shift, type_).tolist()
        for factor, shift, type_, offset in CASES
    ]
    run_cocotb(
        Requantizers(),
        module=__name__,
        build_dir=tmp_path,
        parameters={"x": x.tolist(), "want": np.transpose(want).tolist()},
        testcase="all_cases",
    )


@cocotb.test()
async def all_cases(dut: Any) -> None:
    dut.i.value = 0
    await start(dut)
    for x, want in zip(parameters()["x"], parameters()["want"], strict=True):
        dut.i.value = x
        for _ in range(CYCLES + 1):
            await RisingEdge(dut.clk)
        for k, (case, exact) in enumerate(zip(CASES, want, strict=True)):
            value = getattr(dut, f"o{k}").value
            got = value.to_signed() if case[2].signed else value.to_unsigned()
            assert got == exact, (x, case)


@pytest.mark.parametrize("number", [1, 2, 3, 7, 23, 40503, 65535])
def test_digits_make_the_number(number: int) -> None:
    found = digits(number)
    assert sum(sign << shift for shift, sign in found) == number
    assert all(b - a > 1 for (a, _), (b, _) in itertools.pairwise(found))
