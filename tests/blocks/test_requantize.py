"""`rtl_gen.blocks.requantize` against `rtl_gen.golden.requantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.requantize import Requantize
from rtl_gen.golden.requantize import requantize
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb

I8, U8 = IntType(8), IntType(8, signed=False)


def test_golden_rounds_half_up() -> None:
    acc = np.array([-5, -3, -1, 1, 3, 5])
    assert requantize(acc, 1, 1, I8).tolist() == [-2, -1, 0, 1, 2, 3]


def test_golden_without_shift_adds_nothing() -> None:
    assert requantize(np.array([-1, 0, 1]), 3, 0, I8).tolist() == [-3, 0, 3]


def test_golden_saturates_at_the_type_of_the_result() -> None:
    acc = np.array([-300, -128, 127, 128, 300])
    assert requantize(acc, 1, 0, I8).tolist() == [-128, -128, 127, 127, 127]
    assert requantize(acc, 1, 0, U8).tolist() == [0, 0, 127, 128, 255]


def test_golden_is_exact_at_62_bits() -> None:
    acc, multiplier, shift = (1 << 45) + 1, 65535, 47
    exact = (acc * multiplier + (1 << 46)) >> 47
    assert requantize(np.array([acc]), multiplier, shift, IntType(20)).tolist() == [exact]


@pytest.mark.cocotb
@pytest.mark.parametrize(("acc_width", "width"), [(8, 9), (18, 16), (24, 16), (40, 17)])
def test_block_equals_golden(acc_width: int, width: int, tmp_path: Path) -> None:
    run_cocotb(
        Requantize(acc_width, width),
        module=__name__,
        build_dir=tmp_path,
        parameters={"acc_width": acc_width, "width": width},
    )


@cocotb.test()
@paced
async def random_and_edge_values(dut: Any, idle: str, stall: str) -> None:
    sizes = parameters()
    acc_type, widest = IntType(sizes["acc_width"]), IntType(sizes["width"])
    bench = Bench(dut, ["i"], idle, stall)
    await bench.reset(shift=0, low=0, high=0)
    for out in (I8, U8, widest):
        for shift in (0, 1, 15, int(bench.rng.integers(2, 47)), 47):
            acc = numbers(bench.rng, acc_type, 24)
            multiplier = numbers(bench.rng, IntType(16, signed=False), 24).clip(1)
            # Half of the products land near the range of the result instead of far outside.
            near = bench.rng.random(24) < 0.5
            acc = np.where(near, acc >> max(0, acc_type.width + 16 - shift - out.width), acc)
            payload = (acc & ((1 << acc_type.width) - 1)) | multiplier << acc_type.width
            dut.shift.value = shift
            dut.low.value, dut.high.value = (
                x & ((1 << widest.width) - 1) for x in (out.min, out.max)
            )
            await bench.exchange(
                requantize(acc, multiplier, shift, out), f"{out}, shift {shift}", i=payload
            )


@cocotb.test()
async def latency_5_and_one_transfer_per_cycle(dut: Any) -> None:
    bench = Bench(dut, ["i"], "steady", "steady")
    await bench.reset(shift=0, low=0, high=1)
    assert await bench.cycles(1, i=[0]) == 5
    assert await bench.cycles(20, i=[0] * 20) == 5 + 19
