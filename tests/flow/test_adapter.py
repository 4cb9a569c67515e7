"""`intaglio adapter`, `adapt` and `run --adapter`, on a tiny chip of real stages."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml

from flow import adapter_driver, cli, serial_port
from rtl_gen import reference
from rtl_gen.adapter import image
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import FlowError
from rtl_gen.ir import serialize
from tests import checkpoints
from tests.adapter import peft_files
from tests.fabric.test_adapter_port import CountingBus
from tests.harness import require_tool

ROOT = Path(__file__).parents[2]
TENSORS = ["*.attention.[qkv]", "*.attention.output", "*.mlp.gate", "*.mlp.up", "*.mlp.down"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with two checkpoints, an adapter, and a chip with regions."""
    folder = tmp_path_factory.mktemp("place")
    checkpoints.tiny_llama(folder / "base")
    checkpoints.tiny_llama(folder / "other", seed=8)
    peft_files.llama(folder / "lora", ["q_proj", "v_proj", "down_proj"])
    shutil.copytree(ROOT / "configs/targets", folder / "configs/targets")
    (folder / "configs/models").mkdir()
    (folder / "configs/config.yaml").write_text("runs:\n  - {model: tiny, target: ulx3s_85f}\n")
    data = {"kind": "generated", "calibration": 8, "evaluation": 6}
    model = {
        "checkpoint": "base", "tokenizer": "ids", "data": data,
        "adapters": {
            "tensors": TENSORS, "rank": 4, "slots": 2,
            "trained": [{"name": "known", "path": "lora", "data": data}],
        },
        "plan": {"lanes": 4, "elements": 1}, "verify": {"prompts": ["1 2"], "seeds": [1],
                                                        "tokens": 24},
        "generate": {"count": 1},
    }  # fmt: skip
    (folder / "configs/models/tiny.yaml").write_text(yaml.safe_dump(model))
    (folder / "configs/models/plain.yaml").write_text(yaml.safe_dump({"checkpoint": "base"}))
    here = Path.cwd()
    os.chdir(folder)
    try:
        for words in (
            ("quantize", "configs/models/tiny.yaml", "--folder", "results/tiny/quantize"),
            ("rtl", "configs/models/tiny.yaml", "--graph",
             "results/tiny/quantize/graph.safetensors", "--folder", "results/tiny/rtl"),
        ):  # fmt: skip
            assert cli.main(words) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def call(place, monkeypatch, capsys):
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(place)
        capsys.readouterr()
        status = cli.main(words)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_quality_is_measured_with_the_adapter(place) -> None:
    metrics = json.loads((place / "results/tiny/quantize/metrics.json").read_text())
    found = metrics["adapters"]["known"]
    assert found["quality__loss__base"] > found["quality__loss__float"] > 0
    assert abs(found["quality__loss__delta"]) < 0.1


def test_pack_list_and_run(call, place) -> None:
    status, out, _ = call("adapter", "pack", "tiny", "lora")
    assert status == 0
    assert "loss nats per token: " in out
    assert "on this chip" in out
    assert "others for evaluation" in out
    graph = serialize.load(place / "results/tiny/quantize/graph.safetensors")
    packed = image.load(place / "results/tiny/adapters/lora.adapter.safetensors", graph)
    assert packed.name == "lora"
    status, out, _ = call("adapter", "list", "tiny")
    assert status == 0
    assert "2 slots" in out
    assert "lora: rank 2, for this base" in out
    words = ("run", "tiny", "--tokens", "1,5", "--temperature", "0", "--limit", "8")
    _, plain, _ = call(*words)
    texts = {plain}
    for name in ("lora", "known"):
        status, adapted, _ = call(*words, "--adapter", name)
        assert status == 0
        texts.add(adapted)
    assert len(texts) == 2  # both are the same adapter with the same data


