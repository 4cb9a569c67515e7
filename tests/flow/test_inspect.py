"""``intaglio inspect``: facts about a checkpoint, and every reason to refuse it."""

from __future__ import annotations

import json

import numpy as np

from flow.cli import main
from tests.checkpoints import gpt2, llama, tiny_gpt2, tiny_llama, write


def inspect(capsys, path):
    status = main(["inspect", str(path), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_facts_about_a_llama(capsys, tmp_path):
    status, found = inspect(capsys, tiny_llama(tmp_path))
    assert status == 0
    assert found["architecture"] == "LlamaForCausalLM"
    assert found["operators"]["Attention"] == 2
    # 16 x 8 table; 5 norms of 8; per layer q, o 8 x 8, k, v 4 x 8, gate, up 12 x 8, down 8 x 12
    linear = 2 * (2 * 64 + 2 * 32 + 3 * 96)
    parts = {"Embedding": 128, "Norm": 40, "Linear": linear}
    assert found["parameters"] == {"total": 168 + linear, **parts}
    assert (found["context"], found["vocabulary"]) == (16, 16)
    assert (found["bos"], found["eos"]) == ([0], [0])
    assert found["tensors"]["dtypes"] == {"F32": 20}
    assert found["refused"] == []


def test_split_tensor_counts_once(capsys, tmp_path):
    _, tensors = gpt2()
    _, found = inspect(capsys, tiny_gpt2(tmp_path))
    assert found["parameters"]["total"] == sum(array.size for array in tensors.values())


def test_unknown_architecture_is_described_and_refused(capsys, tmp_path):
    config, tensors = llama(architectures=["LlamaForCausalML"])
    status, found = inspect(capsys, write(tmp_path, config, tensors))
    assert status == 1
    assert found["parameters"]["total"] == sum(array.size for array in tensors.values())
    (reason,) = found["refused"]
    assert "LlamaForCausalML" in reason
    assert "nearest is LlamaForCausalLM" in reason


def test_every_reason_is_listed(capsys, tmp_path):
    config, tensors = llama(hidden_act="relu6")
    tensors["model.norm.weight"][0] = np.nan
    tensors["model.embed_tokens.weight"][2, 3] = np.inf
    status, found = inspect(capsys, write(tmp_path, config, tensors))
    assert status == 1
    text = "\n".join(found["refused"])
    assert len(found["refused"]) == 3
    assert "relu6" in text
    assert "'model.norm.weight'" in text
    assert "first at [2, 3]" in text


def test_damaged_checkpoint_is_refused(capsys, tmp_path):
    file = tiny_llama(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    status, found = inspect(capsys, tmp_path)
    assert status == 1
    assert "truncated" in found["refused"][0]


def test_text_form_says_the_same(capsys, tmp_path):
    assert main(["inspect", str(tiny_llama(tmp_path))]) == 0
    out = capsys.readouterr().out
    assert "architecture  LlamaForCausalLM" in out
    assert "refused       nothing" in out


def test_absent_path_is_an_error(capsys, tmp_path):
    assert main(["inspect", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err


def test_misspelt_path_is_not_taken_for_a_hub_id(capsys, tmp_path, monkeypatch):
    tiny_llama(tmp_path / "models" / "names")
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "models/nmaes"]) == 2
    error = capsys.readouterr().err
    assert "did you mean models/names?" in error
    assert "download" not in error
