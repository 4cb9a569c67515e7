"""`rtl_gen.blocks.router.ScoredRouter` against `rtl_gen.golden.router`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from rtl_gen.blocks.router import ScoredRouter
from rtl_gen.fabric import rom
from rtl_gen.golden.router import gate, route
from rtl_gen.ir import tables
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb, seed

WIDTH = 16
U15 = IntType(15, signed=False)
LAYERS = 3
Shape = dict[str, Any]
DEEPSEEK: Shape = {"experts": 8, "k": 3, "normalize": True, "groups": 4, "kept": 2, "best": 2,
                   "elements": 4, "biased": True}  # fmt: skip
SHAPES: dict[str, Shape] = {
    "groups_and_bias": DEEPSEEK,
    "one_element": DEEPSEEK | {"elements": 1, "k": 4},
    "parts": DEEPSEEK | {"normalize": False, "elements": 2},
    "no_groups": DEEPSEEK | {"groups": 1, "kept": 1},
    "all_groups": DEEPSEEK | {"kept": 4, "biased": False},
    "single_best": DEEPSEEK | {"experts": 6, "groups": 3, "kept": 1, "best": 1, "k": 1,
                               "elements": 2},
    "groups_of_one": DEEPSEEK | {"experts": 4, "k": 2, "biased": False},
}  # fmt: skip


def biases(shape: Shape) -> NDArray[np.int64]:
    """Of some layers: none, small ones that make and break ties, large ones of both signs."""
    rng = np.random.default_rng(seed())
    none = np.zeros(shape["experts"], np.int64)
    small = rng.integers(-2, 3, shape["experts"])
    return np.stack([none, small, numbers(rng, IntType(16), shape["experts"])])


def unit(shape: Shape, kind: type[ScoredRouter] = ScoredRouter) -> ScoredRouter:
    options = {name: shape[name] for name in shape if name != "biased"}
    depth = LAYERS * shape["experts"] if shape["biased"] else 0
    return kind(width=WIDTH, bias_depth=depth, **options)


def run(tmp_path: Path, shape: Shape, tested: ScoredRouter) -> None:
    words = biases(shape).ravel() & 0xFFFF
    run_cocotb(
        tested,
        module=__name__,
        build_dir=tmp_path,
        parameters=shape,
        files={
            "rom/reciprocal.hex": rom.image(tables.reciprocal(), 16),
            "rom/router_bias.hex": rom.image(words, 16),
        },
    )


@pytest.mark.cocotb
@pytest.mark.parametrize("name", SHAPES)
def test_scored_router(tmp_path: Path, name: str) -> None:
    run(tmp_path, SHAPES[name], unit(SHAPES[name]))


class LaterOfEqual(ScoredRouter):
    """A wrong tie, of experts and of groups: of equal ones the later one goes ahead."""

    def _exceeds(self, x: Any, score: Any) -> Any:
        return x >= score


@pytest.mark.cocotb
@pytest.mark.parametrize(
    "wrong", [{}, {"kept": 1}, {"best": 1}, {"groups": 2}], ids=["tie", "kept", "best", "groups"]
)
def test_mutants_are_caught(tmp_path: Path, wrong: Shape) -> None:
    mutant = unit(DEEPSEEK | {"k": 2} | wrong, ScoredRouter if wrong else LaterOfEqual)
    with pytest.raises(pytest.fail.Exception, match="failed"):
        run(tmp_path, DEEPSEEK | {"k": 2}, mutant)


def scores(rng: np.random.Generator, count: int) -> list[NDArray[np.int64]]:
    """None at all, ties everywhere, ties at the border of the choice, all of the range."""
    near = rng.integers(0, 4, count)
    return [
        np.zeros(count, np.int64),
        np.full(count, U15.max),
        np.arange(count, dtype=np.int64) * 100,
        near,
        rng.permutation(near) * 4000,
        rng.integers(0, 1 << 14, count, endpoint=True),
        rng.integers(0, 3, count),
    ]


@cocotb.test()
@paced
async def choices_and_gates(dut: Any, idle: str, stall: str) -> None:
    shape = parameters()
    experts, k, normalize = shape["experts"], shape["k"], shape["normalize"]
    bench = Bench(dut, ["i"], idle, stall, elements=shape["elements"])
    ports = {"bias_base": 0} if shape["biased"] else {}
    await bench.reset(start=0, **ports)
    bits = max(1, (experts - 1).bit_length())
    twice = shape["kept"] < shape["groups"]
    for layer, bias in enumerate(biases(shape) if shape["biased"] else [None]):
        for x in scores(bench.rng, experts):
            settings = (shape["groups"], shape["kept"], shape["best"])
            choice = route(x[None], k, bias, *settings)
            gates = gate(x[None], choice, None, normalize, U15)[0]
            await bench.begin(**dict.fromkeys(ports, layer * experts))
            sent = [*x, *x] if twice else list(x)
            await bench.exchange(gates.repeat(shape["elements"]), f"{bias} {x}", i=sent)
            packed = sum(int(e) << bits * s for s, e in enumerate(choice[0]))
            await RisingEdge(dut.clk)
            assert dut.choice.value == packed, (x, bias, choice)
