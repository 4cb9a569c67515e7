"""ABC: equivalence of combinational networks, with the program beside Yosys or ``ABC``."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

from flow.tools import base
from flow.tools.base import Job

NAME = "ABC"
REMEDY = "it comes with `pip install pyosys`"

_SCRIPT = """\
cec -T 600 wanted.blif found.blif
"""
_FAILED = re.compile(r"^Verification failed for at least (\d+) outputs?:\s*(.*)$", re.MULTILINE)


def program() -> str:
    """Path of the program.

    Raises
    ------
    ToolNotFoundError
        If it is not there.
    """
    found = importlib.util.find_spec("pyosys")
    beside = Path(found.origin).with_name("yosys-abc") if found and found.origin else None
    if not os.environ.get("ABC") and beside is not None and beside.is_file():
        return str(beside)
    return base.executable("yosys-abc", "ABC", REMEDY)


def equal(wanted: str, found: str) -> Job:
    """Compare two networks (BLIF) whose inputs and outputs have the same names.

    The answer is in the log: `differing`.
    """
    texts = {"wanted.blif": wanted, "found.blif": found, "cec.abc": _SCRIPT}
    version = base.wheel("pyosys", "pyosys")
    return Job(NAME, [program(), "-f", "cec.abc"], version, texts, {}, ())


def differing(log: str) -> list[str]:
    """Some of the outputs that differ; none if the networks are equal.

    Raises
    ------
    ValueError
        If it came to no answer.
    """
    if "Networks are equivalent" in log:
        return []
    failed = _FAILED.search(log)
    if failed is None:
        raise ValueError("ABC came to no answer")
    return [name for name in failed[2].split() if name != "..."]
