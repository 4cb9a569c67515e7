"""Each operator of the reference against its formula, written with loops over scalars."""

from __future__ import annotations

import cmath
import math
import os

import numpy as np
import pytest

from rtl_gen.reference import operators

SEED = int(os.environ.get("TEST_SEED", "20"))


@pytest.fixture
def rng():
    print(f"TEST_SEED={SEED}")
    return np.random.default_rng(SEED)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_embedding_selects_rows(rng):
    table = rng.normal(size=(5, 3))
    close(operators.embedding(np.array([[4, 0]]), table), [[table[4], table[0]]])


@pytest.mark.parametrize("index", [-1, 5])
def test_embedding_refuses_an_index_outside(rng, index):
    with pytest.raises(ValueError, match="table of 5 rows"):
        operators.embedding(np.array([index]), rng.normal(size=(5, 3)))


@pytest.mark.parametrize("biased", [False, True])
def test_linear(rng, biased):
    x, weight = rng.normal(size=(2, 2, 4)), rng.normal(size=(3, 4))
    bias = rng.normal(size=3) if biased else None
    expected = np.empty((2, 2, 3))
    for place in np.ndindex(2, 2, 3):
        *lead, j = place
        total = sum(weight[j, k] * x[*lead, k] for k in range(4))
        expected[place] = total + (bias[j] if biased else 0)
    close(operators.linear(x, weight, bias), expected)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_norm(rng, center, affine):
    x = rng.normal(1, 2, size=(3, 6))
    gain, bias = (rng.normal(size=6), rng.normal(size=6)) if affine else (None, None)
    for row, found in zip(x, operators.norm(x, gain, bias, 0.01, center=center), strict=True):
        mean = math.fsum(row) / 6 if center else 0
        variance = math.fsum((v - mean) ** 2 for v in row) / 6
        for j in range(6):
            y = (row[j] - mean) / math.sqrt(variance + 0.01)
            close(found[j], y * gain[j] + bias[j] if affine else y)


def test_rotary_is_a_complex_rotation(rng):
    heads, dim, scale = 2, 6, 1.5
    frequencies = np.array([1.0, 0.3, 0.01])
    x = rng.normal(size=(1, 3, heads * dim))
    position = np.array([[0, 7, 11]])
    found = operators.rotary(x, position, heads, frequencies, scale)
    for t in range(3):
        for h in range(heads):
            for j in range(dim // 2):
                a, b = h * dim + j, h * dim + j + dim // 2
                turn = cmath.exp(1j * position[0, t] * frequencies[j]) * scale
                z = complex(x[0, t, a], x[0, t, b]) * turn
                close([found[0, t, a], found[0, t, b]], [z.real, z.imag])


@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (4, 2), (3, 1), (2, 2)])
@pytest.mark.parametrize(("position", "time"), [(0, 1), (0, 4), (3, 2)])
def test_attention(rng, heads, kv_heads, position, time):
    batch, dim, length, scale = 2, 3, position + time, 0.7
    q = rng.normal(size=(batch, time, heads, dim))
    keys = rng.normal(size=(batch, length, kv_heads, dim))
    values = rng.normal(size=(batch, length, kv_heads, dim))
    found = operators.attention(q, keys, values, position, scale)
    for b, t, h in np.ndindex(batch, time, heads):
        g = h // (heads // kv_heads)
        past = range(position + t + 1)
        exps = [math.exp(scale * float(q[b, t, h] @ keys[b, s, g])) for s in past]
        expected = sum(e * values[b, s, g] for e, s in zip(exps, past, strict=True)) / sum(exps)
        close(found[b, t, h], expected)


def test_softmax_of_large_scores():
    close(operators.softmax(np.array([1000.0, 1000.0, -np.inf])), [0.5, 0.5, 0])


FORMULAS = {
    "relu": lambda x: max(x, 0),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x / 2 * math.erfc(-x / math.sqrt(2)),
    "gelu_tanh": lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x / (1 + math.exp(-1.702 * x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1),
}


@pytest.mark.parametrize("kind", FORMULAS)
def test_activation(kind):
    x = np.linspace(-9, 9, 73)
    close(operators.activation(x, kind), [FORMULAS[kind](v) for v in x])


@pytest.mark.parametrize("kind", FORMULAS)
def test_activation_of_large_numbers_is_finite(kind):
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(operators.activation(np.array([-1e4, 1e4]), kind)).all()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((1, 1), (1, 1), (0, 0)),
        ((3, 3), (1, 1), (1, 1)),
        ((3, 2), (2, 1), (0, 2)),
        ((5, 4), (3, 2), (2, 0)),
    ],
)
@pytest.mark.parametrize("biased", [False, True])
def test_conv2d(rng, kernel, stride, padding, biased):
    x = rng.normal(size=(2, 1, 2, 6, 5))
    weight = rng.normal(size=(3, 2, *kernel))
    bias = rng.normal(size=3) if biased else None
    rows, columns = (
        (n + 2 * p - k) // s + 1 for n, p, k, s in zip((6, 5), padding, kernel, stride, strict=True)
    )
    expected = np.zeros((2, 1, 3, rows, columns))
    for b, o, r, c in np.ndindex(2, 3, rows, columns):
        for i, dr, dc in np.ndindex(2, *kernel):
            y, z = r * stride[0] + dr - padding[0], c * stride[1] + dc - padding[1]
            if 0 <= y < 6 and 0 <= z < 5:
                expected[b, 0, o, r, c] += weight[o, i, dr, dc] * x[b, 0, i, y, z]
        expected[b, 0, o, r, c] += bias[o] if biased else 0
    close(operators.conv2d(x, weight, bias, stride, padding), expected)


@pytest.mark.parametrize(
    ("kernel", "stride"), [((2, 2), (2, 2)), ((3, 1), (1, 2)), ((2, 3), (3, 1))]
)
def test_maxpool2d(rng, kernel, stride):
    x = rng.normal(size=(2, 1, 3, 7, 5))
    found = operators.maxpool2d(x, kernel, stride)
    assert found.shape[-2:] == ((7 - kernel[0]) // stride[0] + 1, (5 - kernel[1]) // stride[1] + 1)
    for b, o, r, c in np.ndindex(2, 3, *found.shape[-2:]):
        window = [x[b, 0, o, r * stride[0] + i, c * stride[1] + j] for i, j in np.ndindex(*kernel)]
        assert found[b, 0, o, r, c] == max(window)
