"""Characterization: Liberty tables of the standard cells from their circuits, by ngspice.

The libraries that ship stand in ``pdks/c4m_sky130``, one file for each corner; ``snakemake
characterize`` makes them again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from flow import files
from flow.silicon import cell, liberty, spice
from flow.silicon.cell import Cell
from flow.silicon.spice import Corner
from flow.tools import base, ngspice
from rtl_gen.errors import FlowError, ToolError

CORNERS = (Corner("tt", 1.80, 25), Corner("ss", 1.60, 100), Corner("ff", 1.95, -40))
LOADS_PF = (0.002, 0.01, 0.04, 0.12)
SLEWS_NS = (0.03, 0.15, 0.5, 1.5)
DATA_SLEWS_NS = (0.1, 0.6)
CONSTRAINT_LOAD_PF = 0.01
STRETCHES = (1, 2, 4)
"""How much longer pulses become for a gate that is not done with one before it ends."""

FIELDS = 8
DIFFUSION = 0.28e-6
"""Length of drain and source of each transistor, m: contacted, not shared with a neighbour."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of an output at one point of the tables: seconds, seconds, joules."""

    delay: float
    transition: float
    energy: float


def run(views: Path, name: str, output: Path, log: Path) -> None:
    """Characterize all cells that the flow uses at the corner called `name`, one job for each.

    Raises
    ------
    FlowError
        If there is no such corner.
    ToolError, ToolNotFoundError
        If a measurement is missing or ngspice is absent.
    """
    corner = next((item for item in CORNERS if item.name == name), None)
    if corner is None:
        known = ", ".join(item.name for item in CORNERS)
        raise FlowError(f"there is no corner {name!r}; corners: {known}")
    circuits = (views / "cells.spi").read_text()
    groups = []
    used = [item for item in cell.read(views / "library.json").cells.values() if item.usable]
    for number, item in enumerate(used, 1):
        folder = views / "characterization" / name / item.name
        text, ports = circuit(circuits, item.name)
        for stretch in STRETCHES:
            job = ngspice.simulate(
                _decks(item, ports, corner, stretch), with_junctions(text),
                views / f"models/{name}.spice",
            )  # fmt: skip
            if base.run(job, folder, log, environment=ngspice.environment_variables()):
                print(
                    f"  {name}: {item.name}, {number} of {len(used)}", file=sys.stderr, flush=True
                )
            outputs = {
                deck.removesuffix(".out"): (folder / deck).read_text() for deck in job.outputs
            }
            if all(len(line) == FIELDS for line in ngspice.printed(outputs["delay"], "RUN")):
                break
        groups.append(_group(item, corner, outputs))
    head = liberty.header(f"c4m_sky130_{name}", corner.voltage, corner.celsius)
    comment = (
        f"/* Intaglio, {ngspice.version()}: schematic circuits with drains and sources of "
        f"{DIFFUSION * 1e6:g} um, no wires inside the cells */"
    )
    files.write(output, "\n".join([comment, *head, *_templates(), *groups, "}", ""]))


def circuit(text: str, name: str) -> tuple[str, tuple[str, ...]]:
    """SPICE text of the subcircuit `name` alone, and its ports.

    Raises
    ------
    FlowError
        If `text` has none.
    """
    found = re.search(
        rf"(?ms)^\.subckt {re.escape(name)} ([^\n]*)\n.*?^\.ends {re.escape(name)}$", text
    )
    if found is None:
        raise FlowError(f"cells.spi has no circuit of cell {name!r}; make the views again")
    return f"* {name}\n{found[0]}\n", tuple(found[1].split())


def with_junctions(text: str) -> str:
    """Give the transistors of a circuit the drains and sources that the schematic leaves out."""

    def sized(found: re.Match[str]) -> str:
        width = float(found[1])
        area, around = width * DIFFUSION, 2 * (width + DIFFUSION)
        return (f"{found[0]} ad={area:.4g} as={area:.4g} pd={around:.4g} "
                f"ps={around:.4g}")  # fmt: skip

    return re.sub(r"(?m)^M.* w=(\S+)$", sized, text)


def _decks(item: Cell, ports: Sequence[str], corner: Corner, stretch: int) -> dict[str, str]:
    if not item.flip_flop:
        runs = spice.combinational(item, SLEWS_NS, LOADS_PF)
        return {"delay": spice.deck(item, ports, corner, runs, stretch)}
    return {
        "delay": spice.flip_flop(item, ports, corner, SLEWS_NS, LOADS_PF),
        "constraint": spice.constraint(item, ports, corner, DATA_SLEWS_NS, CONSTRAINT_LOAD_PF),
    }


