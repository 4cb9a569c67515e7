"""Integers of a matrix: representable, deterministic, and each method best at what it minimizes."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_gen.ir.types import IntType
from rtl_gen.quantize.matrix import solve_matrix
from rtl_gen.quantize.solver import gptq, nearest
from tests.graphs import SEED

RNG = np.random.default_rng(SEED)
WEIGHT = RNG.normal(size=(20, 24))
INPUTS = RNG.normal(size=(2000, 24)) @ RNG.normal(size=(24, 24))
MOMENT = INPUTS.T @ INPUTS / len(INPUTS)
WIDTHS = [2, 3, 4, 6, 8]


def output_error(solution, weight=WEIGHT):
    error = solution.integers * solution.scale[:, None] - weight
    return ((error @ MOMENT) * error).sum()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("method", ["nearest", "gptq"])
def test_integers_lie_in_their_type(width, method):
    type_ = IntType(width)
    found = nearest(WEIGHT, type_) if method == "nearest" else gptq(WEIGHT, type_, MOMENT)
    assert found.integers.dtype == np.int64
    assert type_.min <= found.integers.min() <= found.integers.max() <= type_.max
    assert (found.scale > 0).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_gptq_has_half_the_output_error_of_nearest(width):
    type_ = IntType(width)
    assert output_error(gptq(WEIGHT, type_, MOMENT)) < 0.6 * output_error(nearest(WEIGHT, type_))


@pytest.mark.parametrize("width", WIDTHS)
def test_nearest_beats_the_unclipped_scale(width):
    type_ = IntType(width)
    full = abs(WEIGHT).max(axis=1, keepdims=True) / type_.max
    plain = np.rint(WEIGHT / full).clip(type_.min, type_.max) * full
    found = nearest(WEIGHT, type_)
    near = found.integers * found.scale[:, None]
    assert (((near - WEIGHT) ** 2).sum(1) <= ((plain - WEIGHT) ** 2).sum(1) + 1e-12).all()


def test_no_single_integer_can_be_improved():
    type_ = IntType(3)
    found = gptq(WEIGHT, type_, MOMENT)
    error = found.integers * found.scale[:, None] - WEIGHT
    best = ((error @ MOMENT) * error).sum(axis=1)
    for column in range(WEIGHT.shape[1]):
        for change in (-1, 1):
            moved = found.integers.copy()
            moved[:, column] = (moved[:, column] + change).clip(type_.min, type_.max)
            other = moved * found.scale[:, None] - WEIGHT
            assert (((other @ MOMENT) * other).sum(axis=1) >= best - 1e-9).all()


def test_exactly_representable_weights_are_kept():
    integers = RNG.integers(-8, 8, (6, 24))
    integers[:, 0] = -8
    integers[:, 1] = 7
    weight = integers * np.linspace(0.1, 0.9, 6)[:, None]
    found = nearest(weight, IntType(4))
    np.testing.assert_allclose(found.integers * found.scale[:, None], weight, atol=1e-12)


def test_a_zero_row_stays_zero():
    weight = WEIGHT.copy()
    weight[3] = 0
    for found in (nearest(weight, IntType(4)), gptq(weight, IntType(4), MOMENT)):
        assert not found.integers[3].any()
        assert found.scale[3] > 0


def test_bias_takes_up_the_mean_error():
    x = INPUTS + 3
    target = x @ WEIGHT.T + 1
    found = solve_matrix(WEIGHT, np.ones(20), IntType(3), "gptq", x, target)
    outputs = x @ (found.integers * found.scale[:, None]).T + found.bias
    np.testing.assert_allclose(outputs.mean(0), target.mean(0), atol=1e-9)


def test_matrix_is_solved_for_the_inputs_it_will_see():
    seen = np.rint(INPUTS / 2) * 2
    target = INPUTS @ WEIGHT.T
    found = solve_matrix(WEIGHT, None, IntType(6), "gptq", seen, target)
    naive = gptq(WEIGHT, IntType(6), MOMENT)

    def error(solution):
        return ((seen @ (solution.integers * solution.scale[:, None]).T - target) ** 2).mean()

    assert error(found) < error(naive)
