"""``intaglio check``: against the published oracles, and what it answers to wrong references."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flow.cli import main
from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from tests.checkpoints import tiny_llama, tiny_mlp

SHARED = Path(__file__).parents[2].parent / "shared"

CHECKED = [
    "oracles/llama_gqa",
    "oracles/gpt2",
    "models/names-llama-h16",
    "models/names-llama-h32",
    "models/names-gpt2-h16",
    "models/shk-llama-h64",
    "models/speech-llama-h64",
    "models/drive-vla-llama-h32",
    "models/stories260K",
    "models/stories260K-qat-int4",
    "models/stories260K-qat-tern",
    "models/digits-mlp",
    "models/digits-cnn",
    "models/mnist-cnn",
]


def check(capsys, checkpoint: Path, file: Path, *options: str):
    status = main(["check", str(checkpoint), "--reference", str(file), *options])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


@pytest.mark.parametrize("name", CHECKED)
def test_published_reference_agrees(capsys, name):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/{name}")
    status, result, _ = check(capsys, folder, folder / "reference.npz")
    assert status == 0
    assert result["ok"] is True
    assert result["max_abs_err"] <= 1e-4
    if name.startswith("oracles"):
        assert result["greedy_ids"] == {"agree": 24, "total": 24}


@pytest.fixture
def llama(tmp_path):
    """A checkpoint, its inputs and the logits it computes."""
    folder = tiny_llama(tmp_path / "model")
    checkpoint = open_checkpoint(folder)
    graph = import_model(checkpoint)
    ids = np.array([[1, 5, 3, 2], [4, 4, 9, 1]])
    outputs = reference.run(graph, reference.load_weights(graph, checkpoint), {"input_ids": ids})
    return folder, ids, outputs["logits"]


def save(tmp_path: Path, **arrays) -> Path:
    np.savez(tmp_path / "reference.npz", **arrays)
    return tmp_path / "reference.npz"


def test_float64_output_is_preferred(capsys, tmp_path, llama):
    folder, ids, logits = llama
    file = save(tmp_path, in_input_ids=ids, logits=logits + 1, logits_f64=logits)
    status, result, _ = check(capsys, folder, file)
    assert (status, result["max_abs_err"]) == (0, 0.0)


def test_error_beyond_the_tolerance_fails(capsys, tmp_path, llama):
    folder, ids, logits = llama
    wrong = logits.copy()
    wrong[1, 2, 3] += 0.5
    file = save(tmp_path, in_input_ids=ids, logits=wrong)
    status, result, _ = check(capsys, folder, file)
    assert (status, result["ok"]) == (1, False)
    assert result["max_abs_err"] == pytest.approx(0.5)
    assert result["rel_err"] == pytest.approx(0.5 / np.abs(wrong).max())
    assert check(capsys, folder, file, "--tolerance", "0.6")[0] == 0


def test_wrong_greedy_continuation_fails(capsys, tmp_path, llama):
    folder, ids, logits = llama
    best = logits[:, -1].argmax(1)[:, None]
    right = save(tmp_path, in_input_ids=ids, logits=logits, greedy_ids=np.hstack([ids, best]))
    assert check(capsys, folder, right)[0] == 0
    wrong = np.hstack([ids, (best + 1) % 16])
    file = save(tmp_path, in_input_ids=ids, logits=logits, greedy_ids=wrong)
    status, result, _ = check(capsys, folder, file)
    assert status == 1
    assert result["greedy_ids"] == {"agree": 0, "total": 2}


def test_integer_frames_are_scaled_and_real_frames_are_not(capsys, tmp_path):
    folder = tiny_mlp(tmp_path / "model")
    checkpoint = open_checkpoint(folder)
    graph = import_model(checkpoint)
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 6)
    frames = (pixels / 16).reshape(2, 1, 2, 3)
    logits = reference.run(graph, reference.load_weights(graph, checkpoint), {"x": frames})
    for data in (pixels, pixels / 16, frames):
        file = save(tmp_path, in_x=data, **logits)
        assert check(capsys, folder, file)[0] == 0


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"in_x": np.zeros((1, 4))}, "expected the input in_input_ids"),
        ({"in_input_ids": np.array([[1, 16]])}, "tokens from 1 to 16"),
        ({"in_input_ids": np.zeros((1, 17), int)}, "17 tokens exceed the model's context of 16"),
        ({"in_input_ids": np.zeros((1, 3))}, "expected integer tokens"),
        ({"in_input_ids": np.zeros((1, 3), int), "hidden": np.zeros(3)}, "none of the model's"),
        ({"in_input_ids": np.zeros((1, 3), int), "logits": np.zeros((1, 2, 16))}, "has shape"),
        ({"in_input_ids": np.zeros((1, 3), int), "logits": np.full((1, 3, 16), np.nan)}, "NaN"),
    ],
)
def test_reference_that_cannot_be_compared(capsys, tmp_path, arrays, message):
    folder = tiny_llama(tmp_path / "model")
    status, result, error = check(capsys, folder, save(tmp_path, **arrays))
    assert (status, result) == (2, None)
    assert "reference.npz" in error
    assert message in error


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 truncated"])
def test_reference_that_is_no_npz(capsys, tmp_path, content):
    file = tmp_path / "reference.npz"
    file.write_bytes(content)
    status, _, error = check(capsys, tiny_llama(tmp_path / "model"), file)
    assert status == 2
    assert f"{file}: not an .npz file" in error


def test_absent_reference(capsys, tmp_path):
    status, _, error = check(capsys, tiny_llama(tmp_path / "model"), tmp_path / "no.npz")
    assert status == 2
    assert "no.npz: no such file" in error
