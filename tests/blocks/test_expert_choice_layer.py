"""`rtl_gen.blocks.expert_choice_layer` against `rtl_gen.golden.expert_choice_layer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.expert_choice_layer import ExpertChoiceLayer
from rtl_gen.fabric.expert_lanes import images
from rtl_gen.golden.expert_choice_layer import expert_choice_layer
from tests.blocks import expert_layers
from tests.blocks.drive import Bench, paced
from tests.blocks.expert_layers import ORACLES, Matrices
from tests.harness import parameters, run_cocotb, seed

NAMES = ("gate.weight", *(f"experts.{{}}.{name}.weight" for name in ("w1", "w3", "w2")))
Shape = dict[str, Any]
SMALL: Shape = {"hidden": 8, "inner": 12, "experts": 4, "tokens": 6, "k": 3, "lanes": 4}
ODD: Shape = {"hidden": 5, "inner": 3, "experts": 3, "tokens": 4, "k": 1, "lanes": 2}
STORED: Shape = {"oracle": "expert_choice_moe_layer", "tokens": 24, "k": 12, "lanes": 16}
SHORT: Shape = STORED | {"tokens": 8, "k": 4}


def matrices(shape: Shape) -> Matrices:
    if "oracle" in shape:
        return expert_layers.oracle(shape["oracle"], NAMES, "silu")
    sizes = (shape["hidden"], shape["inner"], shape["experts"])
    return expert_layers.random(*sizes, gated=True, seed=seed())


def case(shape: Shape) -> Any:
    """Layer, tokens, and both in real numbers."""
    real = matrices(shape)
    x = np.random.default_rng(seed()).normal(size=(shape["tokens"], real.router.shape[1]))
    if "oracle" in shape:
        x = np.load(ORACLES / shape["oracle"] / "reference.npz")["in_x"][0]
        x = x[: shape["tokens"]].astype(np.float64)
    layer, x_step, y_step = expert_layers.lowered(real, x)
    return layer, np.rint(x / x_step).astype(np.int64), real, x, y_step


def bench(tmp_path: Path, shape: Shape, k: int, *, once: bool) -> None:
    """All paces, two blocks; or one block at the ragged one."""
    layer = case(shape)[0]
    run_cocotb(
        ExpertChoiceLayer(layer, tokens=shape["tokens"], k=k, lanes=shape["lanes"]),
        module=__name__,
        build_dir=tmp_path,
        parameters={**shape, "once": once},
        files=images(layer, shape["lanes"]),
    )


def needs_oracle() -> None:
    if not (ORACLES / STORED["oracle"]).is_dir():
        pytest.skip("needs ../shared/oracles")


def test_golden_is_near_the_float_layer() -> None:
    layer, x, real, x_real, y_step = case(SMALL)
    expected = expert_layers.chosen(real, x_real, SMALL["k"])
    found = expert_choice_layer(x, layer, SMALL["k"]) * y_step
    assert (expected == 0).all(axis=1).tolist() == (found == 0).all(axis=1).tolist()
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_golden_is_near_the_reference_layer() -> None:
    needs_oracle()
    layer, x, _, _, y_step = case(STORED)
    expected = np.load(ORACLES / STORED["oracle"] / "reference.npz")["out"][0]
    found = expert_choice_layer(x, layer, STORED["k"]) * y_step
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.cocotb
@pytest.mark.parametrize("shape", [SMALL, ODD], ids=["small", "odd"])
def test_block_equals_golden(tmp_path: Path, shape: Shape) -> None:
    bench(tmp_path, shape, shape["k"], once=False)


@pytest.mark.cocotb
def test_block_with_the_reference_layer_equals_golden(tmp_path: Path) -> None:
    needs_oracle()
    bench(tmp_path, SHORT, SHORT["k"], once=True)


@pytest.mark.cocotb
@pytest.mark.parametrize("wrong", [SMALL["k"] - 1, SMALL["k"] + 1])
def test_experts_that_take_a_token_more_or_less_are_caught(tmp_path: Path, wrong: int) -> None:
    with pytest.raises(pytest.fail.Exception, match="failed"):
        bench(tmp_path, SMALL, wrong, once=True)


@cocotb.test()
@paced
async def blocks(dut: Any, idle: str, stall: str) -> None:
    shape = parameters()
    if shape["once"] and (idle, stall) != ("ragged", "ragged"):
        return
    tested = Bench(dut, ["i"], idle, stall, patience_cycles=100_000)
    await tested.reset()
    layer, x, *_ = case(shape)
    for number in range(1 if shape["once"] else 2):
        wanted = expert_choice_layer(x, layer, shape["k"])
        await tested.exchange(wanted.ravel(), f"block {number}", i=x.ravel())
        x = x[::-1] >> 1
