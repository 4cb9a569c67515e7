"""`rtl_gen.blocks.mul` against `rtl_gen.golden.mul`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.mul import Mul
from rtl_gen.golden.mul import mul
from rtl_gen.ir.types import Dyadic, IntType
from tests.blocks.drive import Bench, configure, edges, numbers, paced
from tests.harness import parameters, run_cocotb


def test_golden_rounds_negative_halves_towards_plus_infinity() -> None:
    product = mul(np.array([-3, 3]), np.array([1, 1]), Dyadic(1, 1), IntType(8))
    assert product.tolist() == [-1, 2]


@pytest.mark.cocotb
@pytest.mark.parametrize("width", [8, 17])
def test_block_equals_golden(width: int, tmp_path: Path) -> None:
    run_cocotb(Mul(width=width), module=__name__, build_dir=tmp_path, parameters={"width": width})


@cocotb.test()
@paced
async def random_and_edge_values(dut: Any, idle: str, stall: str) -> None:
    kind = IntType(parameters()["width"])
    bench = Bench(dut, ["a", "b"], idle, stall)
    await bench.reset(low=kind.min, high=kind.max, multiplier=1, shift=0)
    pairs = np.array([(a, b) for a in edges(kind) for b in edges(kind)])
    scales = [Dyadic(1, 0), Dyadic(65535, 47), Dyadic(40000, kind.width + 14), Dyadic(3, 1)]
    for scale in scales:
        for out in (kind, IntType(7, signed=False)):
            configure(
                dut,
                {
                    "low": out.min,
                    "high": out.max,
                    "multiplier": scale.multiplier,
                    "shift": scale.shift,
                },
            )
            a = np.concatenate([pairs[:, 0], numbers(bench.rng, kind, 40)])
            b = np.concatenate([pairs[:, 1], numbers(bench.rng, kind, 40)])
            await bench.exchange(mul(a, b, scale, out), f"{scale}, {out}", a=a, b=b)


@cocotb.test()
async def latency_7_and_one_transfer_per_cycle(dut: Any) -> None:
    bench = Bench(dut, ["a", "b"], "steady", "steady")
    await bench.reset(low=0, high=1, multiplier=1, shift=0)
    assert await bench.cycles(1, a=[0], b=[0]) == 7
    assert await bench.cycles(20, a=[0] * 20, b=[0] * 20) == 7 + 19
