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
    ("types", "width", "elements"),
    [(["i8"], 16, 1), (["u5", "i8", "u8", "i3"], 9, 2), (["u1"], 4, 1), (["i6", "u4"], 8, 4)],
)
def test_block_equals_golden(types: list[str], width: int, elements: int, tmp_path: Path) -> None:
    words = np.concatenate(tables(types, width))
    run_cocotb(
        Lookup(depth=len(words), width=width, elements=elements),
        module=__name__,
        build_dir=tmp_path,
        parameters={"types": types, "width": width, "elements": elements},
        files={"rom/lookup.hex": rom.image(words, width)},
    )


@cocotb.test()
@paced
async def every_input_and_random_order(dut: Any, idle: str, stall: str) -> None:
    types, width, elements = parameters().values()
    bench = Bench(dut, ["i"], idle, stall, elements=elements)
    await bench.reset(offset=0)
    base = 0
    for text, table in zip(types, tables(types, width), strict=True):
        kind = IntType.parse(text)
        configure(dut, {"offset": base - kind.min})
        x = np.concatenate([np.arange(kind.min, kind.max + 1), numbers(bench.rng, kind, 32)])
        x = x[: len(x) // elements * elements]
        await bench.exchange(lookup(x, table, kind), text, i=x)
        base += len(table)


@cocotb.test()
async def latency_3_and_one_transfer_per_cycle(dut: Any) -> None:
    elements = parameters()["elements"]
    bench = Bench(dut, ["i"], "steady", "steady", elements=elements)
    await bench.reset(offset=0)
    assert await bench.cycles(1, i=[0] * elements) == 3
    assert await bench.cycles(20, i=[0] * 20 * elements) == 3 + 19
