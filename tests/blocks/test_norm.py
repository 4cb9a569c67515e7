"""`rtl_gen.blocks.norm` against `rtl_gen.golden.norm`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_gen.blocks.norm import GAIN_BITS, NORMAL_BITS, Norm
from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import pack
from rtl_gen.golden.norm import bit_length, norm
from rtl_gen.ir import tables
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb, seed

BIAS = IntType(24)
EPS_WIDTH = 30


def constants(sizes: list[int]) -> list[tuple[NDArray[np.int64], NDArray[np.int64] | None]]:
    """Gain and bias (None for every other vector) per size."""
    rng = np.random.default_rng(seed())
    return [
        (numbers(rng, IntType(GAIN_BITS), size), numbers(rng, BIAS, size) if i % 2 else None)
        for i, size in enumerate(sizes)
    ]


def vectors(rng: np.random.Generator, kind: IntType, size: int) -> list[NDArray[np.int64]]:
    """Flat, extreme, spiky, tiny and random vectors."""
    spike = np.zeros(size, np.int64)
    spike[-1] = kind.min
    alternating = np.where(np.arange(size) % 2, kind.min, kind.max)
    return [
        np.zeros(size, np.int64),
        np.full(size, kind.min),
        np.full(size, kind.max),
        spike,
        alternating,
        rng.integers(-2, 3, size),
        numbers(rng, kind, size),
        rng.integers(-500, 500, size).clip(kind.min, kind.max),
    ]


def largest_fraction(size: int) -> int:
    """Most fraction bits with which a normalized element fits the block's register."""
    return next(
        f for f in range(15, -1, -1) if size**0.5 * 2**f * (1 + 2**-9) + 1 < 1 << (NORMAL_BITS - 1)
    )


def test_golden_bit_length_at_powers_of_two() -> None:
    x = np.array([0, 1, 2, 3, 4, (1 << 32) - 1, 1 << 32, (1 << 62) - 1, 1 << 62])
    assert bit_length(x).tolist() == [int(n).bit_length() for n in x]


def test_golden_of_zeros_is_the_bias() -> None:
    gain, bias = np.full(4, 1 << 14), np.array([0, 256, -256, 128])
    y = norm(np.zeros((1, 4), np.int64), gain, bias, 1, False, 10, 8, IntType(8))
    assert y.tolist() == [[0, 1, -1, 1]]


def test_golden_of_a_constant_vector_is_zero_when_centered() -> None:
    x = np.full((1, 5), -32768)
    assert norm(x, np.full(5, 32767), None, 1, True, 12, 12, IntType(8)).tolist() == [[0] * 5]


@pytest.mark.parametrize("center", [False, True])
def test_golden_is_within_its_stated_error_of_real_normalization(center: bool) -> None:
    rng = np.random.default_rng(seed())
    x = rng.integers(-20000, 20000, (50, 32))
    real = x - center * x.mean(axis=1, keepdims=True)
    real /= np.sqrt((real**2).mean(axis=1, keepdims=True))
    y = norm(x, np.full(32, 1 << 14), None, 1, center, 14, 16, IntType(20))
    # gain 2**14, 14 fraction bits, shift 16: 4096 steps are 1.0; half a step at either rounding.
    assert (abs(y - real * 4096) <= abs(real * 4096) * 2**-10 + 1).all()


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("width", "sizes", "max_size", "elements"),
    [
        (16, [16, 1, 5, 2], 16, 1),
        (16, [64, 48], 64, 1),
        (8, [3, 7], 7, 1),
        (8, [6, 2], 7, 2),
        (16, [4, 20, 8], 64, 4),
    ],
)
def test_block_equals_golden(
    width: int, sizes: list[int], max_size: int, elements: int, tmp_path: Path
) -> None:
    mask = (1 << GAIN_BITS) - 1
    rows = [
        (int(g) & mask) | (int(b) & ((1 << BIAS.width) - 1)) << GAIN_BITS
        for gain, bias in constants(sizes)
        for g, b in zip(gain, np.zeros_like(gain) if bias is None else bias, strict=True)
    ]
    words = pack(rows, GAIN_BITS + BIAS.width, elements)
    run_cocotb(
        Norm(
            width=width,
            max_size=max_size,
            depth=len(words),
            bias_width=BIAS.width,
            eps_width=EPS_WIDTH,
            elements=elements,
        ),
        module=__name__,
        build_dir=tmp_path,
        parameters={"width": width, "sizes": sizes, "elements": elements},
        files={
            "rom/norm_gain.hex": rom.image(words, elements * (GAIN_BITS + BIAS.width)),
            "rom/rsqrt.hex": rom.image(tables.rsqrt(), 16),
        },
    )


@cocotb.test()
@paced
async def flat_spiky_and_random_vectors(dut: Any, idle: str, stall: str) -> None:
    width, sizes, elements = parameters().values()
    kind = IntType(width)
    bench = Bench(dut, ["i"], idle, stall, elements=elements)
    await bench.reset(
        start=0, size=0, center=0, eps=1, fraction=0, gain_base=0, shift=1, low=0, high=0
    )
    gain_base = 0
    for size, (gain, bias) in zip(sizes, constants(sizes), strict=True):
        most = largest_fraction(size)
        for i, x in enumerate(vectors(bench.rng, kind, size)):
            for center in (False, True):
                eps = (1, (1 << EPS_WIDTH) - 1, int(bench.rng.integers(1, 1 << 20)))[i % 3]
                fraction = (most, 0, int(bench.rng.integers(0, most + 1)))[i % 3]
                shift = int(bench.rng.integers(max(1, fraction), fraction + 15))
                out = (kind, IntType(8))[i % 2]
                await bench.begin(
                    size=size,
                    center=center,
                    eps=eps,
                    fraction=fraction,
                    gain_base=gain_base,
                    shift=shift,
                    low=out.min,
                    high=out.max,
                )
                y = norm(x[None], gain, bias, eps, center, fraction, shift, out)
                await bench.exchange(
                    y[0],
                    f"size {size}, center {center}, eps {eps}, fraction {fraction}, "
                    f"shift {shift}, {out}",
                    i=[*x, *x],
                )
        gain_base += size // elements
