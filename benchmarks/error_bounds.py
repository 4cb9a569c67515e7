"""Nonlinear operators in integers against float64: the largest error met, and the proved bound.

Run from the repository root: ``python -m benchmarks.error_bounds`` prints the Markdown table of
``docs/ir.md``, "Errors". Inputs are random over many scales, with the extremes among them. What is
compared is the exact value of the formula with the same integer constants, in steps of the output:
errors of constants (rounded gains, scales) are quantization's, not the operators'.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.attention import attention
from rtl_gen.golden.lookup import lookup
from rtl_gen.golden.norm import norm
from rtl_gen.golden.rotary import rotary
from rtl_gen.ir.types import Dyadic, IntType

Real = NDArray[np.float64]
WIDE = IntType(32)
"""Output type that never saturates: saturation is no error of the operators."""


@dataclass(frozen=True, slots=True)
class Error:
    """What was found for one operator.

    Parameters
    ----------
    name : str
    values : int
        Elements compared.
    largest : float
        Largest error, in steps of the output.
    relative : float
        Largest error beyond the rounding of the result, relative to the largest result of its
        vector (of the means: to the largest value; of RoPE: to the sum of the pair's sizes).
    tightness : float
        Largest error divided by its bound; above 1 the bound is wrong.
    """

    name: str
    values: int
    largest: float
    relative: float
    tightness: float


def _error(name: str, found: NDArray[np.int64], exact: Real, bound: Real, unit: Real) -> Error:
    """`unit` is what the relative error refers to, of the shape of the results."""
    error = np.abs(found - exact)
    beyond = np.maximum(error - 0.5, 0) / np.maximum(unit, 1)
    return Error(
        name, error.size, float(error.max()), float(beyond.max()), float((error / bound).max())
    )


def _vectors(rng: np.random.Generator, count: int, n: int, largest: int) -> NDArray[np.int64]:
    """Vectors of every magnitude up to `largest`; constant, one-hot and alternating ones too."""
    scales = largest * 2.0 ** -rng.integers(0, 14, (count, 1))
    x = np.clip(np.rint(rng.normal(0, scales / 3, (count, n))), -largest, largest)
    x[0], x[1], x[2] = largest, np.eye(n)[0] * largest, largest * (-1.0) ** np.arange(n)
    x[3] = 0
    return x.astype(np.int64)


def norms(rng: np.random.Generator, center: bool) -> Error:
    """RMSNorm or LayerNorm of 16-bit vectors.

    ``r`` has a relative error of 2**-10 and t is rounded once, so
    ``|y - exact| <= 2**-10 |exact| + (1/2 + 2**-10 |t|) |gain| / 2**s + 1/2``; the middle term
    counts the rounding of t only, as the relative error of r is in the first.
    """
    found, exacts, bounds, units = [], [], [], []
    for n in (16, 64, 172):
        x = _vectors(rng, 400, n, 32767)
        gain = rng.integers(-32768, 32768, n)
        fraction, shift, eps = 17 - int(np.ceil(np.log2(np.sqrt(n)) + 1)), 15, n * n
        found.append(norm(x, gain, None, eps, center, fraction, shift, WIDE).ravel())
        s = x.sum(axis=1, keepdims=True) if center else np.zeros((len(x), 1), np.int64)
        q = n * (x * x).sum(axis=1, keepdims=True) - s**2 + eps
        exact = 2.0**fraction * (n * x - s) / np.sqrt(q.astype(np.float64)) * gain / 2.0**shift
        exacts.append(exact.ravel())
        slack = np.broadcast_to(0.5 * np.abs(gain) / 2.0**shift + 0.5, exact.shape)
        bounds.append((np.abs(exact) * 2.0**-10 + slack).ravel())
        units.append(np.broadcast_to(np.abs(exact).max(axis=1)[:, None], exact.shape).ravel())
    y, exact, bound, unit = (np.concatenate(part) for part in (found, exacts, bounds, units))
    return _error("LayerNorm" if center else "RMSNorm", y, exact, bound, unit)


def softmax(rng: np.random.Generator) -> Error:
    """Attention of one head over 1 … 512 positions, the weighted mean in steps of 2**-4.

    A weight ``p`` is the exact one times 1 - d, 0 <= d <= 1 - 2**(-1/256) + 2**-15, less at most 1
    of 32768; a common factor cancels, so the mean moves by at most ``max|v| (d + 2 n / L)``, and
    the reciprocal adds 2**-10 of it; the sums lose less than a step of 2**(b - 16) in A.
    """
    found, exacts, bounds, units = [], [], [], []
    head, j = 8, 4
    for n in (1, 2, 17, 128, 512):
        for spread in (0.3, 2.0, 12.0):
            q = rng.integers(-128, 128, (60, head))
            keys = rng.integers(-128, 128, (60, n, 1, head))
            values = rng.integers(-128, 128, (60, n, 1, head))
            s = np.einsum("bd,btd->bt", q, keys[:, :, 0])
            peak = max(1.0, float(np.abs(s).max()))
            score = Dyadic(max(1, int(spread * 256 / peak * 2.0**20)), 20)
            found.append(attention(q, keys, values, 1, score, 31 - j, WIDE).ravel())
            z = (s.max(axis=1, keepdims=True) - s) * score.multiplier / 2.0**score.shift
            p = 2.0 ** (-z / 256)
            total = p.sum(axis=1, keepdims=True)
            mean = np.einsum("bt,btd->bd", p / total, values[:, :, 0].astype(np.float64))
            exacts.append((mean * 2.0**j).ravel())
            top = np.abs(values).max(axis=(1, 2, 3))[:, None] * 2.0**j
            weights = 1 - 2.0 ** (-1 / 256) + 2.0**-15 + 2 * n / (32768 * total)
            bound = top * (weights + 2.0**-10) + 2.0**j * 2.0**-15 + 0.5
            bounds.append(np.broadcast_to(bound, mean.shape).ravel())
            units.append(np.broadcast_to(top, mean.shape).ravel())
    y, exact, bound, unit = (np.concatenate(part) for part in (found, exacts, bounds, units))
    return _error("softmax and weighted mean", y, exact, bound, unit)


def rotation(rng: np.random.Generator) -> Error:
    """Pairs of 16-bit elements turned by i16 tables with 14 fraction bits.

    Both factors are rounded: ``|y - exact| <= (|a| + |b|) 2**-15 + 1/2``.
    """
    context, half, shift = 512, 8, 14
    angle = np.arange(context)[:, None] * 10000.0 ** -(np.arange(half) / half)
    cos, sin = (np.rint(f(angle) * 2.0**shift).astype(np.int64) for f in (np.cos, np.sin))
    x = _vectors(rng, 2000, 2 * half, 32767)
    position = rng.integers(0, context, len(x))
    y = rotary(x, position, cos, sin, 1, shift, WIDE)
    a, b = x[:, :half], x[:, half:]
    c, z = np.cos(angle[position]), np.sin(angle[position])
    exact = np.concatenate([a * c - b * z, b * c + a * z], axis=1)
    size = np.tile(np.abs(a) + np.abs(b), 2).astype(np.float64)
    return _error("RoPE", y, exact, size * 2.0**-15 + 0.5, size)


def _silu(x: Real) -> Real:
    return np.asarray(x / (1 + np.exp(-x)))


def _gelu(x: Real) -> Real:
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    return np.asarray(0.5 * x * (1 + np.tanh(inner)))


def table(name: str, function: Callable[[Real], Real]) -> Error:
    """A function of 8-bit elements over -8 … 8 as a table of 8 bits: every input has its entry.

    An entry is the rounded value, so the error is half a step.
    """
    source = IntType(8)
    x = np.arange(source.min, source.max + 1)
    exact = function(x * 8 / 128) * 127 / 8
    entries = np.rint(exact).astype(np.int64)
    y = lookup(x, entries, source)
    return _error(name, y, exact, np.full(len(x), 0.5), np.full(len(x), 127.0))


def errors(seed: int = 1) -> list[Error]:
    """Measure every operator."""
    rng = np.random.default_rng(seed)
    return [
        norms(rng, center=False),
        norms(rng, center=True),
        softmax(rng),
        rotation(rng),
        table("SiLU table", _silu),
        table("GELU table", _gelu),
    ]


def main() -> int:
    """Print the table; the exit status tells whether every bound holds."""
    found = errors()
    print("| operator | values | largest error, steps | beyond rounding, relative | of its bound |")
    print("|---|---|---|---|---|")
    for item in found:
        print(
            f"| {item.name} | {item.values:,} | {item.largest:.2f} | {item.relative:.5f} | "
            f"{item.tightness:.0%} |"
        )
    return int(any(item.tightness > 1 for item in found))


if __name__ == "__main__":
    sys.exit(main())