def test_a_simulated_chip_says_what_golden_says(call) -> None:
    for tool in ("g++", "make"):
        require_tool(tool, "install the Debian package build-essential")
    words = ("run", "tiny", "--tokens", "1,5", "--seed", "4", "--adapter", "known")
    _, golden, _ = call(*words)
    status, out, _ = call(*words, "--engine", "rtl")
    assert status == 0
    assert out == golden
    status, _, err = call(
        "verify", "configs/models/tiny.yaml", "--graph", "results/tiny/quantize/graph.safetensors",
        "--manifest", "results/tiny/rtl/manifest.json", "--design", "results/tiny/rtl/chip.v",
        "--metrics", "results/tiny/verify/metrics.json",
    )  # fmt: skip
    assert status == 0, err
    found = json.loads(Path("results/tiny/verify/metrics.json").read_text())
    assert set(found["adapters"]) == {"random", "known", "base"}
    assert all(not item["mismatches"] for item in found["adapters"].values())
    assert all(item["compared"] >= 6 for item in found["adapters"].values())


def test_a_chip_that_reads_frames_is_verified_with_images(call, place) -> None:
    for tool in ("g++", "make"):
        require_tool(tool, "install the Debian package build-essential")
    checkpoints.tiny_cnn(place / "cnn")
    rng = np.random.default_rng(2)
    np.savez(place / "cnn.npz", in_x=rng.normal(size=(24, 1, 6, 6)).astype("f4"))
    model = {
        "checkpoint": "cnn", "adapters": {"tensors": ["*"], "rank": 2}, "verify": {"tokens": 24},
        "data": {"kind": "npz", "path": "cnn.npz", "calibration": 12, "evaluation": 8},
        "plan": {"lanes": 4, "elements": 1},
    }  # fmt: skip
    (place / "configs/models/frames.yaml").write_text(yaml.safe_dump(model))
    yaml_, folder = "configs/models/frames.yaml", "results/frames"
    graph, manifest = f"{folder}/quantize/graph.safetensors", f"{folder}/rtl/manifest.json"
    for words in (
        ("quantize", yaml_, "--folder", f"{folder}/quantize"),
        ("rtl", yaml_, "--graph", graph, "--folder", f"{folder}/rtl"),
        ("verify", yaml_, "--graph", graph, "--manifest", manifest, "--design",
         f"{folder}/rtl/chip.v", "--metrics", f"{folder}/verify/metrics.json"),
    ):  # fmt: skip
        status, _, err = call(*words)
        assert status == 0, err
    found = json.loads((place / folder / "verify/metrics.json").read_text())["adapters"]
    assert set(found) == {"random", "base"}
    assert all(item["compared"] >= 6 and not item["mismatches"] for item in found.values())
    (place / yaml_).unlink()


def test_an_image_of_another_base_is_listed_and_refused(call, place) -> None:
    folder = place / "results/tiny/adapters"
    call("adapter", "pack", "tiny", "lora")
    good = (folder / "lora.adapter.safetensors").read_bytes()
    base = image.digest(serialize.load(place / "results/tiny/quantize/graph.safetensors"))
    wrong = folder / "stale.adapter.safetensors"
    wrong.write_bytes(good.replace(base.encode(), b"0" * 64))
    assert "stale: " in call("adapter", "list", "tiny")[1]
    status, _, err = call("run", "tiny", "--tokens", "1", "--adapter", "stale")
    assert status == 2
    assert "is bound to the base" in err
    wrong.unlink()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "tiny", "--tokens", "1", "--adapter", "nope"), "names no such adapter"),
        (("adapter", "pack", "tiny", "nowhere"), "no such folder; expected a PEFT adapter"),
        (("adapter", "list", "plain"), "no adapter memory; name tensors under adapters.tensors"),
        (("adapter", "swap", "tiny", "1", "--port", "no-such-port"), "cannot open the serial port"),
        (("adapt", "base", "other", "--rank", "0"), "--rank: expected at least 1"),
        (("adapt", "base", "base", "--rank", "2", "--output", "same"), "no matrix changed"),
        (("adapter", "pack", "tiny", "lora", "--name", "../../x"), "not a name for an image"),
        (("adapter", "pack", "tiny", "lora", "--name", ""), "not a name for an image"),
        (("run", "tiny", "--tokens", "1", "--adapter", "../adapters/lora"), "not a name for an"),
        (("adapter", "pack", "tiny", "lora", "--checkpoint", "other"), "of another checkpoint"),
    ],
)
def test_mistakes_are_explained(call, words, message: str) -> None:
    status, _, err = call(*words)
    assert status == 2
    assert message in err


def test_the_checkpoint_is_the_one_that_the_workflow_names(call, place) -> None:
    file = place / "configs/config.yaml"
    before = file.read_text()
    file.write_text(before + "checkpoints: {tiny: other}\n")
    status, _, err = call("adapter", "pack", "tiny", "lora")
    file.write_text(before)
    assert status == 2
    assert "other: the chip of tiny is of another checkpoint" in err


