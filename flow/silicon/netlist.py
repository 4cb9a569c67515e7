"""Netlists of standard cells: read from Yosys, written for place and route, read back as Verilog.

Names are those of the chip's Verilog where Coriolis takes them; it writes ``port[3]`` as
``port(3)`` and folds ``__`` into ``_``, so ports go by an alias on its side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow.silicon.cell import Library
from rtl_gen.errors import FlowError

OUTSIDE = "outside"
CONTROL = "control"
CLOCK_TREE, BUFFERS, DIODES = "clock tree", "fan-out buffers", "antenna diodes"
HOLD = "hold buffers"

TIES = {"0": ("zero_x1", "zero"), "1": ("one_x1", "one")}
BUFFER = "buf_x1"
ANTENNA = "diode_w1"


@dataclass(frozen=True, slots=True)
class Gate:
    """One instance.

    Parameters
    ----------
    name : str
    cell : str
    pins : mapping of str to str
        Pin to net.
    unit : str
        Part of the chip it belongs to.
    """

    name: str
    cell: str
    pins: Mapping[str, str]
    unit: str


@dataclass(frozen=True, slots=True)
class Netlist:
    """A flat netlist.

    Parameters
    ----------
    top : str
    ports : mapping of str to str
        Port bit, as ``name`` or ``name[3]``, to ``input`` or ``output``. The net of a port has its
        name.
    gates : tuple of Gate
    """

    top: str
    ports: Mapping[str, str]
    gates: tuple[Gate, ...]


def from_yosys(content: Mapping[str, Any], top: str, library: Library) -> Netlist:
    """Netlist of module `top` in the output of ``write_json``.

    Every port bit gets a net of its own: an output that is constant, or shares its net with another
    port, is driven by a buffer; an input that nothing reads ends in an antenna diode, so that the
    layout has its pin. A constant comes from a tie cell.

    A gate belongs to the unit that its output is named after in the Verilog (Yosys keeps
    ``unit.signal`` when it flattens); one without such a name to the unit that most of the gates it
    feeds belong to.

    Raises
    ------
    FlowError
        If a cell is not in `library`.
    """
    module = content["modules"][top]
    names: dict[int, str] = {}
    ports: dict[str, str] = {}
    doubled: list[tuple[str, int | str]] = []
    for port, item in module["ports"].items():
        for index, bit in enumerate(item["bits"]):
            name = port if len(item["bits"]) == 1 else f"{port}[{index}]"
            ports[name] = item["direction"]
            if item["direction"] == "output" and (bit in names or isinstance(bit, str)):
                doubled.append((name, bit))
            else:
                names[bit] = name
    ties: dict[str, str] = {}

    def net(bit: int | str) -> str:
        if isinstance(bit, str):  # "0", "1", and "x", which may be either
            value = bit if bit in TIES else "0"
            return ties.setdefault(value, f"tie{value}")
        return names.setdefault(bit, f"n{bit}")

    units = _units(module, library)
    gates = [
        Gate(f"g{index}", cell["type"], {pin: net(bits[0]) for pin, bits in
             sorted(cell["connections"].items())}, units[name])
        for index, (name, cell) in enumerate(sorted(module["cells"].items()))
    ]  # fmt: skip
    gates += [
        Gate(f"p{index}", BUFFER, {"i": net(bit), "q": name}, CONTROL)
        for index, (name, bit) in enumerate(doubled)
    ]
    read = {net for gate in gates for net in gate.pins.values()}
    gates += [
        Gate(f"u{index}", ANTENNA, {"i": port}, CONTROL)
        for index, port in enumerate(sorted(ports.keys() - read))
    ]
    gates += [
        Gate(f"t{value}", TIES[value][0], {TIES[value][1]: wire}, CONTROL)
        for value, wire in sorted(ties.items())
    ]
    return Netlist(top, dict(sorted(ports.items())), tuple(gates))


def _units(module: Mapping[str, Any], library: Library) -> dict[str, str]:
    """Unit of each cell of a flattened module."""
    known = _named(module)
    drives: dict[str, int] = {}
    readers: dict[int, list[str]] = {}
    for name, cell in module["cells"].items():
        if cell["type"] not in library.cells:
            raise FlowError(
                f"the netlist has a cell {cell['type']!r} ({name}) that the library does not have; "
                "is it a memory or an operator that synthesis left?"
            )
        outputs = library.cells[cell["type"]].outputs
        for pin, bits in cell["connections"].items():
            if isinstance(bits[0], int):
                if pin in outputs:
                    drives[name] = bits[0]
                else:
                    readers.setdefault(bits[0], []).append(name)
    units = {name: known[bit] for name, bit in drives.items() if bit in known}
    waiting = [name for name in module["cells"] if name not in units]
    while waiting:
        later = []
        for name in waiting:
            votes = Counter(units[r] for r in readers.get(drives.get(name, -1), []) if r in units)
            if votes:
                units[name] = min(votes, key=lambda unit: (-votes[unit], unit))
            else:
                later.append(name)
        if len(later) == len(waiting):  # nothing named is fed: what is left belongs to no unit
            return units | dict.fromkeys(later, CONTROL)
        waiting = later
    return units


def _named(module: Mapping[str, Any]) -> dict[int, str]:
    """Unit of each net that the Verilog names, the outermost name deciding."""
    units: dict[int, str] = {}
    for name, item in module["netnames"].items():
        if item.get("hide_name"):
            continue
        unit = name.split(".")[0] if "." in name else CONTROL
        for bit in item["bits"]:
            if isinstance(bit, int) and units.get(bit, CONTROL) == CONTROL:
                units[bit] = unit
    return units


def to_json(netlist: Netlist) -> dict[str, Any]:
    """Give what `from_json` reads."""
    return {
        "top": netlist.top,
        "ports": dict(netlist.ports),
        "gates": [[gate.name, gate.cell, dict(gate.pins), gate.unit] for gate in netlist.gates],
    }


def from_json(content: Mapping[str, Any]) -> Netlist:
    """Netlist that `to_json` wrote."""
    gates = tuple(Gate(*item) for item in content["gates"])
    return Netlist(content["top"], content["ports"], gates)


def alias(port: str) -> str:
    """Name of a port bit in the input of Coriolis."""
    while "__" in port:
        port = port.replace("__", "_")
    return port


def blif(netlist: Netlist) -> str:
    """BLIF text, instances in the order of ``netlist.gates``.

    Raises
    ------
    FlowError
        If two ports have the same alias.
    """
    names: dict[str, str] = {}
    for port in netlist.ports:
        if alias(port) in names:
            raise FlowError(f"ports {names[alias(port)]} and {port} have one name in Coriolis")
        names[alias(port)] = port
    lines = [f".model {netlist.top}"]
    for direction in ("input", "output"):
        bits = [alias(port) for port, way in netlist.ports.items() if way == direction]
        lines.append(f".{direction}s {' '.join(bits)}")
    lines += [
        f".gate {gate.cell} {' '.join(f'{pin}={alias(net)}' for pin, net in gate.pins.items())}"
        for gate in netlist.gates
    ]
    return "\n".join([*lines, ".end", ""])


def routed(placed: Mapping[str, Any], mapped: Netlist, library: Library) -> Netlist:
    """Netlist that a layout contains, with what place and route added.

    Parameters
    ----------
    placed : mapping
        ``layout.json``.
    mapped : Netlist
        What was given to it, for names and units.

    Raises
    ------
    FlowError
        If an instance of `mapped` is not placed.
    """
    ports = {alias(port): port for port in mapped.ports}
    gates, seen = [], set()
    for item in placed["instances"]:
        cell = library.cells.get(item["cell"])
        if cell is None or not cell.pins:
            continue
        pins = {pin: ports.get(_brackets(net), net) for pin, net in item["pins"].items()}
        index = _subcircuit(item["name"])
        if index is None:
            gates.append(Gate(item["name"], item["cell"], pins, _added(item["name"])))
        else:
            seen.add(index)
            gate = mapped.gates[index]
            gates.append(Gate(gate.name, item["cell"], pins, gate.unit))
    missing = [gate.name for index, gate in enumerate(mapped.gates) if index not in seen]
    if missing:
        raise FlowError(f"place and route lost {len(missing)} gates, among them {missing[0]}")
    return Netlist(mapped.top, mapped.ports, tuple(gates))


def open_pins(placed: Mapping[str, Any], library: Library) -> list[str]:
    """Inputs of placed cells that nothing is connected to, as ``instance.pin``."""
    return [
        f"{item['name']}.{pin}"
        for item in placed["instances"] if item["cell"] in library.cells
        for pin in library.cells[item["cell"]].pins
        if pin not in item["pins"] and pin not in library.cells[item["cell"]].outputs
    ]  # fmt: skip


def _brackets(name: str) -> str:
    return name.replace("(", "[").replace(")", "]")


def _subcircuit(name: str) -> int | None:
    """Position in the BLIF of an instance that Coriolis calls ``subckt_<position>_<cell>``."""
    word, _, rest = name.partition("_")
    index = rest.split("_")[0]
    return int(index) if word == "subckt" and index.isdigit() else None


def _added(name: str) -> str:
    if name.startswith("diode"):
        return DIODES
    return CLOCK_TREE if name.startswith("spare") else BUFFERS


def verilog(netlist: Netlist) -> str:
    """Structural Verilog with the ports of the chip's Verilog."""
    widths: dict[str, int] = {}
    for port in netlist.ports:
        name, _, index = port.partition("[")
        widths[name] = max(widths.get(name, 0), int(index[:-1]) + 1 if index else 0)
    lines = [f"module {netlist.top} ({', '.join(widths)});"]
    for name, width in widths.items():
        way = netlist.ports[f"{name}[0]" if width else name]
        lines.append(f"  {way} {f'[{width - 1}:0] ' if width else ''}{name};")
    wires = {net for gate in netlist.gates for net in gate.pins.values()} - netlist.ports.keys()
    lines += [f"  wire {_escaped(wire)};" for wire in sorted(wires)]
    lines += [_instance(gate, netlist.ports) for gate in netlist.gates]
    return "\n".join([*lines, "endmodule", ""])


