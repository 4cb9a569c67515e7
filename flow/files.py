"""Files that are either complete or absent: atomic writes that leave equal content alone."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtl_gen.errors import FlowError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(path: Path, content: str | bytes) -> bool:
    """Make `path` hold `content`, atomically; tell whether the file had to change.

    A reader sees the old file or the new one. A file that already holds `content` is not touched.

    Raises
    ------
    FlowError
        If the file system is full or refuses the file.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return False
    with replacing(path, size=len(data)) as temporary:
        temporary.write_bytes(data)
    return True


def write_json(path: Path, value: object) -> bool:
    """Write `value` as indented JSON; see `write`."""
    return write(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises
    ------
    FlowError
        If the file is absent or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise FlowError(f"{path}: no such file; build it with `snakemake {path}`") from error
    except ValueError as error:
        raise FlowError(f"{path}: not a JSON file ({error})") from error


def copy(source: Path, path: Path) -> bool:
    """Make `path` a copy of the file `source`, atomically; tell whether it had to change."""
    if path.is_file() and same(source, path):
        return False
    with replacing(path, size=source.stat().st_size) as temporary:
        shutil.copyfile(source, temporary)
    return True


def write_folder(folder: Path, contents: Mapping[str, str]) -> None:
    """Make `folder` hold exactly the files `contents` (name to text); equal ones stay untouched."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in contents:
            path.unlink()
    for name, text in contents.items():
        write(folder / name, text)


def same(a: Path, b: Path) -> bool:
    """Whether two files hold the same bytes."""
    if a.stat().st_size != b.stat().st_size:
        return False
    with a.open("rb") as left, b.open("rb") as right:
        while chunk := left.read(1 << 20):
            if chunk != right.read(1 << 20):
                return False
    return True


@contextmanager
def replacing(path: Path, size: int | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path` that becomes `path` when the block succeeds.

    Parameters
    ----------
    path : Path
        Final name; its folder is made when missing.
    size : int, optional
        Bytes about to be written, for the message when they do not fit.

    Raises
    ------
    FlowError
        If the file system is full, read-only or forbids the file, or its folder cannot be.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if error.errno in _FULL:
            raise FlowError(full(path, size)) from error
        if temporary is None or error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise FlowError(f"{path}: cannot write ({error.strerror})") from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def full(path: Path, size: int | None = None) -> str:
    """Message for a write to `path` that did not fit."""
    folder = next(parent for parent in [path.parent, *path.parents] if parent.exists())
    amount = f"{size} bytes" if size is not None else "the file"
    return (
        f"{path}: no space left for {amount}: the file system has {shutil.disk_usage(folder).free} "
        "bytes free (or a quota or file size limit applies). Free some space and run the same "
        "command again; nothing half-written was left"
    )


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
