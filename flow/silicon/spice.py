"""SPICE decks that measure one cell, and what their measurements mean.

A cell stands alone between voltage sources and a load. Every run is one pulse on one input while
the others hold: its leading edge starts at `START`, its trailing edge at `MIDDLE`. Delays are from
half to half of the supply, transitions from 20 to 80 % of it. A deck holds all runs of a cell, so
the transistors' models are read once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flow.silicon.cell import Cell, evaluate

START, MIDDLE, END = 1.0, 9.0, 17.0
"""Nanoseconds: the edges of a pulse, and the end of a run."""

SLEW_PART = 0.6
"""Part of a full swing between 20 and 80 %: a ramp lasts its slew divided by this."""

SEARCH_NS = (-0.6, 1.0)
HALVINGS = 6
"""Interval in which setup and hold times are searched, and how often it is halved: to 25 ps."""

FORGET = "destroy all"
"""ngspice keeps the waves of every run, and gets slower by them."""

PUSH_OUT = 1.1
"""A flip-flop takes data in time if its output is at most this much later than with steady data."""


@dataclass(frozen=True, slots=True)
class Corner:
    """Process corner of the transistors' models, supply voltage, temperature in Celsius."""

    name: str
    voltage: float
    celsius: float


@dataclass(frozen=True, slots=True)
class Run:
    """One pulse.

    Parameters
    ----------
    key : str
        Name of the run in the deck's output.
    pin : str
        Input that is pulsed, from low to high and back.
    levels : mapping of str to int
        The other inputs.
    slew_ns, load_pf : float
    """

    key: str
    pin: str
    levels: Mapping[str, int]
    slew_ns: float
    load_pf: float


def side_states(cell: Cell, pin: str) -> Iterator[tuple[dict[str, int], bool]]:
    """Levels of the other inputs at which `pin` moves the output, and whether it rises with it."""
    (function,) = cell.functions.values()
    others = [name for name in cell.inputs if name != pin]
    for values in itertools.product((0, 1), repeat=len(others)):
        levels = dict(zip(others, values, strict=True))
        low, high = (evaluate(function, {**levels, pin: value}) for value in (0, 1))
        if low != high:
            yield levels, high > low


def combinational(cell: Cell, slews: Sequence[float], loads: Sequence[float]) -> list[Run]:
    """Runs of all arcs at all points; the key is ``pin/state/slew/load`` by index."""
    return [
        Run(f"{pin}/{state}/{i}/{j}", pin, levels, slew, load)
        for pin in cell.inputs
        for state, (levels, _) in enumerate(side_states(cell, pin))
        for i, slew in enumerate(slews)
        for j, load in enumerate(loads)
    ]


