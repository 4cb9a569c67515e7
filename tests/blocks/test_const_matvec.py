"""`rtl_gen.blocks.const_matvec` against `rtl_gen.golden.const_matvec`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_gen import rom_macro
from rtl_gen.blocks.const_matvec import ConstMatVec, row_words, weight_words
from rtl_gen.fabric import rom
from rtl_gen.golden.const_matvec import const_matvec
from rtl_gen.ir.types import IntType
from rtl_gen.verilog import convert
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb, seed

BIAS = IntType(14)


@dataclass(frozen=True)
class Matrix:
    """One matrix of the test: weight (n_out, n_in), bias or None, multiplier (n_out,)."""

    weight: NDArray[np.int64]
    bias: NDArray[np.int64] | None
    multiplier: NDArray[np.int64]


def matrices(shapes: list[list[int]], weight_width: int) -> list[Matrix]:
    """A random matrix with bias and an extreme one without, per shape."""
    rng = np.random.default_rng(seed())
    kind = IntType(weight_width)
    found = []
    for rows, columns in shapes:
        multiplier = numbers(rng, IntType(16, signed=False), rows).clip(1)
        drawn = numbers(rng, kind, rows * columns).reshape(rows, columns)
        found.append(Matrix(drawn, numbers(rng, BIAS, rows), multiplier))
        found.append(Matrix(np.full((rows, columns), kind.min), None, multiplier))
    return found


def accumulator(stored: list[Matrix], x: IntType) -> IntType:
    """Narrowest accumulator: it is reached by the extreme matrix, so one bit less would fail."""
    largest = max(int(abs(m.weight).sum(axis=1).max()) for m in stored) * -x.min
    return IntType.holding(-largest, largest)


def test_golden_adds_the_bias_before_it_scales() -> None:
    y = const_matvec(
        np.array([[1, 2]]), np.array([[3, 4]]), np.array([1]), np.array([3]), 2, IntType(8)
    )
    assert y.tolist() == [[9]]


def test_golden_is_exact_beyond_float64() -> None:
    x, weight = np.full((1, 2), (1 << 31) - 1), np.array([[(1 << 30) + 1, 1 << 30]])
    exact = int(x[0, 0]) * ((1 << 30) + 1 + (1 << 30))
    y = const_matvec(x, weight, None, np.array([1]), 30, IntType(40))
    assert y.tolist() == [[(exact + (1 << 29)) >> 30]]


def test_weight_words_put_lane_0_in_the_low_bits_and_pad_with_zeros() -> None:
    words = weight_words(np.array([[1, 2], [3, 4], [-1, -2]]), lanes=2, width=4)
    assert words == [0x31, 0x42, 0x0F, 0x0E]


def test_weight_words_put_the_elements_of_a_beat_side_by_side_in_their_lane() -> None:
    words = weight_words(np.array([[1, 2, 5, 6], [3, 4, 7, -8]]), lanes=2, width=4, elements=2)
    assert words == [0x4321, 0x8765]


def test_row_words_put_the_bias_above_the_multiplier() -> None:
    assert row_words(np.array([-1]), np.array([5]), 4) == [0xF0005]
    assert row_words(None, np.array([5]), 4) == [5]
    assert row_words(np.array([-1, 2]), np.array([5, 6]), 4, elements=2) == [0x20006F0005]


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("lanes", "shapes", "x_width", "weight_width", "elements", "packed"),
    [
        (5, [[7, 6], [3, 5]], 8, 4, 1, True),
        (4, [[8, 4], [12, 4]], 6, 5, 2, True),
        (4, [[4, 4], [7, 3], [1, 9], [9, 1]], 8, 4, 1, False),
        (8, [[16, 16], [5, 2], [17, 5]], 8, 8, 1, False),
        (1, [[3, 4], [1, 1]], 5, 2, 1, False),
        (1, [[9, 8], [3, 2]], 5, 2, 1, False),
        (3, [[7, 6], [2, 1]], 16, 8, 1, False),
        (6, [[10, 6], [2, 4], [14, 2]], 8, 4, 2, False),
        (4, [[8, 4], [4, 8], [12, 4]], 8, 3, 4, False),
    ],
)
def test_block_equals_golden(
    lanes: int,
    shapes: list[list[int]],
    x_width: int,
    weight_width: int,
    elements: int,
    packed: bool,
    tmp_path: Path,
) -> None:
    stored = matrices(shapes, weight_width)
    weights, rows = [], []
    for m in stored:
        weights += weight_words(m.weight, lanes, weight_width, elements)
        rows += row_words(m.bias, m.multiplier, BIAS.width, elements)
    run_cocotb(
        ConstMatVec(
            lanes=lanes,
            x_width=x_width,
            weight_width=weight_width,
            acc_width=accumulator(stored, IntType(x_width)).width,
            bias_width=BIAS.width,
            width=16,
            weight_depth=len(weights),
            row_depth=len(rows),
            max_columns=max(columns for _, columns in shapes) // elements,
            max_rows=max(rows for rows, _ in shapes) // elements,
            max_piece=max(rows for rows, _ in shapes) // elements,
            elements=elements,
            packed=packed,
        ),
        module=__name__,
        build_dir=tmp_path,
        parameters={
            "lanes": lanes,
            "shapes": shapes,
            "x_width": x_width,
            "weight_width": weight_width,
            "elements": elements,
        },
        files={
            "rom/matvec_weight.hex": rom.image(weights, lanes * elements * weight_width),
            "rom/matvec_row.hex": rom.image(rows, elements * (16 + BIAS.width)),
        },
    )


@pytest.mark.cocotb
def test_block_around_macros_equals_golden(tmp_path: Path) -> None:
    shapes, bits = [[7, 6], [2, 4]], 4
    stored = matrices(shapes, bits)
    weights = [w for m in stored for w in weight_words(m.weight, 4, bits)]
    rows = [w for m in stored for w in row_words(m.bias, m.multiplier, BIAS.width)]
    block = ConstMatVec(
        lanes=4, x_width=8, weight_width=bits, acc_width=accumulator(stored, IntType(8)).width,
        bias_width=BIAS.width, width=16, weight_depth=len(weights), row_depth=len(rows),
        max_columns=6, max_rows=7, max_piece=7,
    )  # fmt: skip
    macros = rom_macro.macros([block.weights, block.row_constants])
    text = convert(block, "dut", without=frozenset({"rom"})) + rom_macro.wrapper(macros)
    run_cocotb(
        text + "".join(map(rom_macro.behaviour, macros)),
        module=__name__,
        build_dir=tmp_path,
        parameters={
            "lanes": 4, "shapes": shapes, "x_width": 8, "weight_width": bits, "elements": 1,
        },
        files={
            "rom/matvec_weight.hex": rom.image(weights, 4 * bits),
            "rom/matvec_row.hex": rom.image(rows, 16 + BIAS.width),
        },
    )  # fmt: skip


@cocotb.test()
@paced
async def every_matrix_with_random_and_extreme_vectors(dut: Any, idle: str, stall: str) -> None:
    lanes, shapes, x_width, weight_width, elements = parameters().values()
    kind, out = IntType(x_width), IntType(16)
    stored = matrices(shapes, weight_width)
    bench = Bench(dut, ["i"], idle, stall, elements=elements)
    await bench.reset(
        start=0, weight_base=0, last_column=0, group_rows=0,
        drain=0, row_base=0, rows=0, shift=0, low=0, high=0,
    )  # fmt: skip
    weight_base = row_base = 0
    for matrix in stored:
        rows, columns = matrix.weight.shape
        groups = -(-rows // lanes)
        bits = accumulator([matrix], kind).width
        for x, result in (
            (np.full(columns, kind.min), out),
            (np.full(columns, kind.max), IntType(8, signed=False)),
            (numbers(bench.rng, kind, columns), out),
            (numbers(bench.rng, kind, columns), IntType(8)),
        ):
            shift = max(0, bits + 16 - result.width - int(bench.rng.integers(0, 3)))
            await bench.begin(
                "start",
                "drain",
                weight_base=weight_base,
                row_base=row_base,
                last_column=columns // elements - 1,
                group_rows=rows // elements,
                rows=rows // elements,
                shift=shift,
                low=result.min,
                high=result.max,
            )
            y = const_matvec(x[None], matrix.weight, matrix.bias, matrix.multiplier, shift, result)
            await bench.exchange(
                y[0], f"{rows} x {columns}, shift {shift}, {result}", i=np.tile(x, groups)
            )
        weight_base += groups * columns // elements
        row_base += rows // elements


@cocotb.test()
@paced
async def products_overlap_and_leave_in_pieces(dut: Any, idle: str, stall: str) -> None:
    lanes, shapes, x_width, weight_width, elements = parameters().values()
    kind = IntType(x_width)
    bench = Bench(dut, ["i"], idle, stall, elements=elements)
    await bench.reset(
        start=0, weight_base=0, last_column=0, group_rows=0,
        drain=0, row_base=0, rows=0, shift=0, low=0, high=0,
    )  # fmt: skip
    weight_base = row_base = 0
    waiting: list[tuple[Matrix, NDArray[np.int64], int]] = []

    async def leave() -> None:
        """Let the oldest product leave in two pieces of different shifts and bounds."""
        matrix, x, base = waiting.pop(0)
        rows = len(matrix.weight)
        cut = rows // 2 // elements * elements
        bits = accumulator([matrix], kind).width
        for first, last, shift, out in (
            (0, cut, bits, IntType(16)),
            (cut, rows, bits + 5, IntType(9)),
        ):
            piece = slice(first, last)
            bias = None if matrix.bias is None else matrix.bias[piece]
            y = const_matvec(
                x[None], matrix.weight[piece], bias, matrix.multiplier[piece], shift, out
            )
            await bench.begin(
                "drain", row_base=base + first // elements, rows=(last - first) // elements,
                shift=shift, low=out.min, high=out.max,
            )  # fmt: skip
            if last > first:
                await bench.exchange(y[0], f"rows {first} to {last} of {rows}")

    for matrix in matrices(shapes, weight_width):
        rows, columns = matrix.weight.shape
        groups = -(-rows // lanes)
        x = numbers(bench.rng, kind, columns)
        # One group may wait in the drain, one in the accumulators; its operands are in by then.
        if groups == 1:
            await bench.begin(
                weight_base=weight_base, last_column=columns // elements - 1,
                group_rows=rows // elements,
            )  # fmt: skip
            bench.send(i=x)
            await bench.sources["i"].drained()
            waiting.append((matrix, x, row_base))
            if len(waiting) == 2:
                await leave()
        weight_base += groups * columns // elements
        row_base += rows // elements
    while waiting:
        await leave()


@cocotb.test()
async def groups_follow_each_other_without_a_bubble(dut: Any) -> None:
    lanes, shapes, _, _, elements = parameters().values()
    rows, columns = shapes[0]
    groups = -(-rows // lanes)
    bench = Bench(dut, ["i"], "steady", "steady", elements=elements)
    await bench.reset(
        start=0, weight_base=0, last_column=0, group_rows=0,
        drain=0, row_base=0, rows=0, shift=0, low=0, high=0,
    )  # fmt: skip
    row_beats, column_beats = rows // elements, columns // elements
    await bench.begin(
        "start", "drain", last_column=column_beats - 1, group_rows=row_beats, rows=row_beats
    )
    # A group takes its columns, or its rows to leave and a cycle, or the way to the queue.
    period = max(column_beats, lanes // elements + 1, 8)
    taken = await bench.cycles(row_beats, i=[0] * (groups * columns))
    latency = 14 if elements == 1 else 15
    last_group = row_beats - (groups - 1) * lanes // elements
    slowest = (groups - 1) * period + column_beats - 1 + latency + last_group - 1
    if groups == 1 or column_beats == period:
        assert taken == slowest
    assert taken <= slowest
