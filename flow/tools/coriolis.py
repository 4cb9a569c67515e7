"""Coriolis: place and route of standard cells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flow.tools import environment
from flow.tools.base import Job

NAME = "Coriolis"
ENVIRONMENT = "coriolis"
_SHOWN = re.compile(r"\s+o\s+(Placing|Running (?:Kite|Katana|Global|Negociate).*|Global routing.*"
                    r"|Building detailed routing.*|Antenna effect.*)")  # fmt: skip
_FAULT = re.compile(r"HurricaneError: (?:\[BUG\] )?(.+?)(?: \[|<|$)", re.MULTILINE)
_NO_ROOM = "Cannot find a diode nearby"
_COMPLETE = re.compile(r"(Track Segment|Wire Length) Completion Ratio \.* ?([\d.]+)% \[(.+?)\]")


@dataclass(frozen=True, slots=True)
class Routing:
    """What the router says about itself.

    Parameters
    ----------
    wires_um : float
        Length of all routed wires.
    open_segments : int
        Segments without a track.
    bare_gates : int
        Groups of gates at long wires that found no room for a diode nearby: what the antenna rules
        allow them has to be seen.
    """

    wires_um: float
    open_segments: int
    bare_gates: int


def version() -> str:
    """Version of Coriolis, e.g. ``2.5.4``."""
    return environment.version(ENVIRONMENT)


def place(blif: Path, floorplan: str, cells: Path) -> Job:
    """Place and route.

    Parameters
    ----------
    blif : Path
        The mapped netlist.
    floorplan : str
        Text of ``floorplan.json``, see `flow.engines.coriolis_place`.
    cells : Path
        Folder of the cells' views.
    """
    programs = [environment.engine(f"coriolis_{name}.py") for name in ("place", "strap")]
    inputs = {program.name: program for program in programs}
    inputs |= {"design.blif": blif, "cells.spi": cells / "cells.spi", "library": cells / "library"}
    argv = [str(environment.python(ENVIRONMENT)), "-I", programs[0].name]
    return Job(NAME, argv, version(), {"floorplan.json": floorplan}, inputs,
               ("routed.gds", "layout.json"))  # fmt: skip


def progress(line: str) -> str | None:
    """Pick the larger steps."""
    if found := _COMPLETE.search(line):
        return f"{found[1].lower()}s complete: {found[2]} %"
    found = _SHOWN.match(line)
    return found[1].rstrip(" .").lower() if found else None


def fault(log: str) -> str:
    """What the program says about a fault of its own, e.g. cells it could not place; else ""."""
    found = _FAULT.search(log)
    return " ".join(found[1].split()) if found else ""


def metrics(log: str) -> Routing:
    """Read the router's statistics.

    Raises
    ------
    ValueError
        If the log has none.
    """
    found: Mapping[str, str] = {item[1]: item[3] for item in _COMPLETE.finditer(log)}
    if "Track Segment" not in found or "Wire Length" not in found:
        raise ValueError("the log of Coriolis has no completion ratios")
    _, missing = found["Track Segment"].split("+")
    length, _ = found["Wire Length"].split("+")
    return Routing(float(length.removesuffix("um")), int(missing), log.count(_NO_ROOM))