def deck(
    cell: Cell, ports: Sequence[str], corner: Corner, runs: Sequence[Run], stretch: int = 1
) -> str:
    """Deck of pulses.

    Parameters
    ----------
    ports : sequence of str
        Ports of the cell's circuit in order, supplies too.
    stretch : int
        Pulses last so many times longer than `START` to `MIDDLE`.

    Returns
    -------
    str
        Prints, for each run, ``key delay_1 transition_1 delay_2 transition_2 charge energy_1
        energy_2``: of the output after each edge (s), the input's charge of the leading edge (C),
        what the supply gives in each half (J); then ``leakage`` and its power (W) in each state.
    """
    (output,) = cell.functions
    half = corner.voltage / 2
    middle, end = (START + stretch * (time - START) for time in (MIDDLE, END))
    lines = [*_head(cell, ports, corner, output), ".control", "set noaskquit"]
    for run in runs:
        ramp = run.slew_ns / SLEW_PART
        lines += _sources(cell, run.levels, corner)
        lines += [
            f"alter @v{run.pin}[pulse] = [ 0 {corner.voltage} {START}n {ramp:.6g}n {ramp:.6g}n "
            f"{middle - START - ramp:.6g}n {10 * end}n ]",
            f"alter cload = {run.load_pf}p",
            f"tran 10p {end}n 0 0.5n",
        ]
        for number, edge in ((1, "rise"), (2, "fall")):
            start = START if number == 1 else middle
            stop = middle if number == 1 else end
            window = f"from={start - 0.5:g}n to={stop - 0.5:g}n"
            lines += [
                f"meas tran t{number} when v({run.pin})={half:g} {edge}=1",
                f"meas tran d{number} when v({output})={half:g} td={start:g}n cross=1",
                f"meas tran a{number} when v({output})={0.2 * corner.voltage:g} td={start:g}n "
                "cross=1",
                f"meas tran b{number} when v({output})={0.8 * corner.voltage:g} td={start:g}n "
                "cross=1",
                f"meas tran e{number} integ i(vvdd) {window}",
            ]
        lines += [
            f"meas tran charge integ i(v{run.pin}) from={START - 0.5:g}n to={middle - 0.5:g}n",
            "let u1 = d1 - t1",
            "let u2 = d2 - t2",
            "let s1 = abs(b1 - a1)",
            "let s2 = abs(b2 - a2)",
            f"let w1 = -e1 * {corner.voltage}",
            f"let w2 = -e2 * {corner.voltage}",
            "let c1 = -charge",
            f'echo "RUN {run.key} $&u1 $&s1 $&u2 $&s2 $&c1 $&w1 $&w2"',
            FORGET,
        ]
    for values in itertools.product((0, 1), repeat=len(cell.inputs)):
        lines += _sources(cell, dict(zip(cell.inputs, values, strict=True)), corner)
        lines += ["op", f"let w1 = -i(vvdd) * {corner.voltage}", 'echo "LEAKAGE $&w1"', FORGET]
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def flip_flop(
    cell: Cell, ports: Sequence[str], corner: Corner, slews: Sequence[float], loads: Sequence[float]
) -> str:
    """Deck of a flip-flop's delays from clock to output; prints like `deck`.

    Each run has two rising edges of the clock, data high at the first and low at the second; the
    keys are ``clk/0/slew/load``. Data falls between them.
    """
    half, voltage = corner.voltage / 2, corner.voltage
    # Each run starts with a low output; left alone, some corners start with a high one.
    lines = [*_head(cell, ports, corner, "q"), ".ic v(q)=0", ".control", "set noaskquit"]
    for i, slew in enumerate(slews):
        for j, load in enumerate(loads):
            ramp = slew / SLEW_PART
            period = MIDDLE - START
            lines += [
                f"alter @vclk[pulse] = [ 0 {voltage} {START}n {ramp:.6g}n {ramp:.6g}n "
                f"{period / 2 - ramp:.6g}n {period}n ]",
                f"alter @vi[pulse] = [ 0 {voltage} 0.1n 0.05n 0.05n {MIDDLE - 3}n {10 * END}n ]",
                f"alter cload = {load}p",
                f"tran 10p {END}n 0 0.5n",
            ]
            for number, start in ((1, START), (2, MIDDLE)):
                lines += [
                    f"meas tran t{number} when v(clk)={half:g} td={start:g}n rise=1",
                    f"meas tran d{number} when v(q)={half:g} td={start:g}n cross=1",
                    f"meas tran a{number} when v(q)={0.2 * voltage:g} td={start:g}n cross=1",
                    f"meas tran b{number} when v(q)={0.8 * voltage:g} td={start:g}n cross=1",
                    f"meas tran e{number} integ i(vvdd) from={start - 0.5:g}n "
                    f"to={start + period - 0.5:g}n",
                ]
            lines += [
                f"meas tran charge integ i(vclk) from={START - 0.5:g}n to={START + 3:g}n",
                "let u1 = d1 - t1", "let u2 = d2 - t2",
                "let s1 = abs(b1 - a1)", "let s2 = abs(b2 - a2)",
                f"let w1 = -e1 * {voltage}", f"let w2 = -e2 * {voltage}",
                "let c1 = -charge",
                f'echo "RUN clk/0/{i}/{j} $&u1 $&s1 $&u2 $&s2 $&c1 $&w1 $&w2"',
            ]  # fmt: skip
            lines += [] if (i, j) == (len(slews) - 1, len(loads) - 1) else [FORGET]
    lines += ["meas tran charge integ i(vi) from=0 to=1.5n", "let c1 = -charge",
              'echo "DATA $&c1"', FORGET]  # fmt: skip
    for pin, other in (("clk", "i"), ("i", "clk")):
        for i, slew in enumerate(slews):
            lines += _idle(pin, other, corner, slew / SLEW_PART, f"{pin}/{i}")
    for values in itertools.product((0, 1), repeat=len(cell.inputs)):
        lines += _sources(cell, dict(zip(cell.inputs, values, strict=True)), corner)
        lines += ["op", f"let w1 = -i(vvdd) * {voltage}", 'echo "LEAKAGE $&w1"', FORGET]
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def _idle(pin: str, other: str, corner: Corner, ramp: float, key: str) -> list[str]:
    """Energy that the supply gives when `pin` rises and falls while `other` stays low.

    Prints ``IDLE key rise fall``. Only the second pulse is measured: the output has settled.
    """
    period = (END - START) / 2
    lines = [
        f"alter @v{other}[pulse] = [ 0 0 1n 1n 1n 1n 1000n ]",
        f"alter @v{pin}[pulse] = [ 0 {corner.voltage} {START}n {ramp:.6g}n {ramp:.6g}n "
        f"{period / 2 - ramp:.6g}n {period}n ]",
        f"tran 10p {END}n 0 0.5n",
    ]
    for name, start in (("e1", START + period), ("e2", START + 1.5 * period)):
        stop = start + period / 2
        lines.append(f"meas tran {name} integ i(vvdd) from={start - 0.5:g}n to={stop - 0.5:g}n")
    return [
        *lines,
        f"let w1 = -e1 * {corner.voltage}",
        f"let w2 = -e2 * {corner.voltage}",
        f'echo "IDLE {key} $&w1 $&w2"',
        FORGET,
    ]


