"""Predicted cycles against those of the simulated chip, as measured for `docs/chip.md`."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow import config, planning
from rtl_gen import emit
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.plan import Plan, cycle
from rtl_gen.plan.sketch import Sketch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names() -> IntegerGraph:
    model = config.load_model(ROOT / "configs/models/names.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return planning.quick_graph(model)


@pytest.mark.parametrize(
    ("plan", "measured"),
    [(Plan(16), 1073), (Plan(16, 1, 2), 1011), (Plan(16, 2), 862), (Plan(16, 2, 2), 808),
     (Plan(16, 4), 755)],
)  # fmt: skip
def test_the_first_token_takes_the_cycles_of_the_simulation(
    names: IntegerGraph, plan: Plan, measured: int
) -> None:
    chip = emit.design(names, plan, Sketch).chip
    assert cycle.step(chip, 0) == pytest.approx(measured, rel=0.015)
    # One more position costs one cycle a turn of the heads for its score, and one for its value.
    slope = (cycle.step(chip, 31) - cycle.step(chip, 1)) / 30
    assert slope == pytest.approx({1: 8.5, 2: 4.5}[plan.heads], abs=1)
