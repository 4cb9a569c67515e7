"""`rtl_gen.blocks.lookup` against `rtl_gen.golden.lookup`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.lookup import Lookup
from rtl_gen.fabric import rom
from rtl_gen.golden.lookup import lookup
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, configure, numbers, paced
from tests.harness import parameters, run_cocotb, seed


def tables(types: list[str], width: int) -> list[np.ndarray]:
    """One random table of i`width` elements per input type, ends of the range included."""
    rng = np.random.default_rng(seed())
    return [numbers(rng, IntType(width), 1 << IntType.parse(t).width) for t in types]


def test_golden_starts_at_the_smallest_input() -> None:
    table = np.arange(16)
    assert lookup(np.array([-8, 0, 7]), table, IntType(4)).tolist() == [0, 8, 15]
    assert lookup(np.array([0, 15]), table, IntType(4, signed=False)).tolist() == [0, 15]


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("types", "width"), [(["i8"], 16), (["u5", "i8", "u8", "i3"], 9), (["u1"], 4)]
)
def test_block_equals_golden(types: list[str], width: int, tmp_path: Path) -> None:
    words = np.concatenate(tables(types, width))
    run_cocotb(
        Lookup(depth=len(words), width=width),
        module=__name__,
        build_dir=tmp_path,
        parameters={"types": types, "width": width},
        files={"rom/lookup.hex": rom.image(words, width)},
    )


@cocotb.test()
@paced
async def every_input_and_random_order(dut: Any, idle: str, stall: str) -> None:
    types, width = parameters()["types"], parameters()["width"]
    bench = Bench(dut, ["i"], idle, stall)
    await bench.reset(offset=0)
    base = 0
    for text, table in zip(types, tables(types, width), strict=True):
        kind = IntType.parse(text)
        configure(dut, {"offset": base - kind.min})
        x = np.concatenate([np.arange(kind.min, kind.max + 1), numbers(bench.rng, kind, 30)])
        await bench.exchange(lookup(x, table, kind), text, i=x)
        base += len(table)


@cocotb.test()
async def latency_3_and_one_transfer_per_cycle(dut: Any) -> None:
    bench = Bench(dut, ["i"], "steady", "steady")
    await bench.reset(offset=0)
    assert await bench.cycles(1, i=[0]) == 3
    assert await bench.cycles(20, i=[0] * 20) == 3 + 19
