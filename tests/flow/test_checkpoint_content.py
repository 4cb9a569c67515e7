"""Where checkpoints are found, and that their content alone decides the digest."""

from __future__ import annotations

import os
from pathlib import Path

import huggingface_hub
import pytest

from flow import checkpoint
from rtl_gen.errors import CheckpointError
from tests import checkpoints


def made(path: Path, seed: int = 1) -> Path:
    return checkpoints.write(path, *checkpoints.llama(seed))


def test_the_digest_follows_content_alone(tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    first = checkpoint.content_digest(made(tmp_path / "a"), memory)
    for path in (tmp_path / "a").iterdir():
        os.utime(path, (1e9, 1e9))
    assert checkpoint.content_digest(tmp_path / "a", memory) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert checkpoint.content_digest(tmp_path / "b", memory) == first
    assert checkpoint.content_digest(made(tmp_path / "c"), memory) == first
    assert checkpoint.content_digest(made(tmp_path / "d", 2), memory) != first


def test_an_older_replacement_in_place_is_noticed(tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    first = checkpoint.content_digest(made(tmp_path / "a"), memory)
    made(tmp_path / "a", 2)
    for path in (tmp_path / "a").iterdir():
        os.utime(path, (1e9, 1e9))
    assert checkpoint.content_digest(tmp_path / "a", memory) != first


def test_an_unchanged_checkpoint_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory.json"
    first = checkpoint.content_digest(made(tmp_path / "a"), memory)

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(checkpoint, "open_checkpoint", refuse)
    assert checkpoint.content_digest(tmp_path / "a", memory) == first


def test_a_damaged_memory_only_costs_time(tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    first = checkpoint.content_digest(made(tmp_path / "a"), memory)
    memory.write_text("{")
    assert checkpoint.content_digest(tmp_path / "a", memory) == first


def test_a_hub_id_is_downloaded_when_it_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(name: str, *, local_files_only: bool = False, **_: object) -> str:
        asked.append((name, local_files_only))
        if local_files_only:
            raise FileNotFoundError("not in the cache")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert checkpoint.locate("owner/model") == tmp_path
    assert asked == [("owner/model", True), ("owner/model", False)]


def test_a_hub_id_in_the_cache_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(name: str, *, local_files_only: bool = False, **_: object) -> str:
        assert local_files_only, "the network was asked"
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert checkpoint.locate("owner/model") == tmp_path


def test_a_hub_id_that_cannot_be_downloaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, **_: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(CheckpointError, match=r"owner/model: .*no route to host.*local path"):
        checkpoint.locate("owner/model")


def test_a_path_that_is_absent_is_told() -> None:
    with pytest.raises(CheckpointError, match=r"nowhere/at/all: no such file or folder"):
        checkpoint.locate("nowhere/at/all")
