"""Files out of archives of process data."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path


def unpack(archive: Path, folder: Path, names: Sequence[str] | None = None) -> None:
    """Write the members called `names`, or all, below `folder` and nowhere else."""
    with tarfile.open(archive) as content:
        # Python 3.11 has filters from 3.11.4 on.
        if hasattr(tarfile, "data_filter"):
            content.extraction_filter = tarfile.data_filter
        members = None if names is None else [content.getmember(name) for name in names]
        content.extractall(folder, members)
