"""OpenSTA: static timing of a netlist of cells with Liberty and the wires' parasitics."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flow.tools import base
from flow.tools.base import Job

NAME = "OpenSTA"
REMEDY = "install it with `apt-get install opensta`"

# Inputs arrive and outputs are wanted a quarter of the period from the edge.
_SCRIPT = """\
read_liberty cells.lib
read_verilog netlist.v
link_design {top}
create_clock -name {clock} -period {period:.6f} [get_ports {clock}]
set_propagated_clock [all_clocks]
set_input_transition 0.2 [all_inputs]
set_input_delay {outside:.6f} -clock {clock} [all_inputs]
set_output_delay {outside:.6f} -clock {clock} [all_outputs]
set_load 0.02 [all_outputs]
{spef}
puts "== setup"
report_checks -path_delay max -from [all_registers -clock_pins] -to [all_registers -data_pins] \
-format full -digits 4
puts "== hold"
report_checks -path_delay min -from [all_registers -clock_pins] -to [all_registers -data_pins] \
-format full -digits 4
puts "== outside"
report_checks -path_delay max -format full -digits 4
puts "== end"
exit
"""
_STEP = re.compile(r"^\s*(-?[\d.]+)\s+(-?[\d.]+)\s+([v^])\s+(\S+)\s+\((\S+)\)")
_SLACK = re.compile(r"^\s*(-?[\d.]+)\s+slack \((?:MET|VIOLATED)\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Timing:
    """Worst paths at one corner.

    Parameters
    ----------
    setup_ns, hold_ns : float
        Slack of the worst path from register to register.
    worst_ns : float
        Setup slack of the worst path of all, ports included.
    path : tuple of (str, str, float)
        The worst setup path between registers: cell, pin, delay in nanoseconds.
    """

    setup_ns: float
    hold_ns: float
    worst_ns: float
    path: tuple[tuple[str, str, float], ...]


def version() -> str:
    """Version of OpenSTA, e.g. ``2.0.17``.

    Raises
    ------
    ToolNotFoundError
        If it is not there.
    """
    program = base.executable("sta", "OPENSTA", REMEDY)
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)  # fmt: skip
    return (done.stdout + done.stderr).strip().split()[0]


def analyze(
    netlist: Path, liberty: Path, spef: str, *, top: str, clock: str, period_ns: float
) -> Job:
    """Find the worst paths; `spef` is the text of the parasitics, empty for none."""
    read = "read_spef wires.spef" if spef else ""
    script = _SCRIPT.format(top=top, clock=clock, period=period_ns, outside=period_ns / 4,
                            spef=read)  # fmt: skip
    texts: Mapping[str, str] = {"sta.tcl": script} | ({"wires.spef": spef} if spef else {})
    program = base.executable("sta", "OPENSTA", REMEDY)
    return Job(NAME, [program, "-no_splash", "-exit", "sta.tcl"], version(), texts,
               {"netlist.v": netlist, "cells.lib": liberty})  # fmt: skip


def metrics(log: str) -> Timing:
    """Read the reports.

    Raises
    ------
    ValueError
        If a path is missing: then nothing was analyzed.
    """
    parts = dict(re.findall(r"== (\w+)\n(.*?)(?=^== )", log, re.DOTALL | re.MULTILINE))
    slack = {}
    for name in ("setup", "hold", "outside"):
        found = _SLACK.search(parts.get(name, ""))
        if found is None:
            raise ValueError(f"OpenSTA reports no path ({name})")
        slack[name] = float(found[1])
    steps = []
    for line in parts["setup"].splitlines():
        if "data arrival time" in line:
            break
        if step := _STEP.match(line):
            steps.append((step[5], step[4], float(step[1])))
    return Timing(slack["setup"], slack["hold"], min(slack["outside"], slack["setup"]),
                  tuple(steps))  # fmt: skip
