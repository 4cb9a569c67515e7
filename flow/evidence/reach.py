"""What a signal can influence, through gates and registers, and where memories stop it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from flow.evidence.design import Bit, Cell, Module

_BITWISE = {"$not", "$and", "$or", "$xor", "$xnor", "$pos"}
_REGISTERS = {"$dff", "$dffe", "$adff", "$sdff", "$sdffe", "$sdffce", "$dlatch", "$aldff"}
_CONTROLS = ("EN", "SRST", "ARST", "CLR", "SET", "ALOAD")


def is_memory(cell: Cell) -> bool:
    """Whether a cell keeps addressed words."""
    return cell.type.startswith("$mem") or cell.type in {
        "DP16KD", "PDPW16KD", "TRELLIS_DPR16X4", "SPR16X4C",
    }  # fmt: skip


def forward(module: Module, sources: Iterable[Bit], *, choices: bool = True) -> set[Bit]:
    """Every bit of a flat module that a bit of `sources` can influence.

    What enters a memory does not leave it here. Elsewhere every input of a cell influences every
    output, except that bitwise cells, multiplexers and registers keep their places apart.

    Parameters
    ----------
    module : Module
    sources : iterable of Bit
    choices : bool
        Also follow what only chooses: selects of multiplexers, enables and resets of registers.
        Without, what remains is the flow of values.
    """
    edges: dict[Bit, set[Bit]] = defaultdict(set)
    for cell in module.cells.values():
        if not is_memory(cell):
            for source, target in _edges(cell, choices):
                if isinstance(source, int):
                    edges[source].add(target)
    reached: set[Bit] = {bit for bit in sources if isinstance(bit, int)}
    waiting = list(reached)
    while waiting:
        for bit in edges.get(waiting.pop(), ()):
            if bit not in reached:
                reached.add(bit)
                waiting.append(bit)
    return reached


def _edges(cell: Cell, choices: bool) -> Iterable[tuple[Bit, Bit]]:
    pins = cell.pins
    if cell.type in _BITWISE:
        for place, out in enumerate(pins["Y"]):
            for pin in ("A", "B"):
                if pin in pins:
                    yield _at(cell, pin, place), out
    elif cell.type == "$mux":
        for place, out in enumerate(pins["Y"]):
            yield pins["A"][place], out
            yield pins["B"][place], out
            if choices:
                yield pins["S"][0], out
    elif cell.type == "$pmux":
        width = len(pins["Y"])
        for place, out in enumerate(pins["Y"]):
            yield pins["A"][place], out
            for choice, chooser in enumerate(pins["S"]):
                yield pins["B"][choice * width + place], out
                if choices:
                    yield chooser, out
    elif cell.type in _REGISTERS:
        for place, out in enumerate(pins["Q"]):
            yield pins["D"][place], out
            for control in _CONTROLS if choices else ():
                for bit in pins.get(control, ()):
                    yield bit, out
    else:
        outputs = [bit for pin in cell.outputs for bit in pins[pin]]
        for pin, bits in pins.items():
            if pin not in cell.outputs and pin not in {"CLK", "CLKA", "CLKB", "WCK"}:
                for bit in bits:
                    for out in outputs:
                        yield bit, out


def _at(cell: Cell, pin: str, place: int) -> Bit:
    """The bit of an operand at a place of the result; a narrower one is extended."""
    bits: Sequence[Bit] = cell.pins[pin]
    if place < len(bits):
        return bits[place]
    return bits[-1] if cell.number(f"{pin}_SIGNED", 0) else "0"


def memory_pins(cell: Cell) -> Mapping[str, Sequence[Bit]]:
    """The pins by which a memory is written, in three groups: ``data``, ``address``, ``enable``."""
    pins = cell.pins
    if cell.type.startswith("$mem"):
        return {"data": pins["WR_DATA"], "address": pins["WR_ADDR"], "enable": pins["WR_EN"]}
    if cell.type == "TRELLIS_DPR16X4":
        return {"data": pins["DI"], "address": pins["WAD"], "enable": pins["WRE"]}
    groups: dict[str, list[Bit]] = {"data": [], "address": [], "enable": []}
    for pin, bits in pins.items():
        if pin[:2] == "DI":
            groups["data"] += bits
        elif pin[:2] == "AD":
            groups["address"] += bits
        elif pin in {"WEA", "WEB"}:
            groups["enable"] += bits
    return groups
