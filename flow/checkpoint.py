"""Where a checkpoint is, and the digest of its content."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path

from flow import digest, files
from rtl_gen.checkpoint import open_checkpoint
from rtl_gen.errors import CheckpointError

MEMORY = Path(".snakemake") / "checkpoint-digests.json"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_FILES = ["*.safetensors", "*.json"]


def locate(name: str) -> Path:
    """Local path of a checkpoint given as a folder, a file or a hub id (``owner/name``).

    A hub id is looked up in the local cache of `huggingface_hub` first and downloaded when it is
    not there; only ``*.safetensors`` and ``*.json`` are.

    Raises
    ------
    CheckpointError
        If there is no such path and it cannot be downloaded.
    """
    path = Path(name)
    if path.exists():
        return path
    # A typo in a path looks like a hub id; an existing parent folder tells them apart.
    if not _HUB_ID.fullmatch(name) or path.parent.is_dir():
        folder = path.parent if path.parent.is_dir() else Path()
        near = difflib.get_close_matches(path.name, (it.name for it in folder.iterdir()), n=1)
        hint = f"; did you mean {folder / near[0]}?" if near else ""
        raise CheckpointError(
            f"checkpoint {name}: no such file or folder (paths are relative to {Path.cwd()})"
            f"{hint}; give a folder with config.json and *.safetensors, a .safetensors file or a "
            "hub id owner/name"
        )
    from huggingface_hub import snapshot_download  # noqa: PLC0415  # takes a second to import

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True))
    except Exception:  # noqa: BLE001  # the library raises many kinds for "not in the cache"
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"checkpoint {name}: no such folder here, and as a hub id it cannot be downloaded "
            f"({reason}); give a local path, or check the name and the network"
        ) from error


def content_digest(path: Path, memory: Path = MEMORY) -> str:
    """Digest of the tensors and the config of a checkpoint. Hexadecimal SHA-256.

    Reading gigabytes at every dry run would be slow, so the answer is remembered in the file
    `memory` beside size, times and inode of each file: when none of them changed, neither did the
    content. When one did, the content is read, and only the content counts.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be read.
    """
    state = _state(path)
    known: dict[str, dict[str, str]] = {}
    if memory.is_file():
        try:
            known = json.loads(memory.read_text())
        except ValueError:
            known = {}  # a damaged memory only costs time
    key = str(path.resolve())
    entry = known.get(key)
    if entry is not None and entry.get("state") == state:
        return entry["digest"]
    found = open_checkpoint(path).digest
    files.write_json(memory, {**known, key: {"state": state, "digest": found}})
    return found


def _state(path: Path) -> str:
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(item.name, item.stat()) for item in paths if item.is_file()]
    return digest.text([[n, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for n, s in stats])
