"""`rtl_gen.blocks.rotary` against `rtl_gen.golden.rotary`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_gen.blocks.rotary import Rotary
from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import pack
from rtl_gen.golden.rotary import rotary
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb, seed

I16 = IntType(16)


def angles(half: int, context: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Two pairs of cosine and sine tables: real angles at 14 fraction bits, any i16 numbers."""
    position, j = np.meshgrid(np.arange(context), np.arange(half), indexing="ij")
    angle = position * 10000.0 ** (-j / half)
    real = [np.rint((1 << 14) * f(angle)).astype(np.int64) for f in (np.cos, np.sin)]
    rng = np.random.default_rng(seed())
    drawn = [numbers(rng, I16, context * half).reshape(context, half) for _ in range(2)]
    return [(real[0], real[1]), (drawn[0], drawn[1])]


def test_golden_at_position_zero_is_the_identity() -> None:
    x = np.array([[1, -2, 3, 127]])
    (cos, sin), _ = angles(2, 3)
    assert rotary(x, 0, cos, sin, 1, 14, IntType(8)).tolist() == x.tolist()


def test_golden_pairs_the_halves_of_each_head() -> None:
    x = np.array([[1, 2, 3, 4, 10, 20, 30, 40]])
    quarter = (np.zeros((1, 2), np.int64), np.full((1, 2), 1 << 14))
    y = rotary(x, 0, *quarter, 2, 14, IntType(8))
    assert y.tolist() == [[-3, -4, 1, 2, -30, -40, 10, 20]]


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("half", "context", "width", "elements"),
    [(4, 32, 16, 1), (1, 3, 8, 1), (5, 7, 17, 1), (6, 5, 17, 2), (4, 3, 8, 4)],
)
def test_block_equals_golden(
    half: int, context: int, width: int, elements: int, tmp_path: Path
) -> None:
    mask = (1 << 16) - 1
    pairs = [
        (int(c) & mask) | (int(s) & mask) << 16
        for cos, sin in angles(half, context)
        for c, s in zip(cos.ravel(), sin.ravel(), strict=True)
    ]
    words = pack(pairs, 32, elements)
    run_cocotb(
        Rotary(
            half=half // elements,
            depth=len(words),
            context=context,
            width=width,
            elements=elements,
        ),
        module=__name__,
        build_dir=tmp_path,
        parameters={"half": half, "context": context, "width": width, "elements": elements},
        files={"rom/rotary.hex": rom.image(words, elements * 32)},
    )


@cocotb.test()
@paced
async def every_table_at_the_ends_of_the_context(dut: Any, idle: str, stall: str) -> None:
    half, context, width, elements = parameters().values()
    kind = IntType(width)
    bench = Bench(dut, ["i"], idle, stall, elements=elements)
    await bench.reset(start=0, position=0, table_base=0, shift=0, low=0, high=0)
    for table, (cos, sin) in enumerate(angles(half, context)):
        for position in (0, 1, context - 1):
            for heads, shift, out in (
                (1, 14, kind),
                (3, 14, IntType(7)),
                (2, 0, kind),
                (2, 33, kind),
            ):
                x = numbers(bench.rng, kind, heads * 2 * half)
                y = rotary(x[None], position, cos, sin, heads, shift, out)
                await bench.begin(
                    position=position,
                    table_base=table * context * half // elements,
                    shift=shift,
                    low=out.min,
                    high=out.max,
                )
                # A beat of first sides, then the beat of their second sides.
                sides = [
                    vector.reshape(heads, 2, half // elements, elements).transpose(0, 2, 1, 3)
                    for vector in (x, y)
                ]
                await bench.exchange(
                    sides[1].ravel(),
                    f"table {table}, position {position}, {heads} heads, shift {shift}, {out}",
                    i=sides[0].ravel(),
                )


@cocotb.test()
async def latency_10_and_one_transfer_per_cycle(dut: Any) -> None:
    half, _, _, elements = parameters().values()
    bench = Bench(dut, ["i"], "steady", "steady", elements=elements)
    await bench.reset(start=0, position=0, table_base=0, shift=0, low=0, high=0)
    await bench.begin()
    beats = 2 * half // elements
    assert await bench.cycles(beats, i=[0] * 2 * half) == 10 + beats - 1
