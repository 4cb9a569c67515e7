"""`rtl_gen.fabric.lockstep`: copies of a block act on beats as one block does on elements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.add import Add
from rtl_gen.fabric.lockstep import Lockstep
from rtl_gen.golden.add import add
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, configure, edges, numbers, paced
from tests.harness import run_cocotb

WIDTH = 7
COPIES = 3


@pytest.mark.cocotb
def test_copies_of_add_equal_golden(tmp_path: Path) -> None:
    copies = [Add(width=WIDTH) for _ in range(COPIES)]
    run_cocotb(Lockstep(copies, ["a", "b"], WIDTH), module=__name__, build_dir=tmp_path)


@cocotb.test()
@paced
async def random_and_edge_values(dut: Any, idle: str, stall: str) -> None:
    kind = IntType(WIDTH)
    bench = Bench(dut, ["a", "b"], idle, stall, elements=COPIES)
    await bench.reset(low=kind.min, high=kind.max)
    pairs = np.array([(a, b) for a in edges(kind) for b in edges(kind)])
    extra = 60 + -(len(pairs) + 60) % COPIES
    for out in (kind, IntType(WIDTH - 1, signed=False), IntType(4)):
        configure(dut, {"low": out.min, "high": out.max})
        a = np.concatenate([pairs[:, 0], numbers(bench.rng, kind, extra)])
        b = np.concatenate([pairs[:, 1], numbers(bench.rng, kind, extra)])
        await bench.exchange(add(a, b, out), str(out), a=a, b=b)


@cocotb.test()
async def latency_and_throughput_are_those_of_one_copy(dut: Any) -> None:
    bench = Bench(dut, ["a", "b"], "steady", "steady", elements=COPIES)
    await bench.reset(low=0, high=1)
    for count in (1, 20):
        zeros = [0] * (count * COPIES)
        assert await bench.cycles(count, a=zeros, b=zeros) == 2 + count - 1
