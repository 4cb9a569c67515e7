"""Digests of contents: what decides whether a stage runs again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


def text(value: object) -> str:
    """Digest of a JSON value, independent of key order. Hexadecimal, 16 digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def file(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree(folder: Path, paths: Iterable[Path]) -> str:
    """Digest of names (relative to `folder`) and contents of the visible files in `paths`."""
    lines = sorted(
        f"{path.relative_to(folder).as_posix()} {file(path)}"
        for path in paths
        if path.is_file() and not path.name.startswith(".")
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@cache
def sources(*packages: str) -> str:
    """Digest of the program text in `packages`, folders or files below the repository root."""
    paths: list[Path] = []
    for package in packages:
        path = ROOT / package
        inside = path.rglob("*.*") if path.is_dir() else [path]
        paths += (item for item in inside if item.suffix != ".pyc" and item.is_file())
    return tree(ROOT, paths)
