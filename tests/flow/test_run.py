"""`intaglio run`: the engines say the same, and only text goes to standard output."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from flow import cli, files
from rtl_gen.golden import interpreter
from rtl_gen.ir import serialize
from tests.harness import require_tool
from tests.testbench import toy

ROOT = Path(__file__).parents[2]

MODEL = """\
title: a chip to test with
checkpoint: weights
tokenizer: {characters: "-.abcdefghijklmnopqrstuvwxyz()!?", first: 0}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder in which the toy chip was built."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "weights").mkdir()
    (folder / "configs/models").mkdir(parents=True)
    shutil.copytree(ROOT / "configs/targets", folder / "configs/targets")
    (folder / "configs/config.yaml").write_text("runs:\n  - {model: toy, target: ulx3s_85f}\n")
    (folder / "configs/models/toy.yaml").write_text(MODEL)
    built = folder / "results/toy"
    files.write(built / "quantize/graph.safetensors", serialize.to_bytes(toy.graph()))
    files.write_json(built / "rtl/manifest.json", {"kind": "token", "identity": toy.IDENTITY})
    shutil.copy(toy.VERILOG, built / "rtl/chip.v")
    toy.write_images(built / "rtl")
    return folder


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Run the command line in `place`; give exit status, standard output and error."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(place)
        status = cli.main(["run", *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def expected(prompt: list[int], **settings: int) -> str:
    alphabet = "-.abcdefghijklmnopqrstuvwxyz()!?"
    tokens = interpreter.generate(toy.graph(), prompt, **settings)
    return "".join(alphabet[token] for token in tokens if token != toy.EOS)


def test_golden_prints_the_text_alone(run) -> None:
    status, out, err = run("toy", "--prompt", "abc", "--seed", "3", "--limit", "9")
    beta = 2  # scale 2**-9, shift 2, temperature 1
    assert status == 0
    assert out == f"abc{expected([0, 2, 3, 4], beta=beta, seed=3, limit=9)}\n"
    assert "golden: 9 tokens in" in err


def test_token_ids_are_taken_as_they_are(run) -> None:
    _, out, _ = run("toy", "--tokens", "5, 6", "--temperature", "0")
    assert out == f"{expected([5, 6], beta=0, seed=1)}\n"


def test_rtl_says_what_golden_says(run) -> None:
    for tool in ("g++", "make"):
        require_tool(tool, "install the Debian package build-essential")
    words = ("toy", "--prompt", "hi", "--seed", "8")
    _, golden, _ = run(*words)
    status, out, err = run(*words, "--engine", "rtl")
    assert status == 0
    assert out == golden
    assert "cycles: " in err
    assert "MHz of ulx3s_85f" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nope",), "no model 'nope'"),
        (("toy", "--prompt", "A"), "is not one of the model's characters"),
        (("toy", "--prompt", "a" * 24), "25 tokens do not fit the context of 24"),
        (("toy", "--tokens", "1,32"), "expected numbers from 0 to 31, found '32'"),
        (("toy", "--temperature", "-1"), "temperature must be 0 (greedy) or positive"),
        (("toy", "--limit", "70000"), "expected 0 to 65535, found 70000"),
        (("toy", "--input", "x.npz"), "toy reads tokens"),
        (
            ("toy", "--engine", "netlist"),
            "netlist.v: no such file, and no Snakefile to build it with",
        ),
    ],
)
def test_mistakes_are_explained(run, words, message: str) -> None:
    status, out, err = run(*words)
    assert status == 2
    assert out == ""
    assert message in err


def test_a_chip_of_another_run_is_refused(run, place) -> None:
    manifest = place / "results/toy/rtl/manifest.json"
    good = manifest.read_text()
    files.write_json(manifest, {**json.loads(good), "identity": "ab" * 32})
    try:
        status, _, err = run("toy", "--engine", "rtl")
    finally:
        manifest.write_text(good)
    assert status == 2
    assert f"the manifest says {'ab' * 32}" in err


def test_frames_need_a_file(run, place, monkeypatch) -> None:
    from tests import graphs  # noqa: PLC0415

    (place / "configs/models/frames.yaml").write_text("title: frames\ncheckpoint: weights\n")
    path = place / "results/frames/quantize/graph.safetensors"
    files.write(path, serialize.to_bytes(graphs.image()))
    np.savez(place / "other.npz", x=np.zeros((1, 2)))
    assert "give some with --input" in run("frames")[2]
    assert "expected an array in_x, found x" in run("frames", "--input", "other.npz")[2]
