"""Icarus Verilog: Verilog to an event-driven simulation; ``IVERILOG`` names another program."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from flow.tools import base
from flow.tools.base import Job
from rtl_gen.errors import ToolNotFoundError

NAME = "Icarus Verilog"
REMEDY = "install it with `apt-get install iverilog`"

_ERROR = re.compile(r"^\S+:\d+: (error|warning): .+$", re.MULTILINE)


def version() -> str:
    """Version of Icarus Verilog, e.g. ``11.0``.

    Raises
    ------
    ToolNotFoundError
        If it is not installed.
    """
    program = base.executable("iverilog", "IVERILOG", REMEDY)
    text = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Icarus Verilog version (\S+)", text)
    if found is None:
        raise ToolNotFoundError(f"{program} does not tell its version: {text.strip()[:200]}")
    return found[1]


def compile(sources: Mapping[str, Path], *, top: str, options: Sequence[str] = ()) -> Job:
    """Compile Verilog `sources` to ``simulation.vvp``."""
    argv = [
        base.executable("iverilog", "IVERILOG", REMEDY), "-g2012", "-s", top,
        "-o", "simulation.vvp", *options,
        *(name for name in sources if name.endswith((".v", ".sv"))),
    ]  # fmt: skip
    return Job(NAME, argv, version(), {}, sources, ("simulation.vvp",))


def metrics(log: str) -> Mapping[str, int]:
    """Count errors and warnings in a log."""
    kinds = _ERROR.findall(log)
    return {
        "design__lint_error__count": kinds.count("error"),
        "design__lint_warning__count": kinds.count("warning"),
    }
