"""`rtl_gen.blocks.add` against `rtl_gen.golden.add`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.add import Add
from rtl_gen.golden.add import add
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, configure, edges, numbers, paced
from tests.harness import parameters, run_cocotb


def test_golden_saturates_both_ways() -> None:
    a = np.array([-128, 127, 100, -1])
    assert add(a, a, IntType(8)).tolist() == [-128, 127, 127, -2]
    assert add(a, a, IntType(8, signed=False)).tolist() == [0, 254, 200, 0]


@pytest.mark.cocotb
@pytest.mark.parametrize("width", [8, 17])
def test_block_equals_golden(width: int, tmp_path: Path) -> None:
    run_cocotb(Add(width=width), module=__name__, build_dir=tmp_path, parameters={"width": width})


@cocotb.test()
@paced
async def random_and_edge_values(dut: Any, idle: str, stall: str) -> None:
    kind = IntType(parameters()["width"])
    bench = Bench(dut, ["a", "b"], idle, stall)
    await bench.reset(low=kind.min, high=kind.max)
    pairs = np.array([(a, b) for a in edges(kind) for b in edges(kind)])
    for out in (kind, IntType(kind.width - 1, signed=False), IntType(5)):
        configure(dut, {"low": out.min, "high": out.max})
        a = np.concatenate([pairs[:, 0], numbers(bench.rng, kind, 60)])
        b = np.concatenate([pairs[:, 1], numbers(bench.rng, kind, 60)])
        await bench.exchange(add(a, b, out), str(out), a=a, b=b)


@cocotb.test()
async def latency_2_and_one_transfer_per_cycle(dut: Any) -> None:
    bench = Bench(dut, ["a", "b"], "steady", "steady")
    await bench.reset(low=0, high=1)
    assert await bench.cycles(1, a=[0], b=[0]) == 2
    assert await bench.cycles(20, a=[0] * 20, b=[0] * 20) == 2 + 19
