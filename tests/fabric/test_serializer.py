"""`rtl_gen.fabric.serializer`: the elements of every beat, first element first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import pytest

from rtl_gen.fabric.serializer import Serializer
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, numbers, paced, pack
from tests.harness import parameters, run_cocotb


@pytest.mark.cocotb
@pytest.mark.parametrize(("width", "elements"), [(8, 1), (5, 3)])
def test_elements_leave_in_order(width: int, elements: int, tmp_path: Path) -> None:
    run_cocotb(
        Serializer(width, elements),
        module=__name__,
        build_dir=tmp_path,
        parameters={"width": width, "elements": elements},
    )


@cocotb.test()
@paced
async def order_is_kept_and_nothing_is_lost(dut: Any, idle: str, stall: str) -> None:
    width, elements = parameters().values()
    bench = Bench(dut, ["i"], idle, stall)
    await bench.reset()
    values = numbers(bench.rng, IntType(width), 60 * elements)
    await bench.exchange(
        values, f"{elements} elements of {width} bits", i=pack(values, width, elements)
    )


@cocotb.test()
async def latency_0_and_one_element_per_cycle(dut: Any) -> None:
    elements = parameters()["elements"]
    bench = Bench(dut, ["i"], "steady", "steady")
    await bench.reset()
    # The first beat's transfer is the one of its last element; the other beats follow it.
    assert await bench.cycles(10 * elements, i=[0] * 10) == 9 * elements
