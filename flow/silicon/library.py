"""The stage that makes the views of the standard cells."""

from __future__ import annotations

import sys
from pathlib import Path

from flow import files
from flow.silicon import cell
from flow.tools import base, pdkmaster


def make(folder: Path, log: Path) -> None:
    """Make the views of the cells in `folder` (`flow.tools.pdkmaster.OUTPUTS` and ``cells.v``).

    Raises
    ------
    ToolError, ToolNotFoundError
        If the generators fail or their environment cannot be made.
    """
    job = pdkmaster.sky130_library()
    base.run(job, folder / "job", log)
    for name in job.outputs:
        files.copy(folder / "job" / name, folder / name)
    found = cell.read(folder / "library.json")
    files.write(folder / "cells.v", cell.verilog(found))
    print(f"  {len(found.cells)} cells, {sum(item.usable for item in found.cells.values())} used",
          file=sys.stderr)  # fmt: skip