def _group(item: Cell, corner: Corner, outputs: Mapping[str, str]) -> str:
    """Liberty group of one cell."""
    text = outputs["delay"]
    measured = {line[0]: _numbers(item, line[1:]) for line in ngspice.printed(text, "RUN")}
    leakage = [float(line[0]) for line in ngspice.printed(text, "LEAKAGE")]
    if len(leakage) != 2 ** len(item.inputs):
        raise ToolError(f"ngspice measured {len(leakage)} states of {item.name}")
    capacitance = {}
    for pin in item.inputs:
        charges = [value[4] for key, value in measured.items() if key.startswith(f"{pin}/")]
        if charges:
            capacitance[pin] = fmean(charges) / corner.voltage * 1e12
    idle: dict[str, tuple[float, float]] = {}
    if item.flip_flop:
        latest = max(time for value in measured.values() for time in (value[0], value[2]))
        if latest > 1e-9 * (spice.MIDDLE - spice.START) / 2:
            raise ToolError(f"the output of {item.name} answers {latest:.3g} s after its clock")
        (found,) = ngspice.printed(text, "DATA")
        capacitance["i"] = float(found[0]) / corner.voltage * 1e12
        idle = _idle(item, text)
        measured = {key: _without(value, key, idle) for key, value in measured.items()}
    lines = [f"  cell ({item.name}) {{", f"    area : {item.area:g};",
             f"    cell_leakage_power : {1e9 * fmean(leakage):.6g};"]  # fmt: skip
    if item.flip_flop:
        lines.append('    ff (IQ, IQN) { clocked_on : "clk"; next_state : "i"; }')
    for pin in item.inputs:
        clock = " clock : true;" if item.flip_flop and pin == "clk" else ""
        lines.append(f"    pin ({pin}) {{ direction : input;{clock} "
                     f"capacitance : {capacitance[pin]:.6f};")  # fmt: skip
        if item.flip_flop:
            lines += _idle_power(pin, idle)
        if item.flip_flop and pin == "i":
            lines += _constraints(item, outputs["constraint"])
        lines.append("    }")
    for pin, function in item.functions.items():
        lines.append(f'    pin ({pin}) {{ direction : output; function : "{function}";')
        arcs = ("clk",) if item.flip_flop else item.inputs
        for related in arcs:
            lines += _arc(item, related, measured, corner)
        lines.append("    }")
    return "\n".join([*lines, "  }"])


def _numbers(item: Cell, fields: Sequence[str]) -> tuple[float, ...]:
    try:
        values = tuple(map(float, fields))
    except ValueError:
        values = ()
    if len(values) != FIELDS - 1:
        raise ToolError(f"ngspice did not measure {item.name}: {' '.join(fields)!r}")
    return values


def _idle(item: Cell, text: str) -> dict[str, tuple[float, float]]:
    """Energy of each edge of an input that leaves the output alone, by ``pin/slew``, in joules."""
    found = {}
    for key, *fields in ngspice.printed(text, "IDLE"):
        rise, fall = map(float, fields)
        found[key] = (rise, fall)
    if len(found) != len(item.inputs) * len(SLEWS_NS):
        raise ToolError(f"ngspice did not measure what an idle {item.name} takes")
    return found


def _without(
    value: Sequence[float], key: str, idle: Mapping[str, tuple[float, float]]
) -> tuple[float, ...]:
    """A flip-flop's run less what its clock takes anyway, and the fall of its data."""
    slew = key.split("/")[2]
    clock = sum(idle[f"clk/{slew}"])
    *kept, first, second = value
    return (*kept, first - clock - idle["i/0"][1], second - clock)


def _idle_power(pin: str, idle: Mapping[str, tuple[float, float]]) -> list[str]:
    lines = ["      internal_power () {"]
    for edge, name in enumerate(("rise", "fall")):
        values = ", ".join(f"{idle[f'{pin}/{i}'][edge] * 1e12:.6f}" for i in range(len(SLEWS_NS)))
        lines.append(f'        {name}_power (idle) {{ values ("{values}"); }}')
    return [*lines, "      }"]


