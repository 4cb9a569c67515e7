"""The views of the standard cells, made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flow.silicon import library
from flow.tools import environment

STORED = Path(__file__).parent / "stored"


@pytest.fixture(scope="session")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the views, as the generator makes them."""
    if not environment.made("pdkmaster") and not os.environ.get("CI"):
        pytest.skip("needs the environment pdkmaster: `snakemake -c2 "
                    "results/pdk/c4m_sky130/library.json` makes it")  # fmt: skip
    folder = tmp_path_factory.mktemp("cells")
    library.make(folder, folder / "cells.log")
    assert (folder / "library.json").read_text() == (STORED / "library.json").read_text()
    return folder
