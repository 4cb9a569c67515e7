"""Frequencies of rotary embeddings for every kind of scaling."""

from __future__ import annotations

import math

import pytest

from rtl_gen.checkpoint import open_checkpoint
from rtl_gen.checkpoint.rope import frequencies
from rtl_gen.errors import CheckpointError, UnsupportedError
from tests.checkpoints import tiny_llama

DIM = 16
THETA = 10000.0
PLAIN = [1.0, 0.31622776601683794, 0.1, 0.031622776601683791, 0.01, 0.0031622776601683794,
         0.001, 0.00031622776601683794]  # fmt: skip


def turned(tmp_path, context=64, **config):
    checkpoint = open_checkpoint(tiny_llama(tmp_path, **config))
    return frequencies(checkpoint, DIM, context)


def scaled(tmp_path, context=64, **settings):
    return turned(tmp_path, context, rope_parameters={"rope_theta": THETA, **settings})


def test_default(tmp_path):
    found, factor = scaled(tmp_path, rope_type="default")
    assert found == pytest.approx(PLAIN, rel=1e-15)
    assert factor == 1


def test_theta_is_the_base(tmp_path):
    found, _ = turned(tmp_path, rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
    assert found[4] == pytest.approx(500000.0**-0.5)


def test_older_keys_mean_the_same(tmp_path):
    new = scaled(tmp_path, rope_type="linear", factor=4.0)
    scaling = {"type": "linear", "factor": 4.0}
    old = turned(tmp_path, rope_parameters=None, rope_theta=THETA, rope_scaling=scaling)
    assert new == old
    bare = turned(tmp_path, rope_parameters=None, rope_theta=THETA)
    assert bare == scaled(tmp_path, rope_type="default")


def test_linear_divides_by_the_factor(tmp_path):
    found, _ = scaled(tmp_path, rope_type="linear", factor=4)
    assert found == pytest.approx([f / 4 for f in PLAIN])


def test_dynamic_is_plain_within_the_context(tmp_path):
    assert scaled(tmp_path, rope_type="dynamic", factor=2.0) == scaled(tmp_path)
    with pytest.raises(UnsupportedError, match="original_max_position_embeddings 32"):
        scaled(tmp_path, rope_type="dynamic", factor=2, original_max_position_embeddings=32)


def test_llama3_scales_by_wavelength(tmp_path):
    found, factor = scaled(
        tmp_path,
        rope_type="llama3",
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=1024,
    )
    assert factor == 1
    for plain, value in zip(PLAIN, found, strict=True):
        wavelength = 2 * math.pi / plain
        if wavelength < 1024 / 4:
            assert value == plain
        elif wavelength > 1024 / 1:
            assert value == pytest.approx(plain / 8)
        else:
            smooth = (1024 / wavelength - 1) / (4 - 1)
            assert value == pytest.approx(((1 - smooth) / 8 + smooth) * plain)
    ratios = [value / plain for plain, value in zip(PLAIN, found, strict=True)]
    assert ratios[0] == 1  # all three ranges occur
    assert 1 / 8 < ratios[4] < 1
    assert ratios[-1] == pytest.approx(1 / 8)


def test_yarn_keeps_fast_and_divides_slow_frequencies(tmp_path):
    found, factor = scaled(
        tmp_path,
        context=512,
        rope_type="yarn",
        factor=4.0,
        original_max_position_embeddings=128,
        beta_fast=8.0,
        beta_slow=1.0,
    )
    assert factor == pytest.approx(0.1 * math.log(4) + 1)
    # dimension with r turns in 128 positions: 16 ln(128 / (2 pi r)) / (2 ln 10000)
    # r = 8: 0.81, down to 0; r = 1: 2.62, up to 3
    ramp = [0, 1 / 3, 2 / 3, 1, 1, 1, 1, 1]
    expected = [f * (1 - r) + f / 4 * r for f, r in zip(PLAIN, ramp, strict=True)]
    assert found == pytest.approx(expected, rel=1e-12)


def test_yarn_without_truncation_uses_exact_bounds(tmp_path):
    found, _ = scaled(
        tmp_path,
        context=512,
        rope_type="yarn",
        factor=4.0,
        original_max_position_embeddings=128,
        beta_fast=8.0,
        beta_slow=1.0,
        truncate=False,
    )
    low, high = (8 * math.log(128 / (2 * math.pi * r)) / math.log(THETA) for r in (8, 1))
    ramp = (1 - low) / (high - low)
    assert found[1] == pytest.approx(PLAIN[1] * (1 - ramp) + PLAIN[1] / 4 * ramp)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"attention_factor": 1.25}, 1.25),
        ({"factor": 1.0}, 1.0),
        (
            {"mscale": 1.0, "mscale_all_dim": 0.5},
            (0.1 * math.log(4) + 1) / (0.05 * math.log(4) + 1),
        ),
    ],
)
def test_yarn_attention_factor(tmp_path, settings, expected):
    base = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    _, factor = scaled(tmp_path, **(base | settings))
    assert factor == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"rope_type": "longrope"}, UnsupportedError, "rope_type 'longrope' is not supported"),
        ({"rope_type": ["yarn"]}, UnsupportedError, "is not supported"),
        ({"rope_type": "linear"}, CheckpointError, "factor: expected a positive number"),
        ({"rope_type": "linear", "factor": 0}, CheckpointError, "factor: expected"),
        ({"rope_type": "llama3", "factor": 2}, CheckpointError, "low_freq_factor: expected"),
        ({"partial_rotary_factor": 0.5}, UnsupportedError, "partial_rotary_factor 0.5"),
        ({"full_attention": {"rope_theta": 1.0}}, UnsupportedError, "differs between layers"),
        ({"rope_theta": -1}, CheckpointError, "rope_theta: expected a positive number"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, settings, kind, message):
    with pytest.raises(kind, match=message) as caught:
        scaled(tmp_path, **settings)
    assert "config.json" in str(caught.value)
