"""Norms whose elements take turns at the multipliers, against the golden function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from flow.testbench.stream import start
from rtl_gen.fabric import rom
from rtl_gen.golden.norm import norm
from rtl_gen.ir import tables
from rtl_gen.ir.integer import Constant, Norm
from rtl_gen.ir.types import IntType
from rtl_gen.space.norm import SpaceNorm
from tests.harness import parameters, run_cocotb, seed

OP = Norm("gain", None, eps=90, center=False, fraction=10, shift=12)
OUT = IntType(6)


def block(size: int, width: int, sharing: int, gains: list[int] | None = None) -> SpaceNorm:
    gain = np.array(gains or [512] * size)
    return SpaceNorm(OP, IntType(width), OUT, Constant(IntType(16), gain), None, sharing)


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("size", "width", "sharing"),
    [(24, 10, 4), (10, 12, 4), (7, 16, 2), (3, 8, 8), (9, 10, 1)],
    ids=["whole", "rest", "wide", "one_multiplier", "none_shared"],
)
def test_turns_give_the_golden_norm(size: int, width: int, sharing: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed())
    dut = block(size, width, sharing)
    assert (dut.turns > 1) == (sharing > 1)
    limit = 1 << width - 1
    x = rng.integers(-limit, limit, (12, size)) >> rng.integers(0, width, (12, 1))
    x[0], x[1], x[2] = -limit, limit - 1, 0
    want = norm(x, dut.gain, None, OP.eps, OP.center, OP.fraction, OP.shift, OUT)
    run_cocotb(
        dut,
        module=__name__,
        build_dir=tmp_path,
        parameters={
            "x": x.tolist(), "want": want.tolist(), "latency": dut.latency, "width": width,
        },
        files={"rom/rsqrt.hex": rom.image(tables.rsqrt(), 16)},
        testcase="all_vectors",
    )  # fmt: skip


@cocotb.test()
async def all_vectors(dut: Any) -> None:
    width, latency = parameters()["width"], parameters()["latency"]
    dut.start.value = dut.restart.value = dut.i.value = 0
    await start(dut)
    for x, want in zip(parameters()["x"], parameters()["want"], strict=True):
        dut.restart.value = 1
        await RisingEdge(dut.clk)
        dut.restart.value = 0
        for _ in range(3):
            await RisingEdge(dut.clk)
        dut.i.value = sum((v & (1 << width) - 1) << width * k for k, v in enumerate(x))
        dut.start.value = 1
        await RisingEdge(dut.clk)
        dut.start.value = 0
        for _ in range(latency):
            await RisingEdge(dut.clk)
        got = dut.o.value.to_unsigned()
        for k, exact in enumerate(want):
            assert got >> OUT.width * k & 63 == exact & 63, (x, k)


def test_elements_of_different_gains_do_not_take_turns() -> None:
    assert block(4, 10, 2, [256, 512, 512, 512]).turns == 1
