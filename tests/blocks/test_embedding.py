"""`rtl_gen.blocks.embedding` against `rtl_gen.golden.embedding`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_gen.blocks.embedding import Embedding
from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import pack
from rtl_gen.golden.embedding import embedding
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb, seed

Table = tuple[NDArray[np.int64], NDArray[np.int64]]


def tables(shapes: list[list[int]], width: int) -> list[Table]:
    """Random table of i`width` and its row multipliers, per shape."""
    rng = np.random.default_rng(seed())
    return [
        (
            numbers(rng, IntType(width), rows * columns).reshape(rows, columns),
            numbers(rng, IntType(16, signed=False), rows).clip(1),
        )
        for rows, columns in shapes
    ]


def test_golden_scales_each_row_by_its_own_multiplier() -> None:
    table, multiplier = np.array([[1, -1], [1, -1]]), np.array([3, 5])
    y = embedding(np.array([1, 0]), table, multiplier, 1, IntType(8))
    assert y.tolist() == [[3, -2], [2, -1]]


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("shapes", "table_width", "width", "elements"),
    [
        ([[32, 16], [32, 16]], 8, 16, 1),
        ([[5, 1], [3, 7], [27, 3]], 4, 17, 1),
        ([[5, 2], [3, 10]], 4, 17, 2),
        ([[6, 4], [9, 12]], 8, 16, 4),
    ],
)
def test_block_equals_golden(
    shapes: list[list[int]], table_width: int, width: int, elements: int, tmp_path: Path
) -> None:
    stored = tables(shapes, table_width)
    drawn = np.concatenate([table.ravel() for table, _ in stored])
    words = pack(drawn.tolist(), table_width, elements)
    rows = np.concatenate([multiplier for _, multiplier in stored])
    run_cocotb(
        Embedding(
            table_width=table_width,
            width=width,
            table_depth=len(words),
            row_depth=len(rows),
            max_columns=max(columns for _, columns in shapes) // elements,
            index_bits=max(rows - 1 for rows, _ in shapes).bit_length(),
            elements=elements,
        ),
        module=__name__,
        build_dir=tmp_path,
        parameters={
            "shapes": shapes,
            "table_width": table_width,
            "width": width,
            "elements": elements,
        },
        files={
            "rom/embedding_table.hex": rom.image(words, elements * table_width),
            "rom/embedding_row.hex": rom.image(rows, 16),
        },
    )


@cocotb.test()
@paced
async def first_last_and_random_rows(dut: Any, idle: str, stall: str) -> None:
    shapes, table_width, width, elements = parameters().values()
    bench = Bench(dut, [], idle, stall, elements=elements)
    await bench.reset(start=0, index=0, table_base=0, row_base=0, columns=0, shift=0, low=0, high=0)
    table_base = row_base = 0
    for table, multiplier in tables(shapes, table_width):
        rows, columns = table.shape
        for index in (0, rows - 1, *bench.rng.integers(0, rows, 3)):
            for shift, out in ((0, IntType(width)), (16, IntType(width)), (12, IntType(6))):
                await bench.begin(
                    index=int(index),
                    table_base=table_base,
                    row_base=row_base,
                    columns=columns // elements,
                    shift=shift,
                    low=out.min,
                    high=out.max,
                )
                y = embedding(np.array([index]), table, multiplier, shift, out)
                await bench.exchange(y[0], f"{table.shape} row {index}, shift {shift}, {out}")
        table_base += table.size // elements
        row_base += rows
