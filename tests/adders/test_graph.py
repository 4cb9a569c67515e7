"""Adder graphs: exact values, proved bounds, contracts."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_gen.adders import accumulator, evaluate, share
from rtl_gen.adders.graph import Adder, AdderGraph, Output, depth, matrix, value_types
from rtl_gen.ir.types import IntType
from tests.adders.matrices import MATRICES
from tests.harness import seed


@pytest.mark.parametrize("fan_in", [2, 3])
@pytest.mark.parametrize("name", MATRICES)
def test_a_graph_computes_its_matrix(name: str, fan_in: int) -> None:
    weight = MATRICES[name]
    graph = share(weight, fan_in=fan_in)
    x = np.random.default_rng(seed()).integers(-128, 128, (weight.shape[1], 40))
    assert np.array_equal(evaluate(graph, x), weight @ x)
    assert np.array_equal(matrix(graph), weight)


@pytest.mark.parametrize("kind", [IntType(8), IntType(2), IntType(5, signed=False)])
@pytest.mark.parametrize("name", ["int4", "negative rows", "single row", "opposite rows"])
def test_every_value_reaches_both_ends_of_its_bounds_and_fits_its_type(
    name: str, kind: IntType
) -> None:
    graph = share(MATRICES[name])
    every = AdderGraph(
        graph.inputs,
        graph.adders,
        tuple(Output(v, 0, 1) for v in range(graph.inputs + len(graph.adders))),
    )
    forms = matrix(every)
    for form, type_ in zip(forms, value_types(graph, kind), strict=True):
        high = int(form @ np.where(form > 0, kind.max, kind.min))
        low = int(form @ np.where(form > 0, kind.min, kind.max))
        assert type_.min <= low <= high <= type_.max
        narrower = IntType(max(1, type_.width - 1))
        assert type_.width == 1 or low < narrower.min or high > narrower.max


def test_the_accumulator_is_the_narrowest() -> None:
    assert accumulator(np.array([[1, 0]]), IntType(8)) == IntType(8)
    assert accumulator(np.array([[-1, 0]]), IntType(8)) == IntType(9)
    assert accumulator(np.array([[1, 1]]), IntType(8)) == IntType(9)
    assert accumulator(np.zeros((2, 2), np.int64), IntType(8)) == IntType(1)


def test_depth_counts_adders() -> None:
    assert depth(share(np.eye(3, dtype=np.int64))) == 0
    assert depth(share(np.ones((1, 8), np.int64))) == 3


def test_a_value_cannot_come_from_a_later_one() -> None:
    with pytest.raises(ValueError, match="later"):
        AdderGraph(2, (Adder(0, 2, 0, 1),), (Output(2, 0, 1),))
    with pytest.raises(ValueError, match="row 0"):
        AdderGraph(2, (), (Output(2, 0, 1),))
