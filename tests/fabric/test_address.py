"""`rtl_gen.fabric.address`: loops equal nested ``for`` statements, in numbers and in hardware."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, RisingEdge

from flow.testbench.stream import pauses, start
from rtl_gen.fabric.address import LEVELS, AddressGenerator, Loop, lag
from tests.blocks.drive import configure
from tests.harness import run_cocotb, seed

ADDRESS_BITS = 10
LAST_BITS = (3, 4, 2, 1)
"""Width of the index counters, fastest first."""


def nested(loop: Loop) -> list[int]:
    """Addresses by the formula, last dimension fastest."""
    return [
        loop.base + sum(i * stride for i, stride in zip(index, loop.strides, strict=True))
        for index in itertools.product(*(range(count) for count in loop.counts))
    ]


def random_loop(rng: np.random.Generator, dimensions: int) -> Loop:
    """Loop of `dimensions`, within the counters and the address space; a count may be full or 1."""
    bits = LAST_BITS[:dimensions][::-1]
    counts = [int(rng.choice([1, 1 << b, rng.integers(1, 1 << b, endpoint=True)])) for b in bits]
    room = (1 << ADDRESS_BITS) - 1
    strides, below, above = [0] * dimensions, 0, 0
    for level in rng.permutation(dimensions):
        steps = counts[level] - 1
        most = (room - below - above) // max(1, steps)
        strides[level] = int(rng.integers(-most, most, endpoint=True))
        below -= min(0, steps * strides[level])
        above += max(0, steps * strides[level])
    base = int(rng.integers(below, room - above, endpoint=True))
    return Loop(base, tuple(counts), tuple(strides))


def random_loops(count: int) -> list[Loop]:
    """`count` loops of each number of dimensions."""
    rng = np.random.default_rng(seed())
    return [random_loop(rng, d) for d in range(1, LEVELS + 1) for _ in range(count)]


def walked(fields: dict[str, int]) -> list[int]:
    """Addresses by the fields: each step is that of the slowest level that moves."""
    lasts, steps = ([fields[f"x_{kind}{i}"] for i in range(LEVELS)] for kind in ("last", "step"))
    index, addresses = [0] * LEVELS, [fields["x_base"]]
    while index != lasts:
        level = next(i for i in range(LEVELS) if index[i] != lasts[i])
        index = [0] * level + [index[level] + 1] + index[level + 1 :]
        addresses.append(addresses[-1] + steps[level])
    return addresses


def test_fields_walk_the_nested_loop() -> None:
    for loop in random_loops(50):
        assert walked(loop.fields("x")) == nested(loop), f"TEST_SEED={seed()} {loop}"


def test_fields_of_a_matrix_read_by_columns() -> None:
    fields = Loop(100, (3, 2), (1, 3)).fields("x")
    assert fields == {
        "x_base": 100,
        "x_last0": 1, "x_step0": 3,
        "x_last1": 2, "x_step1": -2,
        "x_last2": 0, "x_step2": 0,
        "x_last3": 0, "x_step3": 0,
    }  # fmt: skip


def test_length_counts_the_addresses() -> None:
    for loop in random_loops(10):
        assert loop.length == len(nested(loop)), f"TEST_SEED={seed()} {loop}"


def test_repeat_walks_the_loop_again() -> None:
    loop = Loop(5, (2, 3), (10, 1))
    assert nested(loop.repeat(3)) == nested(loop) * 3
    assert loop.repeat(1) == loop


@pytest.mark.parametrize(
    ("counts", "strides"),
    [((), ()), ((1, 2), (1,)), ((1,) * 5, (1,) * 5), ((2, 0), (1, 1))],
    ids=["no dimension", "unequal lengths", "five dimensions", "count of zero"],
)
def test_impossible_loops_are_refused(counts: tuple[int, ...], strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="loop"):
        Loop(0, counts, strides)


@pytest.mark.cocotb
def test_generator_equals_the_nested_loop(tmp_path: Path) -> None:
    run_cocotb(AddressGenerator(ADDRESS_BITS, LAST_BITS), module=__name__, build_dir=tmp_path)


async def begin(dut: Any, loop: Loop) -> None:
    """Set the loop's fields and pulse ``start``."""
    configure(dut, {name.removeprefix("x_"): value for name, value in loop.fields("x").items()})
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0


@cocotb.test()
@cocotb.parametrize(pause=[0.0, 0.4])
async def random_loops_with_and_without_pauses(dut: Any, pause: float) -> None:
    rng = np.random.default_rng(seed())
    dut.start.value, dut.en.value = 0, 0
    await start(dut)
    paused = pauses(rng, pause)
    for number, loop in enumerate(random_loops(5)):
        # `en` in the cycle of `start` must not count; every third walk is left before its end.
        expected = nested(loop)
        seen = len(expected) if number % 3 else int(rng.integers(len(expected)))
        dut.en.value = 1
        await begin(dut, loop)
        for at, address in enumerate(expected[:seen]):
            where = f"TEST_SEED={seed()} {loop}, address {at}"
            taken = False
            while not taken:
                taken = not next(paused)
                dut.en.value = int(taken)
                await FallingEdge(dut.clk)
                got = (int(dut.valid.value), int(dut.addr.value), int(dut.last.value))
                assert got == (1, address, at == len(expected) - 1), f"{where}: {got}"
                await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        assert bool(dut.valid.value) == (seen < len(expected)), f"TEST_SEED={seed()} {loop}"


def test_a_reader_in_the_writers_order_follows_at_once() -> None:
    written = Loop(8, (6,), (1,)).addresses()
    assert lag(Loop(8, (6,), (1,)).repeat(3).addresses(), written) == 0


def test_a_reader_of_halves_waits_for_the_other_half() -> None:
    written = Loop(0, (6,), (1,)).addresses()
    assert lag(Loop(0, (3, 2), (1, 3)).addresses(), written) == 2


def test_a_reader_of_another_buffer_is_free() -> None:
    assert lag(np.arange(4), np.arange(4, 8)) is None
    assert lag(np.arange(4), np.empty(0, np.int64)) is None


def test_the_last_write_of_an_address_counts() -> None:
    assert lag(np.array([5]), np.array([5, 6, 5])) == 2
