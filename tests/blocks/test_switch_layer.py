"""`rtl_gen.blocks.switch_layer` against `rtl_gen.golden.switch_layer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.switch_layer import SwitchLayer
from rtl_gen.fabric.expert_lanes import images
from rtl_gen.golden.switch_layer import switch_layer
from tests.blocks import expert_layers
from tests.blocks.drive import Bench, paced
from tests.blocks.expert_layers import ORACLES, Matrices
from tests.harness import parameters, run_cocotb, seed

PREFIX = "encoder.block.1.layer.1.mlp"
NAMES = (
    f"{PREFIX}.router.classifier.weight", None,
    f"{PREFIX}.experts.expert_{{}}.wi.weight", f"{PREFIX}.experts.expert_{{}}.wo.weight",
)  # fmt: skip
Shape = dict[str, Any]
SMALL: Shape = {"hidden": 8, "inner": 12, "experts": 4, "tokens": 10, "limit": 2, "lanes": 4}
ODD: Shape = {"hidden": 5, "inner": 3, "experts": 3, "tokens": 7, "limit": 3, "lanes": 2}
STORED: Shape = {"oracle": "switch_top1", "tokens": 24, "limit": 7, "lanes": 16}
SHORT: Shape = STORED | {"tokens": 12, "limit": 3}


def matrices(shape: Shape) -> Matrices:
    if "oracle" in shape:
        return expert_layers.oracle(shape["oracle"], NAMES, "relu")
    sizes = (shape["hidden"], shape["inner"], shape["experts"])
    return expert_layers.random(*sizes, gated=False, seed=seed())


def case(shape: Shape) -> Any:
    """Layer, tokens, and both in real numbers."""
    real = matrices(shape)
    x = np.random.default_rng(seed()).normal(size=(shape["tokens"], real.router.shape[1]))
    layer, x_step, y_step = expert_layers.lowered(real, x)
    return layer, np.rint(x / x_step).astype(np.int64), real, x, y_step


def bench(tmp_path: Path, shape: Shape, limit: int, *, once: bool) -> None:
    """All paces, two sequences; or one sequence at the ragged one."""
    layer = case(shape)[0]
    run_cocotb(
        SwitchLayer(layer, limit=limit, lanes=shape["lanes"]),
        module=__name__,
        build_dir=tmp_path,
        parameters={**shape, "once": once},
        files=images(layer, shape["lanes"]),
    )


@pytest.mark.parametrize("shape", [SMALL, STORED], ids=["small", "oracle"])
def test_golden_is_near_the_float_layer_and_drops_the_same_tokens(shape: Shape) -> None:
    if "oracle" in shape and not (ORACLES / shape["oracle"]).is_dir():
        pytest.skip("needs ../shared/oracles")
    layer, x, real, x_real, y_step = case(shape)
    expected = expert_layers.switched(real, x_real, shape["limit"])
    found = switch_layer(x, layer, shape["limit"]) * y_step
    dropped = (expected == 0).all(axis=1)
    assert dropped.any()
    assert ((found == 0).all(axis=1) == dropped).all()
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.cocotb
@pytest.mark.parametrize("shape", [SMALL, ODD], ids=["small", "odd"])
def test_block_equals_golden(tmp_path: Path, shape: Shape) -> None:
    bench(tmp_path, shape, shape["limit"], once=False)


@pytest.mark.cocotb
def test_block_with_the_experts_of_a_switch_checkpoint_equals_golden(tmp_path: Path) -> None:
    if not (ORACLES / STORED["oracle"]).is_dir():
        pytest.skip("needs ../shared/oracles")
    bench(tmp_path, SHORT, SHORT["limit"], once=True)


@pytest.mark.cocotb
@pytest.mark.parametrize("wrong", [SMALL["limit"] - 1, SMALL["limit"] + 1])
def test_a_capacity_off_by_one_is_caught(tmp_path: Path, wrong: int) -> None:
    with pytest.raises(pytest.fail.Exception, match="failed"):
        bench(tmp_path, SMALL, wrong, once=True)


@cocotb.test()
@paced
async def sequences(dut: Any, idle: str, stall: str) -> None:
    shape = parameters()
    if shape["once"] and (idle, stall) != ("ragged", "ragged"):
        return
    tested = Bench(dut, ["i"], idle, stall)
    await tested.reset(clear=0)
    layer, x, *_ = case(shape)
    for _ in range(1 if shape["once"] else 2):
        wanted = switch_layer(x, layer, shape["limit"])
        await tested.begin("clear")
        for token, y in zip(x, wanted, strict=True):
            await tested.exchange(y, f"{token}", i=token)
        x = np.roll(x, 1, axis=0)  # other tokens are dropped
