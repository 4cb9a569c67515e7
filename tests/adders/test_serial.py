"""Serial nodes: the joined graph, the three-operand cell, the text."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_gen.adders import fuse, parallel_core, search, serial_core, share
from rtl_gen.adders.serial_graph import Operand, SerialGraph, SerialNode, luts
from rtl_gen.ir.types import IntType
from tests.adders.matrices import MATRICES
from tests.harness import seed


def rows(graph: SerialGraph) -> NDArray[np.int64]:
    """Matrix that a serial graph computes."""
    values = list(np.eye(graph.inputs, dtype=np.int64))
    for node in graph.nodes:
        parts = [(-1) ** o.negative * (values[o.value] << o.shift) for o in node.operands]
        values.append(np.sum(parts, axis=0))
    zero = np.zeros(graph.inputs, np.int64)
    return np.array([zero if o is None else values[o.value] << o.shift for o in graph.outputs])


@pytest.mark.parametrize("fan_in", [2, 3])
@pytest.mark.parametrize("name", MATRICES)
def test_joining_keeps_the_matrix(name: str, fan_in: int) -> None:
    assert np.array_equal(rows(fuse(share(MATRICES[name], fan_in=fan_in))), MATRICES[name])


@pytest.mark.parametrize("name", MATRICES)
def test_searching_keeps_the_matrix_and_never_costs(name: str) -> None:
    found = search(MATRICES[name], 3)
    assert np.array_equal(rows(found), MATRICES[name])
    assert luts(found) <= luts(search(MATRICES[name], 1))


def test_joining_halves_the_nodes_of_a_sum() -> None:
    graph = fuse(share(np.ones((1, 9), np.int64), fan_in=3))
    assert [len(node.operands) for node in graph.nodes] == [3, 3, 3, 3]


def test_the_state_of_three_operands_is_the_carry() -> None:
    """All states and operands of the cell in the module's docstring."""
    for a, b, c, s, q in product((0, 1), repeat=5):
        total = a + b + c + (1 if s else 2 * q)
        m, y = int(a + b + c > 1), a ^ b ^ c ^ s
        following = 1 - (m ^ y) if s else m ^ q
        assert y == total & 1
        assert (1 if following else 2 * m) == total >> 1


def test_two_stages_add_three_operands_with_any_first_carry() -> None:
    """All words of three bits, extended by their sign, from a state of the words before."""
    bits, rng = 6, np.random.default_rng(seed())
    for first in range(3):
        for words in product(range(-4, 4), repeat=3):
            y = int(rng.integers(0, 2))
            # What the reset and the hold put in: d and its m1 of the second stage, m of the first.
            d, m1, m = 0, int(first > 1), int(first > 0)
            found = 0
            for place in range(bits):
                a, b, c = (word >> place & 1 for word in words)
                coming = a ^ b ^ c ^ m
                y = coming ^ ((1 - y) if d else m1)
                d, m1, m = coming, m, int(a + b + c > 1)
                found |= y << place
            assert found == (sum(words) + first) % (1 << bits), (words, first)


def test_twins_are_sum_and_difference() -> None:
    """All words of three bits, extended by their sign, from any bits of the words before."""
    bits, rng = 6, np.random.default_rng(seed())
    for words in product(range(-4, 4), repeat=2):
        y, z = (int(bit) for bit in rng.integers(0, 2, 2))
        e, f, k = 0, 1, 0  # what the reset puts in
        found = [0, 0]
        for place in range(bits):
            a, b = (word >> place & 1 for word in words)
            d = a ^ b
            y, z = d ^ (1 - y if e else k), d ^ (k if f else z)
            e, f, k = d, d, b
            found[0] |= y << place
            found[1] |= z << place
        assert found == [(words[0] + words[1]) % (1 << bits), (words[0] - words[1]) % (1 << bits)]


def test_sum_and_difference_are_twins() -> None:
    graph = fuse(share(np.array([[1, 2], [1, -2]]), fan_in=3))
    assert graph.twins == ((2, 3),)
    assert luts(graph) == 3


def test_stages_are_one_or_two() -> None:
    with pytest.raises(ValueError, match="not 3"):
        serial_core(fuse(share(np.array([[1, 1]]))), 9, "core", stages=3)


def test_a_node_cannot_begin_with_a_carry_of_three() -> None:
    with pytest.raises(ValueError, match="carry of 3"):
        SerialNode(tuple(Operand(k, 0, True) for k in range(3)))


def test_a_word_longer_than_the_period_is_refused() -> None:
    with pytest.raises(ValueError, match="4 bits"):
        serial_core(fuse(share(np.array([[1, 64]]))), 4, "core")


@pytest.mark.parametrize("name", ["int4", "int8", "zero rows and columns"])
def test_the_text_is_the_same_every_time(name: str) -> None:
    weight = MATRICES[name]
    texts = {
        (
            serial_core(fuse(share(w, fan_in=3)), 20, "core").verilog,
            parallel_core(share(w), IntType(8), 20, "core").verilog,
        )
        for w in (weight, weight.copy())
    }
    assert len(texts) == 1


def test_at_least_one_adder_between_registers() -> None:
    with pytest.raises(ValueError, match="at least one"):
        parallel_core(share(np.ones((1, 2), np.int64)), IntType(8), 9, "core", levels=0)
