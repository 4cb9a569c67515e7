"""Every golden operator against the formulas of docs/ir.md, written again with Python integers."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_gen.golden.add import add
from rtl_gen.golden.attention import attention
from rtl_gen.golden.const_matvec import const_matvec
from rtl_gen.golden.conv2d import conv2d
from rtl_gen.golden.embedding import embedding
from rtl_gen.golden.lookup import lookup
from rtl_gen.golden.max_pool import max_pool
from rtl_gen.golden.mul import mul
from rtl_gen.golden.norm import norm
from rtl_gen.golden.requantize import requantize
from rtl_gen.golden.rotary import rotary
from rtl_gen.golden.sample import beta, initial_rng, sample
from rtl_gen.ir import tables
from rtl_gen.ir.types import Dyadic, IntType
from tests.graphs import I8, I10, I16, SEED, U8, U16

RNG = np.random.default_rng(SEED)


def edges(type_: IntType, *shape: int) -> np.ndarray:
    """Random elements of a type, its extremes frequent."""
    x = RNG.integers(type_.min, type_.max + 1, shape)
    pick = RNG.integers(0, 6, shape)
    return np.where(pick == 0, type_.min, np.where(pick == 1, type_.max, x))


def sat(x: int, type_: IntType) -> int:
    return min(max(x, type_.min), type_.max)


def scaled(a: int, m: int, s: int, type_: IntType) -> int:
    return sat((a * m + ((1 << s) >> 1)) >> s, type_)


@pytest.mark.parametrize("out", [I8, U8, I16])
@pytest.mark.parametrize("shift", [0, 1, 17, 47])
def test_requantize(out, shift):
    acc = np.concatenate([edges(IntType(30), 200), [0, 1, -1, 2**45, -(2**45)]])
    m = edges(U16, len(acc)).clip(1)
    want = [scaled(int(a), int(f), shift, out) for a, f in zip(acc, m, strict=True)]
    assert requantize(acc, m, shift, out).tolist() == want


def test_requantize_rounds_half_up():
    assert requantize(np.array([-3, -1, 1, 3]), 1, 1, I8).tolist() == [-1, 0, 1, 2]


def test_embedding():
    table, m = edges(I8, 9, 5), edges(U16, 9).clip(1)
    index = RNG.integers(0, 9, 20)
    want = [[scaled(int(w), int(m[i]), 9, I16) for w in table[i]] for i in index]
    assert embedding(index, table, m, 9, I16).tolist() == want


@pytest.mark.parametrize("weight_type", [IntType(2), IntType(4), I8])
def test_const_matvec(weight_type):
    x, weight = edges(I8, 7, 3, 4), edges(weight_type, 5, 12)
    bias, m = edges(IntType(20), 5), edges(U16, 5).clip(1)
    want = []
    for row in x.reshape(7, 12):
        acc = [sum(int(w) * int(e) for w, e in zip(weight[j], row, strict=True)) for j in range(5)]
        want.append([scaled(acc[j] + int(bias[j]), int(m[j]), 21, I8) for j in range(5)])
    assert const_matvec(x, weight, bias, m, 21, I8).tolist() == want


def test_const_matvec_is_exact_where_floating_point_is_not():
    weight = np.array([[2**15 - 1, -(2**15) + 2]])
    x = np.array([[2**40 + 1, 2**40 + 1]])
    assert const_matvec(x, weight, None, np.array([1]), 0, IntType(48)).tolist() == [[2**40 + 1]]


def test_conv2d():
    x, weight = edges(U8, 2, 2, 6, 5), edges(I8, 3, 2, 3, 2)
    bias, m = edges(IntType(16), 3), edges(U16, 3).clip(1)
    got = conv2d(x, weight, bias, m, 20, (2, 1), (1, 2), I16)
    rows, columns = (6 + 2 - 3) // 2 + 1, (5 + 4 - 2) // 1 + 1
    assert got.shape == (2, 3, rows, columns)
    for n, o, r, c in np.ndindex(got.shape):
        acc = int(bias[o])
        for i, a, b in np.ndindex(weight.shape[1:]):
            y, z = r * 2 + a - 1, c + b - 2
            if 0 <= y < 6 and 0 <= z < 5:
                acc += int(weight[o, i, a, b]) * int(x[n, i, y, z])
        assert got[n, o, r, c] == scaled(acc, int(m[o]), 20, I16)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("type_", [I8, I16])
@pytest.mark.parametrize("bias", [False, True])
def test_norm(center, type_, bias):
    n, fraction, shift, eps = 12, 13, 19, 5
    x = np.concatenate([edges(type_, 30, n), np.zeros((1, n), np.int64), np.full((1, n), 7)])
    gain = edges(I16, n)
    offset = edges(IntType(24), n) if bias else None
    rsqrt = tables.rsqrt()
    got = norm(x, gain, offset, eps, center, fraction, shift, I8)
    for row, result in zip(x.tolist(), got.tolist(), strict=True):
        total = sum(row) if center else 0
        q = n * sum(e * e for e in row) - total**2 + eps
        h = (q.bit_length() + 1) // 2
        assert 4 ** (h - 1) <= q < 4**h
        r = int(rsqrt[q * 2**10 // 4**h])
        for i in range(n):
            right = 15 + h - fraction
            t = ((n * row[i] - total) * r + ((1 << right) >> 1)) >> right
            y = t * int(gain[i]) + (int(offset[i]) if bias else 0)
            assert result[i] == sat((y + ((1 << shift) >> 1)) >> shift, I8)


def test_rotary():
    heads, size, context, shift = 3, 6, 10, 18
    x = edges(I16, 10, heads * size)
    cos, sin = edges(I16, context, size // 2), edges(I16, context, size // 2)
    position = RNG.permutation(context)
    got = rotary(x, position, cos, sin, heads, shift, I8)
    for n, row in enumerate(x.tolist()):
        for h in range(heads):
            for j in range(size // 2):
                a, b = row[h * size + j], row[h * size + j + size // 2]
                c, z = int(cos[position[n], j]), int(sin[position[n], j])
                half = (1 << shift) >> 1
                assert got[n, h * size + j] == sat((a * c - b * z + half) >> shift, I8)
                high = sat((b * c + a * z + half) >> shift, I8)
                assert got[n, h * size + j + size // 2] == high


@pytest.mark.parametrize("positions", [1, 2, 3, 40])
@pytest.mark.parametrize("score", [Dyadic(1, 9), Dyadic(51234, 17)])
def test_attention(positions, score):
    heads, kv_heads, size, shift = 4, 2, 4, 30
    q = edges(I8, 6, heads * size)
    keys, values = (edges(I8, 6, positions, kv_heads, size) for _ in range(2))
    exp2, reciprocal = tables.exp2(), tables.reciprocal()
    got = attention(q, keys, values, heads, score, shift, I8)
    for n in range(6):
        for h in range(heads):
            g = h // (heads // kv_heads)
            query = q[n, h * size : (h + 1) * size].tolist()
            s = [
                sum(a * int(b) for a, b in zip(query, keys[n, t, g], strict=True))
                for t in range(positions)
            ]
            z = [min(((max(s) - e) * score.multiplier) >> score.shift, 4095) for e in s]
            p = [int(exp2[e & 255]) >> (e >> 8) for e in z]
            b = sum(p).bit_length()
            r = int(reciprocal[sum(p) >> (b - 10)])
            for d in range(size):
                a = sum(e * int(values[n, t, g, d]) for t, e in enumerate(p))
                y = ((a >> (b - 16)) * r + (1 << (shift - 1))) >> shift
                assert got[n, h * size + d] == sat(y, I8)


def test_lookup():
    table, x = edges(I16, 1024), edges(I10, 50)
    assert lookup(x, table, I10).tolist() == [int(table[e + 512]) for e in x]


def test_add_saturates():
    a, b = edges(I16, 100), edges(I16, 100)
    want = [sat(int(p) + int(q), I16) for p, q in zip(a, b, strict=True)]
    assert add(a, b, I16).tolist() == want


def test_mul():
    a, b = edges(I16, 100), edges(I16, 100)
    scale = Dyadic(51111, 39)
    want = [scaled(int(p) * int(q), 51111, 39, I8) for p, q in zip(a, b, strict=True)]
    assert mul(a, b, scale, I8).tolist() == want


def test_max_pool():
    x = edges(I8, 2, 3, 7, 6)
    got = max_pool(x, (3, 2), (2, 2))
    assert got.shape == (2, 3, 3, 3)
    for n, o, r, c in np.ndindex(got.shape):
        assert got[n, o, r, c] == x[n, o, 2 * r : 2 * r + 3, 2 * c : 2 * c + 2].max()


@pytest.mark.parametrize("inverse_temperature", [0, 1, 700, 65535])
def test_sample(inverse_temperature):
    noise, shift, rng = tables.gumbel(), 5, initial_rng(SEED)
    for _ in range(20):
        logits = edges(I16, 33)
        state, scores = rng, []
        for logit in logits.tolist():
            if inverse_temperature == 0:
                scores.append(logit)
                continue
            state ^= (state << 13) % 2**32
            state ^= state >> 17
            state ^= (state << 5) % 2**32
            bits = f"{state >> 16:016b}"
            n = min(len(bits) - len(bits.lstrip("0")), 15)
            f = int((bits[n + 1 :] + "0" * 16)[:6], 2) if n < 15 else 0
            scores.append(logit * inverse_temperature + (int(noise[64 * n + f]) << shift))
        token, rng = sample(logits, noise, shift, inverse_temperature, rng)
        assert token == scores.index(max(scores))
        assert rng == state


def test_sample_takes_the_lowest_of_equal_scores():
    assert sample(np.array([3, 9, 9]), tables.gumbel(), 0, 0, 1) == (1, 1)


def test_initial_rng_is_never_zero():
    # the multiplier is odd, so exactly one seed modulo 2**32 maps to 0
    zero = (-0x9E3779B9 * pow(2654435769, -1, 2**32)) % 2**32
    assert initial_rng(zero) == 1
    assert initial_rng(0) == 0x9E3779B9


def test_beta_of_temperature():
    assert beta(0, 0.01, 4) == 0
    assert beta(1, 2**-4, 5) == 512
    assert beta(2, 2**-4, 5) == 256
    assert beta(1e-9, 1.0, 5) == 65535
    with pytest.raises(ValueError, match="temperature must be 0"):
        beta(-1, 1.0, 5)


def test_sampling_follows_softmax():
    logits = np.array([0, 256, 512, -10000])
    counts, rng, draws = np.zeros(4), initial_rng(3), 20000
    for _ in range(draws):
        token, rng = sample(logits, tables.gumbel(), 2, 4, rng)
        counts[token] += 1
    want = np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()
    # four standard deviations of a binomial share, and the table's steps
    assert abs(counts[:3] / draws - want).max() < 4 * 0.5 / draws**0.5
    assert counts[3] == 0
