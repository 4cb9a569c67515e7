"""Calibration and evaluation data: deterministic, disjoint, of the right form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from flow import data, text
from flow.config import Data
from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import ConfigError
from tests.checkpoints import tiny_llama, tiny_mlp

NAMES = {"characters": "abcdefghijklmnopqrstuvwxyz", "first": 1}
NAMES_DATA = Data("names", "", calibration=40, evaluation=30, length=0)


def load(config: Data, folder, tokenizer="ids"):
    checkpoint = open_checkpoint(folder)
    graph = import_model(checkpoint)
    weights = reference.load_weights(graph, checkpoint)
    words = text.load(tokenizer, folder, graph.vocabulary) if graph.vocabulary else None
    return data.load(config, graph, weights, checkpoint, words)


def rows(examples) -> set[tuple[int, ...]]:
    return {tuple(row) for row in examples.inputs.tolist()}


def test_names_begin_with_bos_and_end_with_eos(tmp_path):
    found = load(NAMES_DATA, tiny_llama(tmp_path, vocab_size=32), NAMES)
    for examples, count in ((found.calibration, 40), (found.evaluation, 30)):
        assert len(examples.inputs) == count
        assert (examples.inputs[:, 0] == 0).all()
        length = examples.mask.sum(1)
        row = np.arange(count)
        assert (examples.targets[row, length - 1] == 0).all()
        assert (examples.inputs[:, 1:] == examples.targets[:, :-1]).all()
        letters = np.where(examples.mask, examples.inputs, 1)[:, 1:]
        assert letters.min() >= 1
        assert letters.max() <= 26
    assert "40 for calibration, 30 others" in found.description


def test_names_are_disjoint_and_repeatable(tmp_path):
    folder = tiny_llama(tmp_path, vocab_size=32)
    first, second = load(NAMES_DATA, folder, NAMES), load(NAMES_DATA, folder, NAMES)
    assert not rows(first.calibration) & rows(first.evaluation)
    assert (first.calibration.inputs == second.calibration.inputs).all()


def test_a_larger_set_keeps_the_smaller_one(tmp_path):
    folder = tiny_llama(tmp_path, vocab_size=32)
    small = load(dataclasses.replace(NAMES_DATA, calibration=5), folder, NAMES)
    large = load(NAMES_DATA, folder, NAMES)
    width = small.calibration.inputs.shape[1]
    assert (small.calibration.mask[:, :width] == large.calibration.mask[:5, :width]).all()


def test_names_need_an_eos(tmp_path):
    folder = tiny_llama(tmp_path, vocab_size=32, eos_token_id=None)
    with pytest.raises(ConfigError, match="needs a model with an eos"):
        load(NAMES_DATA, folder, NAMES)


def text_data(tmp_path, content: str, **changes) -> Data:
    file = tmp_path / "text.txt"
    file.write_text(content, encoding="utf-8")
    values = {"kind": "text", "path": str(file), "calibration": 3, "evaluation": 2, "length": 4}
    return Data(**{**values, **changes})


ALPHABET = {"characters": "abcdefghijklmno", "first": 1}


def test_text_windows_follow_bos_and_do_not_overlap(tmp_path):
    config = text_data(tmp_path, "abcdefghijklmno" * 2)
    found = load(config, tiny_llama(tmp_path / "m"), ALPHABET)
    # 30 tokens, three a window beside bos: 9 windows, the last tokens are only targets
    assert found.calibration.inputs.tolist() == [[0, 1, 2, 3], [0, 4, 5, 6], [0, 10, 11, 12]]
    assert found.calibration.targets.tolist() == [[1, 2, 3, 4], [4, 5, 6, 7], [10, 11, 12, 13]]
    assert found.evaluation.inputs.tolist() == [[0, 1, 2, 3], [0, 7, 8, 9]]


def test_text_without_bos_starts_in_the_text(tmp_path):
    config = text_data(tmp_path, "abcdefghijklmno", calibration=1, evaluation=1)
    found = load(config, tiny_llama(tmp_path / "m", bos_token_id=None), ALPHABET)
    assert found.calibration.inputs.tolist() == [[1, 2, 3, 4]]
    assert found.calibration.targets.tolist() == [[2, 3, 4, 5]]


def test_text_of_a_folder(tmp_path):
    (tmp_path / "texts").mkdir()
    for name in ("b", "a"):
        (tmp_path / "texts" / f"{name}.txt").write_text(name * 10)
    letters = {"characters": "ab\n", "first": 1}
    config = Data("text", str(tmp_path / "texts"), 2, 2, 4)
    found = load(config, tiny_llama(tmp_path / "m"), letters)
    assert found.calibration.inputs[0].tolist() == [0, 1, 1, 1]
    assert found.evaluation.inputs[-1].tolist() == [0, 2, 2, 2]


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ("abc", {}, "has 3 tokens, too few"),
        ("abc" * 20, {"length": 17}, "17 tokens exceed the model's context of 16"),
        ("abc" * 20, {"path": ""}, "kind text needs a path"),
        ("abc" * 20, {"path": "absent.txt"}, "absent.txt does not exist"),
        ("abc" * 20, {"kind": "webtext"}, "found 'webtext'"),
    ],
)
def test_text_that_cannot_be_used(tmp_path, content, changes, message):
    config = text_data(tmp_path, content, **changes)
    with pytest.raises(ConfigError, match=message):
        load(config, tiny_llama(tmp_path / "m"), ALPHABET)


def test_text_that_is_not_utf8(tmp_path):
    config = text_data(tmp_path, "")
    (tmp_path / "text.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(config, tiny_llama(tmp_path / "m"), ALPHABET)


GENERATED = Data("generated", "", calibration=50, evaluation=20, length=8)


def test_generated_sequences_follow_the_model(tmp_path):
    folder = tiny_llama(tmp_path)
    found = load(GENERATED, folder)
    for examples, count in ((found.calibration, 50), (found.evaluation, 20)):
        assert examples.inputs.shape == (count, 8)
        assert (examples.inputs[:, 0] == 0).all()
        assert (examples.inputs[:, 1:] == examples.targets[:, :-1]).all()
        # counted until the first eos (token 0) is predicted, not after it
        ended = (examples.targets == 0).cumsum(1) - (examples.targets == 0) > 0
        assert (examples.mask == ~ended).all()
    assert (load(GENERATED, folder).evaluation.inputs == found.evaluation.inputs).all()
    assert not (found.calibration.inputs[:20] == found.evaluation.inputs).all()


def test_generated_tokens_have_the_model_s_frequencies(tmp_path):
    folder = tiny_llama(tmp_path, eos_token_id=None)
    checkpoint = open_checkpoint(folder)
    graph = import_model(checkpoint)
    weights = reference.load_weights(graph, checkpoint)
    config = dataclasses.replace(GENERATED, calibration=4000, evaluation=1, length=1)
    drawn = load(config, folder).calibration.targets[:, 0]
    logits = reference.run(graph, weights, {"input_ids": np.array([[0]])})["logits"][0, 0]
    chances = np.exp(logits) / np.exp(logits).sum()
    counts = np.bincount(drawn, minlength=16) / len(drawn)
    assert np.abs(counts - chances).max() < 5 * np.sqrt(0.25 / len(drawn))


def npz(tmp_path, **arrays) -> Data:
    np.savez(tmp_path / "data.npz", **arrays)
    return Data("npz", str(tmp_path / "data.npz"), calibration=3, evaluation=2, length=0)


def test_npz_frames_and_labels(tmp_path):
    pixels = np.arange(60, dtype=np.uint8).reshape(10, 6)
    config = npz(tmp_path, in_x=pixels, labels=np.arange(10))
    found = load(config, tiny_mlp(tmp_path / "m"))
    assert found.calibration.inputs.shape == (3, 1, 2, 3)
    assert found.calibration.targets.tolist() == [0, 2, 4]
    assert found.evaluation.targets.tolist() == [6, 8]
    assert (found.evaluation.inputs[1].ravel() == pixels[8] / 16).all()


def test_npz_with_train_and_test_parts(tmp_path):
    config = npz(
        tmp_path,
        x_train=np.ones((5, 2, 3), np.uint8),
        y_train=np.arange(5, dtype=np.uint8),
        x_test=np.zeros((4, 2, 3), np.uint8),
        y_test=np.arange(4, dtype=np.uint8),
    )
    found = load(config, tiny_mlp(tmp_path / "m"))
    assert found.calibration.targets.tolist() == [0, 1, 2]
    assert found.evaluation.targets.tolist() == [0, 1]
    assert (found.calibration.inputs == 1 / 16).all()


def test_npz_tokens_are_shifted(tmp_path):
    config = npz(tmp_path, in_input_ids=np.arange(12).reshape(4, 3))
    found = load(config, tiny_llama(tmp_path / "m"))
    assert found.calibration.inputs.tolist() == [[0, 1], [3, 4]]
    assert found.calibration.targets.tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 6))}, "expected an array in_x, found x"),
        ({"in_x": np.zeros((4, 7))}, "expected frames of shape"),
        ({"in_x": np.full((4, 6), np.inf)}, "NaN or infinity"),
        ({"in_x": np.zeros((1, 6))}, "fewer than two examples"),
    ],
)
def test_npz_that_does_not_suit(tmp_path, arrays, message):
    with pytest.raises(ConfigError, match=message):
        load(npz(tmp_path, **arrays), tiny_mlp(tmp_path / "m"))


def test_frames_cannot_be_generated(tmp_path):
    with pytest.raises(ConfigError, match="the network reads frames; set kind: npz"):
        load(GENERATED, tiny_mlp(tmp_path))
