"""`rtl_gen.blocks.router` against `rtl_gen.golden.router`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from rtl_gen.blocks.router import Router
from rtl_gen.fabric import rom
from rtl_gen.golden.router import gate, route
from rtl_gen.ir import tables
from rtl_gen.ir.types import Dyadic, IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb

WIDTH = 16
U15 = IntType(15, signed=False)
SCALES = (Dyadic(40000, 20), Dyadic(65535, 16), Dyadic(1, 0), Dyadic(33000, 12), Dyadic(50000, 30))


def chosen(x: list[int], k: int, **options: Any) -> list[int]:
    settings = {"bias": None, "groups": 1, "kept": 1, "best": 2} | options
    return [int(e) for e in route(np.array([x]), k, *settings.values())[0]]


def test_golden_choice_is_in_order_of_score_and_equal_scores_in_order_of_index() -> None:
    assert chosen([1, 7, 3, 7, 7], 4) == [1, 3, 4, 2]


def test_golden_bias_decides_the_choice() -> None:
    assert chosen([5, 4, 3], 2, bias=np.array([0, 0, 3])) == [2, 0]


def test_golden_groups_with_the_best_pairs_stay() -> None:
    # sums of pairs: 9, 10, 8; the largest single score is in the last group
    assert chosen([5, 4, 5, 5, 8, 0], 2, groups=3, kept=1) == [2, 3]
    assert chosen([5, 4, 5, 5, 8, 0], 2, groups=3, kept=3) == [4, 0]


def test_golden_group_left_out_is_not_chosen_even_if_all_others_are_lower() -> None:
    assert chosen([9, 9, -5, -6], 2, groups=2, kept=2) == [0, 1]
    assert chosen([-5, -6, 9, 9], 2, groups=2, kept=1) == [2, 3]


@pytest.mark.parametrize("normalize", [True, False])
def test_golden_gates_are_near_the_softmax(normalize: bool) -> None:
    logits = np.random.default_rng(1).integers(-2000, 2000, (50, 6))
    choice = route(logits, 3, None, 1, 1, 2)
    score = Dyadic.nearest(np.log2(np.e) * 256 / 700, 16)  # 700 steps are 1
    exact = np.exp(logits / 700)
    expected = np.take_along_axis(exact, choice, 1)
    expected /= (expected if normalize else exact).sum(1, keepdims=True)
    found = gate(logits, choice, score, normalize, U15) / 2**14
    # half a step of log2 / 256, of the reciprocal's 2**-10 and of the result
    np.testing.assert_allclose(found, expected, rtol=2**-7, atol=2**-14)


def test_golden_scores_themselves_can_be_gates() -> None:
    x, choice = np.array([[100, 300, 200]]), np.array([[1, 2]])
    assert gate(x, choice, None, False, U15).tolist() == [[300, 200]]
    found = gate(x, choice, None, True, U15) / 2**14
    np.testing.assert_allclose(found, [[0.6, 0.4]], rtol=2**-9)


def test_golden_scores_of_zero_give_no_division_by_zero() -> None:
    assert gate(np.zeros((1, 3), np.int64), np.array([[0]]), None, True, U15).tolist() == [[0]]


@pytest.mark.parametrize(
    ("experts", "k", "normalize", "elements"),
    [(4, 2, True, 1), (8, 3, False, 4), (4, 1, True, 2), (2, 2, True, 2), (4, 1, False, 4)],
)
def test_router(tmp_path: Path, experts: int, k: int, normalize: bool, elements: int) -> None:
    run_cocotb(
        Router(width=WIDTH, experts=experts, k=k, normalize=normalize, elements=elements),
        module=__name__,
        build_dir=tmp_path,
        parameters={"experts": experts, "k": k, "normalize": normalize, "elements": elements},
        files={
            "rom/exp2.hex": rom.image(tables.exp2(), 16),
            "rom/reciprocal.hex": rom.image(tables.reciprocal(), 16),
        },
    )


class LaterOfEqual(Router):
    """A wrong tie: of equal scores the later one goes ahead."""

    def _exceeds(self, x: Any, score: Any) -> Any:
        return x >= score


class Swapped(Router):
    """The right gates with each other's experts."""

    def _sort(self, *arguments: Any) -> Any:
        scores, indices, filled = super()._sort(*arguments)
        return scores, indices[::-1], filled


@pytest.mark.parametrize("mutant", [LaterOfEqual, Swapped])
def test_mutants_of_the_router_are_caught(tmp_path: Path, mutant: type[Router]) -> None:
    with pytest.raises(pytest.fail.Exception, match="failed"):
        run_cocotb(
            mutant(width=WIDTH, experts=4, k=2, normalize=True),
            module=__name__,
            build_dir=tmp_path,
            parameters={"experts": 4, "k": 2, "normalize": True, "elements": 1},
            files={
                "rom/exp2.hex": rom.image(tables.exp2(), 16),
                "rom/reciprocal.hex": rom.image(tables.reciprocal(), 16),
            },
        )


def logits(rng: np.random.Generator, count: int) -> list[NDArray[np.int64]]:
    """Ties everywhere, ties at the border of the choice, far and near neighbours."""
    kind = IntType(WIDTH)
    near = rng.integers(-3, 4, count)
    return [
        np.zeros(count, np.int64),
        np.full(count, kind.min),
        np.arange(count, dtype=np.int64) * 100,
        -np.arange(count, dtype=np.int64) * 100,
        near,
        rng.permutation(near) * 300,
        numbers(rng, kind, count),
        rng.integers(-3000, 3000, count),
    ]


@cocotb.test()
@paced
async def choices_and_gates(dut: Any, idle: str, stall: str) -> None:
    p = parameters()
    experts, k, normalize, elements = p["experts"], p["k"], p["normalize"], p["elements"]
    bench = Bench(dut, ["i"], idle, stall, elements=elements)
    await bench.reset(start=0, multiplier=0, shift=0)
    bits = max(1, (experts - 1).bit_length())
    for score in SCALES:
        for x in logits(bench.rng, experts):
            choice = route(x[None], k, None, 1, 1, 2)
            gates = gate(x[None], choice, score, normalize, U15)[0]
            await bench.begin(shift=score.shift)
            dut.multiplier.value = score.multiplier
            sent = list(x) if normalize else [*x, *x]
            await bench.exchange(gates.repeat(elements), f"{score} {x}", i=sent)
            packed = sum(int(e) << bits * s for s, e in enumerate(choice[0]))
            await RisingEdge(dut.clk)
            assert dut.choice.value == packed, (x, choice)
