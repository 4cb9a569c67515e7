"""Recipes: the last pattern that matches decides; wrong ones are refused with what is right."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_gen.errors import QuantizationError
from rtl_gen.ir.types import IntType
from rtl_gen.quantize import Examples, Recipe


def test_the_last_matching_pattern_decides():
    recipe = Recipe({"*": "int8", "layers.*.mlp.*": "int4", "layers.0.mlp.up": "int2"})
    assert recipe.weight_type("logits") == IntType(8)
    assert recipe.weight_type("layers.3.mlp.down") == IntType(4)
    assert recipe.weight_type("layers.0.mlp.up") == IntType(2)
    widths = Recipe(activation_bits=8, activations={"*.product": 12})
    assert widths.activation_width("layers.0.mlp.product") == 12
    assert widths.activation_width("norm") == 8


def test_a_node_without_pattern_is_refused():
    with pytest.raises(QuantizationError, match="no pattern matches node 'logits'"):
        Recipe({"layers.*": "int8"}).weight_type("logits")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": {"*": "int9"}}, r"weights\['\*'\]: expected one of int2, .* found 'int9'"),
        ({"activation_bits": 3}, "activation_bits: expected 4 to 16 activation bits, found 3"),
        ({"activations": {"x": 17}}, "x: expected 4 to 16 activation bits, found 17"),
        ({"attention_bits": 11}, "attention_bits: expected 4 to 10, found 11"),
        ({"solver": "best"}, "solver: expected 'gptq' or 'nearest', found 'best'"),
    ],
)
def test_wrong_recipes_are_refused(arguments, message):
    with pytest.raises(QuantizationError, match=message):
        Recipe(**arguments)


def test_contradicting_examples_are_refused():
    with pytest.raises(QuantizationError, match=r"targets of shape \(2, 3\), found \(2, 4\)"):
        Examples(np.zeros((2, 3), np.int64), np.zeros((2, 4), np.int64))
    with pytest.raises(QuantizationError, match="at least one example"):
        Examples(np.zeros((0, 3), np.int64))
