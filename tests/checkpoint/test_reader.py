"""Checkpoints on disk: files found, shards joined, content digested."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from rtl_gen.checkpoint import load, open_checkpoint
from rtl_gen.errors import CheckpointError
from rtl_gen.ir.model import TensorRef
from tests.checkpoints import header, llama, tiny_llama, write, write_raw, write_tensors

INDEX = "model.safetensors.index.json"


def sharded(folder, config, tensors):
    """Write the checkpoint as two shards with an index."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    names = list(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        write_tensors(folder / file, {name: tensors[name] for name in part})
    weight_map = {name: file for file, part in halves.items() for name in part}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def reindex(folder, **changes):
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] |= changes
    index["weight_map"] = {k: v for k, v in index["weight_map"].items() if v is not None}
    (folder / INDEX).write_text(json.dumps(index))


def test_folder_and_file_are_the_same_checkpoint(tmp_path):
    folder = tiny_llama(tmp_path)
    by_folder, by_file = open_checkpoint(folder), open_checkpoint(folder / "model.safetensors")
    assert by_folder.names() == by_file.names() == sorted(by_folder.names())
    assert by_folder.digest == by_file.digest


def test_shards_are_one_checkpoint(tmp_path):
    config, tensors = llama()
    whole = open_checkpoint(write(tmp_path / "whole", config, tensors))
    parts = open_checkpoint(sharded(tmp_path / "parts", config, tensors))
    assert parts.digest == whole.digest
    name = "model.layers.1.mlp.up_proj.weight"
    assert (parts.tensor(name) == tensors[name]).all()


def test_index_that_leaves_the_folder(tmp_path):
    folder = sharded(tmp_path / "parts", *llama())
    reindex(folder, **{"model.norm.weight": "../a.safetensors"})
    with pytest.raises(CheckpointError, match=r"index\.json: tensor 'model\.norm\.weight'"):
        open_checkpoint(folder)


def test_index_that_contradicts_the_shards(tmp_path):
    folder = sharded(tmp_path / "parts", *llama())
    reindex(folder, **{"ghost": "b.safetensors"})
    with pytest.raises(CheckpointError, match=r"b\.safetensors: tensor 'ghost' is missing"):
        open_checkpoint(folder)
    reindex(folder, **{"ghost": None, "model.norm.weight": None})
    with pytest.raises(CheckpointError, match=r"tensor 'model\.norm\.weight' is in this file, but"):
        open_checkpoint(folder)


def test_missing_shard(tmp_path):
    folder = sharded(tmp_path / "parts", *llama())
    (folder / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"b\.safetensors: cannot be read"):
        open_checkpoint(folder)


def test_index_without_map(tmp_path):
    folder = sharded(tmp_path / "parts", *llama())
    (folder / INDEX).write_text("{}")
    with pytest.raises(CheckpointError, match="expected weight_map"):
        open_checkpoint(folder)


def test_several_files_without_index_are_ambiguous(tmp_path):
    folder = sharded(tmp_path / "parts", *llama())
    (folder / INDEX).unlink()
    with pytest.raises(CheckpointError, match=r"2 safetensors files \(a.* and no model"):
        open_checkpoint(folder)


def test_absent_path(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: no such file or folder"):
        open_checkpoint(tmp_path / "nowhere")


def test_config_is_needed(tmp_path):
    (tiny_llama(tmp_path) / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json: missing"):
        open_checkpoint(tmp_path)


def test_adapter_is_not_a_checkpoint(tmp_path):
    write_tensors(tmp_path / "adapter_model.safetensors", {"a": np.zeros(1)})
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="this is a LoRA adapter"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl"])
def test_pickles_are_never_opened(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(CheckpointError, match=f"{name} is never opened"):
        open_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="weights are never opened"):
        open_checkpoint(tmp_path / name)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1, "a": 2}', '{"a": Infinity}'])
def test_damaged_config(tmp_path, content):
    (tiny_llama(tmp_path) / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        open_checkpoint(tmp_path)


def test_digest_ignores_times_names_order_and_metadata(tmp_path):
    config, tensors = llama()
    first = write(tmp_path / "first", config, tensors)
    second = tmp_path / "second"
    second.mkdir()
    shuffled = dict(reversed(tensors.items()))
    head = {"__metadata__": {"format": "pt"}, **header(shuffled)}
    data = b"".join(array.tobytes() for array in shuffled.values())
    write_raw(second / "weights.safetensors", head, data)
    other = {"transformers_version": "0", **dict(reversed(config.items()))}
    (second / "config.json").write_text(json.dumps(other, indent=4))
    os.utime(second / "weights.safetensors", (1, 1))
    assert open_checkpoint(first).digest == open_checkpoint(second).digest


def test_digest_sees_every_change_of_content(tmp_path):
    config, tensors = llama()
    digests = {open_checkpoint(write(tmp_path / "0", config, tensors)).digest}
    flipped = {name: array.copy() for name, array in tensors.items()}
    flipped["model.norm.weight"][3] = np.nextafter(flipped["model.norm.weight"][3], 9)
    digests.add(open_checkpoint(write(tmp_path / "1", config, flipped)).digest)
    digests.add(
        open_checkpoint(write(tmp_path / "2", config | {"eos_token_id": 3}, tensors)).digest
    )
    renamed = {name.replace("layers.0", "layers.9"): a for name, a in tensors.items()}
    digests.add(open_checkpoint(write(tmp_path / "3", config, renamed)).digest)
    wide = {name: array.astype("f8") for name, array in tensors.items()}
    digests.add(open_checkpoint(write(tmp_path / "4", config, wide)).digest)
    (tmp_path / "0" / "generation_config.json").write_text('{"eos_token_id": 5}')
    digests.add(open_checkpoint(tmp_path / "0").digest)
    assert len(digests) == 6


def test_view_is_transposed_then_cut(tmp_path):
    array = np.arange(12, dtype="f4").reshape(3, 4)
    checkpoint = open_checkpoint(write(tmp_path, {}, {"x": array, "cube": np.zeros((1, 1, 1))}))
    assert (load(checkpoint, TensorRef("x")) == array).all()
    assert (load(checkpoint, TensorRef("x", transpose=True)) == array.T).all()
    assert (load(checkpoint, TensorRef("x", rows=(1, 3))) == array[1:3]).all()
    assert (load(checkpoint, TensorRef("x", transpose=True, rows=(1, 3))) == array.T[1:3]).all()
    for ref in (TensorRef("x", rows=(2, 4)), TensorRef("cube", transpose=True), TensorRef("y")):
        with pytest.raises(CheckpointError, match=f"tensor '{ref.name}'"):
            load(checkpoint, ref)
