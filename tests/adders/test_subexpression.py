"""Sharing: digits, how few adders, the same graph every time."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rtl_gen.adders import share
from rtl_gen.adders.graph import matrix
from rtl_gen.adders.subexpression import signed_digits


def gaussian(rows: int, columns: int) -> np.ndarray:
    """The int4 matrix of the published figures: normal, scaled to 7 by row."""
    drawn = np.random.default_rng(0).normal(size=(rows, columns))
    scaled = drawn / (abs(drawn).max(axis=1, keepdims=True) / 7)
    return np.clip(np.round(scaled), -8, 7).astype(np.int64)


def ternary(rows: int, columns: int) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(rows, columns))
    return np.clip(np.round(drawn / abs(drawn).mean()), -1, 1).astype(np.int64)


def test_digits_add_up_and_are_as_few_as_canonical_ones() -> None:
    numbers = np.arange(-300, 301)
    digits = signed_digits(numbers).astype(np.int64)
    assert np.array_equal((digits << np.arange(len(digits))[:, None]).sum(axis=0), numbers)
    fewest = [bin(3 * abs(int(n)) ^ abs(int(n))).count("1") for n in numbers]
    assert np.array_equal(abs(digits).sum(axis=0), fewest)


def test_equal_and_opposite_rows_cost_one() -> None:
    row = np.array([3, -5, 2, 7, 1])
    once = len(share(row[None]).adders)
    assert len(share(np.array([row, row, -row, 2 * row])).adders) == once


def test_equal_columns_are_added_once() -> None:
    column = np.arange(1, 9)[:, None]
    assert len(share(np.hstack([column, column])).adders) == len(share(column).adders) + 1


@pytest.mark.parametrize(
    ("weight", "most"),
    [(gaussian(64, 64), 0.555), (ternary(64, 64), 0.29)],
    ids=["int4", "ternary"],
)
def test_adders_per_weight_of_64x64(weight: np.ndarray, most: float) -> None:
    graph = share(weight)
    assert np.array_equal(matrix(graph), weight)
    assert len(graph.adders) / weight.size < most


def test_the_same_matrix_gives_the_same_graph() -> None:
    weight = gaussian(20, 20)
    assert share(weight) == share(weight.copy())


def test_a_large_matrix_takes_seconds() -> None:
    weight = ternary(128, 128)
    start = time.process_time()
    graph = share(weight)
    assert time.process_time() - start < 15
    assert np.array_equal(matrix(graph), weight)


def test_no_matrix_no_graph() -> None:
    with pytest.raises(ValueError, match="2 dimensions"):
        share(np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="fan-in"):
        share(np.zeros((2, 2), np.int64), fan_in=4)