def _arc(
    item: Cell, pin: str, measured: Mapping[str, Sequence[float]], corner: Corner
) -> list[str]:
    """Timing and power of one input to the output, the worst of all states of the others."""
    rises: dict[tuple[int, int], list[Edge]] = {}
    falls: dict[tuple[int, int], list[Edge]] = {}
    senses = set()
    states = [True] if item.flip_flop else [up for _, up in spice.side_states(item, pin)]
    for state, direct in enumerate(states):
        senses.add(direct)
        for i in range(len(SLEWS_NS)):
            for j, load in enumerate(LOADS_PF):
                first, s1, second, s2, _, e1, e2 = measured[f"{pin}/{state}/{i}/{j}"]
                rise, fall = Edge(first, s1, e1), Edge(second, s2, e2)
                if not direct:
                    rise, fall = fall, rise
                stored = load * 1e-12 * corner.voltage**2
                rises.setdefault((i, j), []).append(
                    Edge(rise.delay, rise.transition, rise.energy - stored)
                )
                falls.setdefault((i, j), []).append(fall)
    sense = "positive_unate" if senses == {True} else "negative_unate"
    kind = f"timing_sense : {sense if len(senses) == 1 else 'non_unate'};"
    if item.flip_flop:
        kind = "timing_type : rising_edge; timing_sense : non_unate;"
    lines = [f'      timing () {{ related_pin : "{pin}"; {kind}']
    for edge, name in ((rises, "rise"), (falls, "fall")):
        lines += _table(
            f"cell_{name} (delay)",
            {key: max(e.delay for e in found) * 1e9 for key, found in edge.items()},
        )
        lines += _table(f"{name}_transition (delay)",
                        {key: max(e.transition for e in found) * 1e9
                         for key, found in edge.items()})  # fmt: skip
    lines += ["      }", f'      internal_power () {{ related_pin : "{pin}";']
    for edge, name in ((rises, "rise"), (falls, "fall")):
        # Liberty's unit of energy is that of power by time here: capacitance (pF) times V squared.
        lines += _table(f"{name}_power (energy)",
                        {key: fmean(e.energy for e in found) * 1e12
                         for key, found in edge.items()})  # fmt: skip
    return [*lines, "      }"]


def _table(name: str, values: Mapping[tuple[int, int], float]) -> list[str]:
    rows = [
        ", ".join(f"{values[i, j]:.6f}" for j in range(len(LOADS_PF))) for i in range(len(SLEWS_NS))
    ]
    quoted = ", ".join(f'"{row}"' for row in rows)
    return [f"        {name} {{ values ({quoted}); }}"]


def _templates() -> list[str]:
    slews, loads = (", ".join(f"{value:g}" for value in item) for item in (SLEWS_NS, LOADS_PF))
    data = ", ".join(f"{value:g}" for value in DATA_SLEWS_NS)
    both = (f'variable_1 : input_net_transition; variable_2 : total_output_net_capacitance; '
            f'index_1 ("{slews}"); index_2 ("{loads}");')  # fmt: skip
    return [
        f"  lu_table_template (delay) {{ {both} }}",
        f"  power_lut_template (energy) {{ {both} }}",
        "  power_lut_template (idle) { variable_1 : input_transition_time; "
        f'index_1 ("{slews}"); }}',
        "  lu_table_template (constraint) { variable_1 : constrained_pin_transition; "
        f'variable_2 : related_pin_transition; index_1 ("{data}"); index_2 ("{data}"); }}',
    ]


def _constraints(item: Cell, text: str) -> list[str]:
    """Setup and hold of a flip-flop's data."""
    points = {key: float(time) for key, time, *_ in ngspice.printed(text, "POINT")}
    size = range(len(DATA_SLEWS_NS))
    wanted = 4 * len(size) ** 2
    if len(points) != wanted:
        raise ToolError(f"ngspice found {len(points)} of {wanted} constraints of {item.name}")
    lines = []
    for kind in ("setup", "hold"):
        lines.append(f'      timing () {{ related_pin : "clk"; timing_type : {kind}_rising;')
        for value, name in ((1, "rise"), (0, "fall")):
            # Held data of one value ends with the edge to the other one.
            edge = name if kind == "setup" else {"rise": "fall", "fall": "rise"}[name]
            times = {(i, j): points[f"{kind}/{value}/{i}/{j}"] for i in size for j in size}
            rows = ", ".join(
                '"' + ", ".join(f"{times[i, j]:.4f}" for j in size) + '"' for i in size
            )
            lines.append(f"        {edge}_constraint (constraint) {{ values ({rows}); }}")
        lines.append("      }")
    return lines