def test_adapt_writes_an_adapter_that_holds_the_change(call, place) -> None:
    captured = []
    for rank in (1, 2, 8):
        status, out, err = call("adapt", "base", "other", "--rank", str(rank))
        assert status == 0, err
        report = json.loads(out)
        captured.append(np.mean([item["outputs"] for item in report["tensors"].values()]))
        assert "embedding" in report["outside"]
    assert captured[0] < captured[1] < captured[2]
    assert captured[2] > 0.999
    # The whole change of the matrices of one projection is an adapter of rank 2.
    config, tensors = checkpoints.llama()
    name = "model.layers.1.mlp.up_proj.weight"
    rng = np.random.default_rng(3)
    change = rng.normal(size=(12, 2)) @ rng.normal(size=(2, 8))
    tensors[name] = tensors[name] + change.astype("f4")
    checkpoints.write(place / "changed", config, tensors)
    status, out, _ = call("adapt", "base", "changed", "--rank", "2", "--model", "tiny",
                          "--output", "update")  # fmt: skip
    report = json.loads(out)
    assert list(report["tensors"]) == ["layers.1.mlp.up"]
    assert report["outside"] == []
    assert report["tensors"]["layers.1.mlp.up"]["full_rank"] >= 2
    assert report["logits"]["captured"] > 0.9999
    status, _, err = call("adapter", "pack", "tiny", "update")
    assert status == 0, err


def test_adapt_holds_the_change_of_a_convolution(call, place) -> None:
    config, tensors = checkpoints.cnn()
    checkpoints.write(place / "pictures", config, tensors)
    rng = np.random.default_rng(8)
    change = rng.normal(size=(3, 1)) @ rng.normal(size=(1, 12))
    tensors["conv2.weight"] = tensors["conv2.weight"] + change.reshape(3, 2, 2, 3).astype("f4")
    checkpoints.write(place / "sharper", config, tensors)
    status, out, err = call("adapt", "pictures", "sharper", "--rank", "1", "--output", "sharp")
    assert status == 0, err
    report = json.loads(out)
    assert list(report["tensors"]) == ["conv2"]
    assert report["outside"] == []
    assert report["logits"]["captured"] > 0.9999
    np.savez(place / "x.npz", in_x=rng.normal(size=(4, 1, 6, 6)).astype("f4"))
    opened = open_checkpoint(place / "sharper")
    model = import_model(opened)
    wanted = reference.run(
        model, reference.load_weights(model, opened), {"x": np.load(place / "x.npz")["in_x"]}
    )["logits"]
    np.savez(place / "sharp.npz", in_x=np.load(place / "x.npz")["in_x"], logits=wanted)
    status, out, _ = call("check", "pictures", "--adapter", "sharp", "--reference", "sharp.npz")
    assert status == 0
    assert json.loads(out)["max_abs_err"] < 1e-5


def test_the_serial_bus_over_a_pseudo_terminal() -> None:
    board, port = os.openpty()
    bus = CountingBus()

    def serve() -> None:
        data = b""
        while len(data := data + os.read(board, 64)) and not data.startswith(b"X"):
            while data[:1] in (b"P", b"Q") and len(data) >= (6 if data[:1] == b"P" else 2):
                if data[:1] == b"P":
                    bus.write(data[1], int.from_bytes(data[2:6], "little"))
                    data = data[6:]
                else:
                    # the chip goes on generating: a beat comes first
                    os.write(board, b"o\x07\x00q" + bus.read(data[1]).to_bytes(4, "little"))
                    data = data[2:]

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with serial_port.opened(Path(os.ttyname(port)), 115200) as stream:
        found = adapter_driver.SerialBus(stream)
        words = list(range(bus.model.geometry.host_words))
        base = bytes(range(7, 39)).hex()
        adapter_driver.load(found, 3, base, words)
        adapter_driver.select(found, 3)
        assert adapter_driver.valid_slots(found) == [3]
        assert set(found.beats) == {(7, False)}
        with pytest.raises(FlowError, match="in use or selected"):
            adapter_driver.load(found, 3, base, words)
        stream.write(b"X")
    thread.join(timeout=5)
    assert not thread.is_alive()