def _instance(gate: Gate, ports: Iterable[str]) -> str:
    pins = ", ".join(
        f".{pin}({net if net in ports else _escaped(net)})" for pin, net in gate.pins.items()
    )
    return f"  {gate.cell} {_escaped(gate.name)} ({pins});"


def _escaped(name: str) -> str:
    return name if name.isidentifier() else f"\\{name} "


def area_by_unit(netlist: Netlist, library: Library) -> dict[str, dict[str, float]]:
    """Cells, flip-flops and area (µm²) of each unit."""
    found: dict[str, dict[str, float]] = {}
    for gate in netlist.gates:
        cell = library.cells[gate.cell]
        unit = found.setdefault(gate.unit, {"cells": 0, "ff": 0, "area_um2": 0.0})
        unit["cells"] += 1
        unit["ff"] += cell.flip_flop
        unit["area_um2"] = round(unit["area_um2"] + cell.area, 4)
    return dict(sorted(found.items(), key=lambda item: -item[1]["area_um2"]))


def undriven(netlist: Netlist, library: Library) -> Sequence[str]:
    """Nets that are read and that nothing drives."""
    driven = {port for port, way in netlist.ports.items() if way == "input"}
    read: set[str] = set()
    for gate in netlist.gates:
        for pin, net in gate.pins.items():
            (driven if pin in library.cells[gate.cell].outputs else read).add(net)
    return sorted(read - driven)
