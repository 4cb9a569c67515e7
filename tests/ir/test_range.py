"""Proved ranges: reached by the worst input, and never left by any."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_gen.golden import interpreter
from rtl_gen.ir import tables
from rtl_gen.ir.integer import Attention, Constant, Norm
from rtl_gen.ir.range import (
    accumulator,
    attention_widths,
    norm_widths,
    normalized_bound,
    row_bounds,
)
from rtl_gen.ir.types import Dyadic, IntType
from tests.graphs import I8, I16, SEED, image, language


def test_a_row_reaches_its_bound():
    graph = language()
    node = next(item for item in graph.nodes if item.name == "q")
    weight, bias = graph.constants["q.weight"].data, graph.constants["q.bias"].data
    bounds = row_bounds(node, graph)
    for row, offset, bound in zip(weight, bias, bounds, strict=True):
        assert bound == abs(row).sum() * 128 + abs(offset)
    assert accumulator(node, graph) == IntType.holding(-int(bounds.max()), int(bounds.max()))


def test_convolution_and_embedding_have_bounds():
    graph = image()
    weight, bias = graph.constants["conv.weight"].data, graph.constants["conv.bias"].data
    want = [int(abs(w).sum()) * 128 + abs(int(b)) for w, b in zip(weight, bias, strict=True)]
    assert row_bounds(graph.nodes[0], graph).tolist() == want
    graph = language()
    table = graph.constants["embedding.table"].data
    assert row_bounds(graph.nodes[0], graph).tolist() == abs(table).max(axis=1).tolist()


def test_operators_without_rows_have_no_accumulator():
    graph = language()
    with pytest.raises(ValueError, match="node norm: Norm has no weight rows"):
        accumulator(graph.nodes[1], graph)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize(("n", "fraction"), [(2, 15), (16, 14), (64, 13), (65, 0)])
def test_norm_stays_within_its_widths(center, n, fraction):
    rng = np.random.default_rng(SEED)
    op = Norm("gain", None, 3, center, fraction, 20)
    gain = Constant(I16, rng.integers(-(2**15), 2**15, n))
    widths = norm_widths(n, I16, op, gain, None)
    one_hot = np.zeros((1, n), np.int64)
    one_hot[0, 0] = I16.min
    corners = rng.choice([I16.min, I16.max], (50, n))
    rsqrt = tables.rsqrt().tolist()
    for row in np.concatenate([one_hot, -one_hot - 1, corners, one_hot // 2**14]).tolist():
        total = sum(row) if center else 0
        squares = sum(e * e for e in row)
        q = n * squares - total**2 + op.eps
        h = (q.bit_length() + 1) // 2
        r = rsqrt[q * 2**10 // 4**h]
        right = 15 + h - fraction
        for e, g in zip(row, gain.data.tolist(), strict=True):
            d = n * e - total
            t = (d * r + ((1 << right) >> 1)) >> right
            assert abs(t) <= normalized_bound(n, fraction)
            found = {
                "total": total, "squares": squares, "q": q, "h": h, "d": d, "t": t,
                "product": d * r + ((1 << right) >> 1), "y": t * g + (1 << 19),
            }  # fmt: skip
            for name, value in found.items():
                type_ = getattr(widths, name)
                assert type_.min <= value <= type_.max, name


def test_norm_bound_is_tight():
    # a lone element is sqrt(n) standard deviations
    n, fraction = 16, 14
    assert normalized_bound(n, fraction) < 2**17
    assert 4 * 2**fraction <= normalized_bound(n, fraction) <= 4 * 2**fraction * (1 + 2**-8)


def test_attention_stays_within_its_widths():
    op = Attention(2, 1, 4, 12, Dyadic(65535, 1), 31)
    widths = attention_widths(op, I8, I8, I8)
    s = 4 * 128 * 128
    assert widths.s.min <= -s
    assert s <= widths.s.max
    assert widths.below.max >= 2 * s > widths.below.max // 2
    assert widths.scaled.max >= 2 * s * 65535
    total = 12 * 32768
    assert widths.total.max >= total > widths.total.max // 2
    assert widths.a.min <= -128 * total
    b = total.bit_length()
    reciprocal = int(tables.reciprocal()[total >> (b - 10)])
    assert widths.product.max >= (128 * total >> (b - 16)) * reciprocal
    assert widths.b.max >= b


def test_golden_accumulators_lie_in_the_proved_type():
    graph = language()
    node = next(item for item in graph.nodes if item.name == "output")
    tokens = np.random.default_rng(SEED).integers(0, graph.vocabulary, (9, graph.context))
    x = interpreter.sequences(graph, {"tokens": tokens})["mixed"].reshape(-1, 8)
    acc = x @ graph.constants["output.weight"].data.T + graph.constants["output.bias"].data
    type_ = accumulator(node, graph)
    assert type_.min <= acc.min() <= acc.max() <= type_.max
