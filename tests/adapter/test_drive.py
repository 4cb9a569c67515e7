"""`benchmarks/drive.py` gives the network what it was trained on, and finds its law of steering."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import drive
from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint

MODEL = Path("../shared/models/drive-vla-llama-h32")

stored = pytest.mark.skipif(not MODEL.is_dir(), reason="needs ../shared/models/drive-vla-llama-h32")


def lanes(place: float, heading: float = 0.0, curvature: float = 0.0) -> drive.Seen:
    return drive.Seen(*(np.array([value]) for value in (place, heading, curvature)))


def test_pictures_show_three_lines() -> None:
    (straight,) = drive.pictures(lanes(0.0))
    # Lines at columns 1.5, 4 and 6.5, each in one column all the way.
    assert (straight == straight[0]).all()
    assert np.flatnonzero(straight[0]).tolist() == [1, 4, 6]
    (left,) = drive.pictures(lanes(1.0))
    assert np.flatnonzero(left[0]).tolist() == [0, 3, 5]
    (turned,) = drive.pictures(lanes(0.0, heading=0.3))
    # A line that crosses into another column within a row sets both pixels.
    assert (turned.sum(1) > 3).any()
    assert np.flatnonzero(turned[7]).max() > np.flatnonzero(turned[0]).max()


@stored
def test_tokens_stand_where_the_stored_ones_do() -> None:
    known = np.load(MODEL / "reference.npz")["in_input_ids"]
    picture = np.arange(64).reshape(1, 8, 8) % 2
    (made,) = drive.tokens("left lane\n", picture)
    like = next(row for row in known if bytes(row[row > 0][:9].astype(np.uint8)) == b"left lane")
    assert made[:21].tolist() == like[:21].tolist()
    assert len(made) == len(like) - 1  # the steering angle is the network's answer
    for row in known:
        assert ((row[21:37] >= drive.PATCHES) & (row[21:37] < drive.PATCHES + 16)).all()
        assert drive.STEERING <= row[38] < drive.STEERING + 15


@stored
def test_the_network_pursues_a_point_ahead() -> None:
    checkpoint = open_checkpoint(MODEL)
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)

    def answers(x):
        return drive.expected(reference.run(model, weights, {"input_ids": x})["logits"])

    found = drive.law(answers, 200)
    # Pure pursuit: heading and curvature tell of the same point.
    assert found.ahead == pytest.approx(found.bend, rel=0.05)
    assert found.rest < 0.7
    assert found.turn == pytest.approx(2 / 4.17**2 / 2.57, rel=0.05)
