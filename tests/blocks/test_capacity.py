"""`rtl_gen.blocks.capacity` against `rtl_gen.golden.capacity`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from rtl_gen.blocks.capacity import Capacity
from rtl_gen.golden.capacity import capacity
from rtl_gen.reference import routing
from tests.blocks.drive import Bench, paced
from tests.harness import parameters, run_cocotb

WIDTH = 15


def test_golden_drops_what_comes_after_the_limit() -> None:
    kept = capacity(np.array([0, 0, 1, 0]), np.array([5, 6, 7, 8]), 2, 2)
    assert kept.tolist() == [5, 6, 7, 0]


def test_golden_is_the_float_reference_and_one_more_or_less_is_not() -> None:
    rng = np.random.default_rng(1)
    choice, gates = rng.integers(0, 4, 40), rng.integers(1, 1 << 14, 40)
    found = {limit: capacity(choice, gates, 4, limit).tolist() for limit in (6, 7, 8)}
    none = np.zeros((1, 4), np.int64)
    expected, _ = routing.capacity(gates[None, :, None], choice[None, :, None], none, 7)
    assert found[7] == expected[0, :, 0].astype(int).tolist()
    assert found[6] != found[7] != found[8]


def test_golden_serves_all_first_choices_before_second_ones() -> None:
    choice, gates = np.array([[1, 0], [0, 1], [0, 1]]), np.array([[5, 6], [7, 8], [9, 4]])
    assert capacity(choice, gates, 2, 2).tolist() == [[5, 0], [7, 8], [9, 0]]
    rng = np.random.default_rng(2)
    choice = np.stack([rng.permutation(4)[:2] for _ in range(40)])
    gates = rng.integers(1, 1 << 14, choice.shape)
    none = np.zeros((1, 4), np.int64)
    for limit in (13, 20, 27):
        expected, _ = routing.capacity(gates[None], choice[None], none, limit)
        assert capacity(choice, gates, 4, limit).tolist() == expected[0].astype(int).tolist()


@pytest.mark.parametrize(("experts", "limit"), [(4, 3), (3, 1), (8, 5)])
def test_capacity(tmp_path: Path, experts: int, limit: int) -> None:
    run_cocotb(
        Capacity(experts=experts, limit=limit, width=WIDTH),
        module=__name__,
        build_dir=tmp_path,
        parameters={"experts": experts, "limit": limit},
    )


@pytest.mark.parametrize("wrong", [2, 4])
def test_a_limit_off_by_one_is_caught(tmp_path: Path, wrong: int) -> None:
    with pytest.raises(pytest.fail.Exception, match="failed"):
        run_cocotb(
            Capacity(experts=4, limit=wrong, width=WIDTH),
            module=__name__,
            build_dir=tmp_path,
            parameters={"experts": 4, "limit": 3},
        )


@cocotb.test()
@paced
async def sequences(dut: Any, idle: str, stall: str) -> None:
    experts, limit = parameters()["experts"], parameters()["limit"]
    bench = Bench(dut, ["i"], idle, stall, signed=False)
    await bench.reset(clear=0)
    for case in range(4):
        dut.clear.value = 1
        await RisingEdge(dut.clk)
        dut.clear.value = 0
        choice = bench.rng.integers(0, experts, 30) if case else np.zeros(30, np.int64)
        if case == 3:  # two choices of 15 tokens: all first ones, then all second ones
            choice = (choice[:15, None] + [0, 1]) % experts
        gates = bench.rng.integers(1, 1 << WIDTH, choice.shape)
        kept = capacity(choice, gates, experts, limit)
        await bench.exchange(kept.T.ravel(), f"{choice}", i=(gates + (choice << WIDTH)).T.ravel())
