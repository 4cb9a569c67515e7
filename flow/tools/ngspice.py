"""ngspice: circuits measured by simulation."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from flow.tools import base
from flow.tools.base import Job

NAME = "ngspice"
REMEDY = "install it with `apt-get install ngspice`"

# The program's output is its result, so the shell keeps it; its own status says nothing.
_RUN = 'for deck in "$@"; do "$NGSPICE_PROGRAM" -b "$deck" > "${deck%.cir}.out" 2>&1; done; true'


def version() -> str:
    """Version of ngspice, e.g. ``ngspice-39``.

    Raises
    ------
    ToolNotFoundError
        If it is not there.
    """
    said = subprocess.run([_program(), "-v"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"ngspice-\S+", said)
    return found[0] if found else said.strip()


def simulate(decks: Mapping[str, str], circuit: str, models: Path) -> Job:
    """Run decks that include ``cell.spi`` and ``models.spice``.

    Parameters
    ----------
    decks : mapping of str to str
        Name without suffix to text; the output of ``name`` is ``name.out``.
    """
    names = [f"{name}.cir" for name in decks]
    run = _RUN.replace('"$NGSPICE_PROGRAM"', _program())
    return Job(
        NAME, ["sh", "-c", run, "sh", *names], version(),
        {**{f"{name}.cir": text for name, text in decks.items()}, "cell.spi": circuit},
        {"models.spice": models}, tuple(f"{name}.out" for name in decks),
    )  # fmt: skip


def environment_variables() -> Mapping[str, str]:
    """Variables of a run: threads that wait do not spin.

    On a busy machine they spin for hundred times what the simulation of a small circuit takes.
    """
    return {"OMP_WAIT_POLICY": "passive"}


def printed(output: str, word: str) -> Sequence[Sequence[str]]:
    """Fields of all lines that begin with `word`."""
    return [line.split()[1:] for line in output.splitlines() if line.startswith(f"{word} ")]


def _program() -> str:
    return base.executable("ngspice", "NGSPICE", REMEDY)
