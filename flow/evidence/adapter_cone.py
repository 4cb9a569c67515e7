"""What the adapter port of a mapped netlist can influence: adapter memory, and which slot is used.

The registers that tell which slot is in use (`adapter_port.active`) are where the host's part ends:
they decide between two programs and between slots. Behind a cut at these registers and at the
contents of memories, everything that a signal at the port can influence, as value or as choice,
through any cell, must lie in the port itself, in the write registers of the adapter memory, at that
memory's pins, or at the port's output. So no write of a host reaches another memory. And nothing
else reaches the adapter memory's write enables and data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from flow.evidence import reach
from flow.evidence.design import Bit, Cell, Design, EvidenceError, Module, inlined

PORTS = "adapter_"
"""First letters of the chip's ports by which a host writes adapters."""

PORT, MEMORY = "adapter_port", "adapter_memory"
"""Instances in the chip."""

_OWN = (f"{PORT}.", f"{MEMORY}.")
_OUTPUT = "adapter_read_data"
_CLOCKS = {"clk", "rst"}


def of_netlist(design: Design) -> tuple[list[str], dict[str, int]]:
    """Follow the port through the chip.

    Parameters
    ----------
    design : Design
        Mapped for ECP5 with its modules.

    Returns
    -------
    findings : list of str
        Empty if the host reaches what it may and nothing else.
    numbers : dict of str to int
        Bits and registers that the host reaches; pins of other memories that were looked at.

    Raises
    ------
    EvidenceError
        If the chip has no adapter port, or its slot in use is not held in registers.
    """
    chip = design["chip"]
    active = _registers(design, chip)
    whole = inlined(design, chip)
    flat = replace(whole, cells={k: v for k, v in whole.cells.items() if k not in active})
    host = [bit for port in flat.inputs if port.startswith(PORTS) for bit in flat.ports[port]]
    reached = reach.forward(flat, host)
    findings = list(_strayed(flat, reached))
    others = reach.forward(flat, _others(flat))
    for name, cell in _memories(flat, f"{MEMORY}."):
        for group in ("data", "enable"):
            if not others.isdisjoint(reach.memory_pins(cell)[group]):
                findings.append(f"the datapath reaches the write {group} of {name}")
    return findings, {
        "bits a host reaches": len(reached),
        "registers a host reaches": sum(
            _is_register(cell) and not reached.isdisjoint(cell.pins.get("Q", ()))
            for cell in flat.cells.values()
        ),
        "registers of the slot in use": len(active),
        "other memory cells": len(_foreign(flat)),
    }


def _registers(design: Design, chip: Module) -> set[str]:
    """Names of the flip-flops that hold the slot in use."""
    if PORT not in chip.cells or MEMORY not in chip.cells:
        raise EvidenceError(f"the netlist has no {PORT} and {MEMORY} as instances of chip")
    port = inlined(design, design[chip.cells[PORT].type])
    found = set()
    for bit in port.ports.get("active", ("absent",)):
        name = port.drivers.get(bit, ("", "", 0))[0]
        if name not in port.cells or not _is_register(port.cells[name]):
            raise EvidenceError(f"{PORT}.active is not driven by flip-flops: {name or bit}")
        found.add(f"{PORT}.{name}")
    return found


def _strayed(flat: Module, reached: set[Bit]) -> Iterator[str]:
    for name, cell in _foreign(flat).items():
        for pin, bits in cell.pins.items():
            if pin not in cell.outputs and not reached.isdisjoint(bits):
                yield f"the adapter port reaches pin {pin} of {name}"
    for name, cell in flat.cells.items():
        own = name.startswith(_OWN) or not _is_register(cell)
        if not own and not reached.isdisjoint(cell.pins["Q"]):
            yield f"the adapter port reaches the register {name}"
    for port, bits in flat.ports.items():
        if port not in flat.inputs and port != _OUTPUT and not reached.isdisjoint(bits):
            yield f"the adapter port reaches the output {port}"


def _others(flat: Module) -> Iterator[Bit]:
    """Whatever does not come from the host: other inputs, outputs of other cells."""
    for port in flat.inputs:
        if port not in _CLOCKS and not port.startswith(PORTS):
            yield from flat.ports[port]
    for name, cell in flat.cells.items():
        if not name.startswith(_OWN):
            for pin in cell.outputs:
                yield from cell.pins[pin]


def _memories(flat: Module, begin: str) -> Iterator[tuple[str, Cell]]:
    """Cells that keep words, below one instance."""
    for name, cell in flat.cells.items():
        if reach.is_memory(cell) and name.startswith(begin):
            yield name, cell


def _foreign(flat: Module) -> dict[str, Cell]:
    """Memory cells of all but the adapter memory and the port, whose ROM holds the base's digest.

    That no ROM can be written is shown apart (`flow.evidence.memory_class`).
    """
    return {name: cell for name, cell in _memories(flat, "") if not name.startswith(_OWN)}


def _is_register(cell: Cell) -> bool:
    return cell.type == "TRELLIS_FF"