def constraint(
    cell: Cell, ports: Sequence[str], corner: Corner, slews: Sequence[float], load: float
) -> str:
    """Deck that searches setup and hold times against the clock's rising edge at `MIDDLE`.

    Prints ``POINT kind/value/data slew/clock slew time`` in nanoseconds: kind ``setup``, how long
    before the edge data has to arrive, kind ``hold``, how long after it data has to stay. The first
    edge of the clock loads the opposite value. Each search halves an interval: its upper end takes
    the value in time, its lower end does not.
    """
    voltage, half = corner.voltage, corner.voltage / 2
    lines = [*_head(cell, ports, corner, "q"), ".control", "set noaskquit",
             f"alter cload = {load}p"]  # fmt: skip
    for value, i, j in itertools.product((0, 1), range(len(slews)), range(len(slews))):
        data, clock = slews[i] / SLEW_PART, slews[j] / SLEW_PART
        old, new = (voltage, 0.0) if value == 0 else (0.0, voltage)
        lines.append(
            f"alter @vclk[pulse] = [ 0 {voltage} {START}n {clock:.6g}n {clock:.6g}n 4n "
            f"{MIDDLE - START}n ]"
        )
        edge = MIDDLE + clock / 2
        stay = {"setup": f"{10 * END}n", "hold": f"{3 - data:.6g}n + $time*1n"}
        for kind in ("setup", "hold"):
            attempt = [
                f"let arrive = {edge - data / 2:.6g}n - {'$time*1n' if kind == 'setup' else '3n'}",
                f"let stay = {stay[kind]}",
                f"alter @vi[pulse] = [ {old} {new} $&arrive {data:.6g}n {data:.6g}n $&stay "
                f"{20 * END}n ]",
                f"tran 10p {MIDDLE + 5}n 0 0.5n",
                "let d1 = -1",
                f"meas tran t1 when v(clk)={half:g} td={MIDDLE:g}n rise=1",
                f"meas tran d1 when v(q)={half:g} td={MIDDLE:g}n cross=1",
                f"meas tran final find v(q) at={MIDDLE + 4.5}n",
                f"let taken = (d1 gt t1) and (abs(final - {new}) lt {half / 2:g})",
            ]
            low, high = SEARCH_NS
            lines += [
                f"set time = {high}", *attempt,
                "let late = taken * (d1 - t1) * 1e12", 'set steady = "$&late"',
                f"set low = {low}", f"set high = {high}",
                f"repeat {HALVINGS}",
                "let middle = ($low + $high) / 2", 'set time = "$&middle"', *attempt,
                f"let good = taken and ((d1 - t1) * 1e12 le {PUSH_OUT} * $steady)",
                "if good", "set high = $time", "else", "set low = $time", "end", FORGET, "end",
                f'echo "POINT {kind}/{value}/{i}/{j} $high $low $steady"',
            ]  # fmt: skip
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def _head(cell: Cell, ports: Sequence[str], corner: Corner, output: str) -> list[str]:
    return [
        f"* {cell.name} at {corner.name}",
        '.include "models.spice"',
        '.include "cell.spi"',
        f".options temp={corner.celsius:g} trtol=1 chgtol=3e-16",
        f"vvdd vdd 0 {corner.voltage}",
        "vvss vss 0 0",
        *(f"v{pin} {pin} 0 pulse(0 0 1n 1n 1n 1n 1000n)" for pin in cell.inputs),
        f"cload {output} 0 1f",
        f"x1 {' '.join(ports)} {cell.name}",
    ]


def _sources(cell: Cell, levels: Mapping[str, int], corner: Corner) -> list[str]:
    """Hold inputs at levels."""
    return [
        f"alter @v{pin}[pulse] = [ {value} {value} 1n 1n 1n 1n 1000n ]"
        for pin, value in ((pin, levels[pin] * corner.voltage) for pin in cell.inputs
                           if pin in levels)
    ]  # fmt: skip
