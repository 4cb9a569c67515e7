"""`rtl_gen.blocks.max_pool` against `rtl_gen.golden.max_pool`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from rtl_gen.blocks.max_pool import MaxPool
from rtl_gen.golden.max_pool import max_pool
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb


def test_golden_drops_windows_that_leave_the_image() -> None:
    x = np.arange(15).reshape(1, 1, 3, 5)
    assert max_pool(x, (2, 2), (2, 2)).tolist() == [[[[6, 8]]]]


def test_golden_windows_may_overlap() -> None:
    x = np.array([[[[5, -1, 3, 3]]]])
    assert max_pool(x, (1, 2), (1, 1)).tolist() == [[[[5, 3, 3]]]]


@pytest.mark.cocotb
@pytest.mark.parametrize(("width", "max_window"), [(8, 4), (16, 9)])
def test_block_equals_golden(width: int, max_window: int, tmp_path: Path) -> None:
    run_cocotb(
        MaxPool(width=width, max_window=max_window),
        module=__name__,
        build_dir=tmp_path,
        parameters={"width": width, "max_window": max_window},
    )


@cocotb.test()
@paced
async def random_images_and_edges(dut: Any, idle: str, stall: str) -> None:
    kind = IntType(parameters()["width"])
    bench = Bench(dut, ["i"], idle, stall)
    await bench.reset(start=0, last=0)
    shapes = [((2, 2), (2, 2)), ((1, 1), (1, 1)), ((1, 3), (2, 1)), ((3, 3), (1, 2))]
    for kernel, stride in shapes:
        size = kernel[0] * kernel[1]
        if size > parameters()["max_window"]:
            continue
        for x in (
            numbers(bench.rng, kind, 50).reshape(1, 2, 5, 5),
            np.full((1, 1, 4, 5), kind.min),
            np.full((1, 1, 4, 5), -1),
        ):
            windows = sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
            await bench.begin(last=size - 1)
            await bench.exchange(
                max_pool(x, kernel, stride).ravel(),
                f"kernel {kernel}, stride {stride}",
                i=windows.ravel(),
            )


@cocotb.test()
async def start_forgets_a_partial_window(dut: Any) -> None:
    bench = Bench(dut, ["i"], "steady", "steady")
    await bench.reset(start=0, last=3)
    await bench.begin(last=3)
    await bench.exchange([], "half a window", i=[100, 101])
    await bench.begin(last=3)
    await bench.exchange([4], "the next window", i=[1, 2, 3, 4])


@cocotb.test()
async def latency_1_and_one_element_per_cycle(dut: Any) -> None:
    bench = Bench(dut, ["i"], "steady", "steady")
    await bench.reset(start=0, last=3)
    await bench.begin(last=3)
    assert await bench.cycles(1, i=[0] * 4) == 3 + 1
    assert await bench.cycles(5, i=[0] * 20) == 19 + 1
