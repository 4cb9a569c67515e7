"""Refining: the same matrix, never more LUTs, fewer where greedy sharing leaves some."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_gen.adders import AdderGraph, fuse, refine, search, share
from rtl_gen.adders.graph import Adder, Output, matrix
from rtl_gen.adders.serial_graph import luts
from tests.adders.matrices import MATRICES
from tests.adders.test_serial import rows
from tests.adders.test_subexpression import gaussian, ternary


@pytest.mark.parametrize("fan_in", [2, 3])
@pytest.mark.parametrize("name", MATRICES)
def test_refining_keeps_the_matrix_and_never_costs(name: str, fan_in: int) -> None:
    weight = MATRICES[name]
    found = search(weight, 2, joined=fan_in == 3, rounds=20)
    assert np.array_equal(rows(found), weight)
    assert luts(found) <= luts(search(weight, 2, joined=fan_in == 3))


@pytest.mark.parametrize(
    ("weight", "share_of_luts"), [(ternary(32, 32), 0.97), (gaussian(16, 16), 0.98)]
)
def test_refining_saves_luts(weight: np.ndarray, share_of_luts: float) -> None:
    before = share(weight, fan_in=3)
    after = refine(before, 500, fan_in=3)
    assert np.array_equal(matrix(after), weight)
    assert luts(fuse(after)) <= share_of_luts * luts(fuse(before))


def test_refining_saves_adders() -> None:
    before = share(ternary(32, 32))
    after = refine(before, 500)
    assert np.array_equal(matrix(after), ternary(32, 32))
    assert len(after.adders) <= 0.98 * len(before.adders)


def test_equal_terms_carry_and_opposite_ones_cancel() -> None:
    # a = x0 + x1, read twice; rows a + x0 = 2 x0 + x1 and a - x1 = x0.
    sums = (Adder(0, 1, 0, 1), Adder(2, 0, 0, 1), Adder(2, 1, 0, -1))
    graph = AdderGraph(2, sums, (Output(3, 0, 1), Output(4, 0, 1), None))
    after = refine(graph, 5)
    assert np.array_equal(matrix(after), matrix(graph))
    assert len(after.adders) == 1


def test_the_same_seed_gives_the_same_graph() -> None:
    graph = share(gaussian(12, 12))
    assert refine(graph, 30, seed=3) == refine(graph, 30, seed=3)
    assert refine(graph, 0) is graph
