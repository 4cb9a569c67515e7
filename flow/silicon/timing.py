"""Static timing of a netlist at the corners of the standard cells, before and after routing.

The wire model: a net's capacitance and resistance come from the shapes of its wires in the layout
(`flow.engines.klayout_lvs`). Half of the capacitance sits at the driver, the rest in equal parts at
what the net feeds, each behind half of the net's resistance. Before routing wires count nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flow import files
from flow.silicon import cell, netlist
from flow.silicon.cell import Library
from flow.silicon.netlist import Netlist
from flow.silicon.target import AsicTarget
from flow.tools import base, opensta
from rtl_gen.errors import FlowError

SHIPPED = Path(__file__).parents[2] / "pdks"
CLOCK = "clk"


def analyze(target: AsicTarget, views: Path, folder: Path, result: Path, log: Path) -> None:
    """Analyze the routed netlist of `folder` with and without its wires; write ``timing.json``.

    A missed clock is a measurement, judged later.

    Raises
    ------
    FlowError
        If a corner has no Liberty.
    ToolError, ToolNotFoundError
        If OpenSTA fails or is absent.
    """
    library = cell.read(views / "library.json")
    routed = netlist.from_json(files.read_json(folder / "routed.json"))
    wires = files.read_json(folder / "wires.json")
    period = 1e3 / target.clock_mhz
    found = {}
    for corner in target.corners:
        liberty = SHIPPED / target.process / f"{corner}.lib"
        if not liberty.is_file():
            raise FlowError(
                f"{liberty}: no such file; make it with "
                f"`snakemake results/pdk/c4m_sky130/{corner}.lib` and put it there"
            )
        for name, text in (("cells", ""), ("wires", spef(routed, library, wires))):
            job = opensta.analyze(folder / "netlist.v", liberty, text, top=routed.top, clock=CLOCK,
                                  period_ns=period)  # fmt: skip
            part = log.with_suffix(f".{corner}_{name}")
            stage = folder / "sta" / f"{corner}_{name}"
            # The report is what the program prints, so it has to run to be read.
            if base.run(job, stage, part):
                files.copy(part, folder / "sta" / f"{corner}_{name}.rpt")
            part.unlink(missing_ok=True)
            report = (folder / "sta" / f"{corner}_{name}.rpt").read_text()
            found[f"{corner}_{name}"] = asdict(opensta.metrics(report))
    files.write_json(result, {"opensta": opensta.version(), "period_ns": period, "corners": found})
    for key, word in (("setup_ns", "setup"), ("hold_ns", "hold")):
        name = worst_corner(found, key)
        print(f"  {word}: slack {found[name][key]:+.3f} ns at {name.split('_')[0]}",
              file=sys.stderr)  # fmt: skip


def worst_corner(corners: Mapping[str, Mapping[str, Any]], key: str) -> str:
    """Corner, as ``ss_wires``, where `key` (``setup_ns``, ``hold_ns``) is least with wires."""
    return min((name for name in corners if name.endswith("wires")),
               key=lambda name: float(corners[name][key]))  # fmt: skip


def spef(routed: Netlist, library: Library, wires: Mapping[str, Sequence[float]]) -> str:
    """SPEF text of the wires.

    Parameters
    ----------
    wires : mapping of str to (float, float)
        Net, by its name in Coriolis, to capacitance (fF) and resistance (ohm).

    Raises
    ------
    FlowError
        If a net of the netlist has no wires.
    """
    drivers: dict[str, str] = {}
    readers: dict[str, list[str]] = {}
    for gate in routed.gates:
        outputs = library.cells[gate.cell].outputs
        for pin, net in gate.pins.items():
            place = f"{gate.name}:{pin}"
            if pin in outputs:
                drivers[net] = place
            else:
                readers.setdefault(net, []).append(place)
    for port, way in routed.ports.items():
        if way == "input":
            drivers[port] = port
        else:
            readers.setdefault(port, []).append(port)
    lines = [
        '*SPEF "IEEE 1481-1998"', f'*DESIGN "{routed.top}"', '*DATE ""', '*VENDOR ""',
        '*PROGRAM "intaglio"', '*VERSION ""', '*DESIGN_FLOW ""', "*DIVIDER /", "*DELIMITER :",
        "*BUS_DELIMITER [ ]", "*T_UNIT 1 NS", "*C_UNIT 1 FF", "*R_UNIT 1 OHM", "*L_UNIT 1 HENRY",
        "",
    ]  # fmt: skip
    missing = [net for net in drivers if net in readers and drawn(net) not in wires]
    if missing:
        raise FlowError(f"the layout has no wires of {len(missing)} nets, among them {missing[0]}; "
                        "does it equal its netlist?")  # fmt: skip
    for net, driver in sorted(drivers.items()):
        ends = readers.get(net, [])
        if not ends:
            continue
        capacitance, resistance = wires[drawn(net)]
        lines += [f"*D_NET {net} {capacitance:.4f}", "*CONN", _connection(driver, routed, "O")]
        lines += [_connection(end, routed, "I") for end in ends]
        lines += ["*CAP", f"1 {driver} {capacitance / 2:.5f}"]
        lines += [
            f"{number} {end} {capacitance / 2 / len(ends):.5f}"
            for number, end in enumerate(ends, 2)
        ]
        lines.append("*RES")
        lines += [
            f"{number} {driver} {end} {max(resistance / 2, 0.01):.4f}"
            for number, end in enumerate(ends, 1)
        ]
        lines += ["*END", ""]
    return "\n".join(lines)


def drawn(net: str) -> str:
    """Name of a net in the layout."""
    return netlist.alias(net).replace("[", "(").replace("]", ")")


def _connection(place: str, routed: Netlist, inner: str) -> str:
    if ":" in place:
        return f"*I {place} {inner}"
    return f"*P {place} {'I' if routed.ports[place] == 'input' else 'O'}"
