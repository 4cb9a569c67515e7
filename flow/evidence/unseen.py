"""Is a changed truth table of a ROM a fault at all? Not if no address of the ROM makes it visible.

Depths are no powers of two: what chooses among blocks has entries for addresses behind the last
word, which nobody reads. That a change concerns those alone is shown here for all contents of the
blocks, as functions, and so not by what reads the words (`evaluate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flow.evidence import evaluate
from flow.evidence.bdd import FALSE, TRUE, Functions
from flow.evidence.design import Bit, Cell, Module
from flow.evidence.logic import Logic
from flow.evidence.memories import BLOCK


def unseen(module: Module, name: str, table: int, depth: int) -> bool:
    """Whether a ROM does the same at every address below `depth` with another table in a LUT.

    Parameters
    ----------
    module : Module
        The ROM, mapped, all in one.
    name : str
        The LUT.
    table : int
    depth : int
        Words of the ROM.
    """

    def changed(key: str, cell: Cell) -> int:
        return table if key == name else evaluate.lut_of_netlist(key, cell)

    functions = Functions()
    before = Logic(module, functions, opaque=(BLOCK,))
    after = Logic(module, functions, lut=changed, opaque=(BLOCK,))
    allowed = TRUE
    for port, _ in evaluate.ports(module):
        address = dict(enumerate(module.ports[port]))
        allowed = functions.both(allowed, _below(functions, address, depth))
        allowed = functions.both(allowed, _below(functions, _held(module, address), depth))
    return all(
        functions.both(functions.differ(one, other), allowed) == FALSE
        for one, other in _functions(module, before, after)
    )


def _functions(module: Module, *logics: Logic) -> Iterator[list[int]]:
    """Functions by which a module changes, of each of the `logics`."""
    for bit, (name, _, _) in module.drivers.items():
        if logics[0].register(bit) is not None:
            yield [logic.next(bit) for logic in logics]
        cell = module.cells[name]
        if cell.type == BLOCK:
            inputs = (b for pin, bits in cell.pins.items() if pin not in cell.outputs for b in bits)
            yield from ([logic.value(b) for logic in logics] for b in inputs)
    for port, bits in module.ports.items():
        if port not in module.inputs:
            yield from ([logic.value(bit) for logic in logics] for bit in bits)


def _held(module: Module, address: Mapping[int, Bit]) -> dict[int, Bit]:
    """Registers that hold bits of an address, by place."""
    places = {bit: place for place, bit in address.items()}
    return {
        places[cell.bit("DI")]: cell.bit("Q")
        for cell in module.cells.values()
        if cell.type == "TRELLIS_FF" and cell.bit("DI") in places and cell.bit("LSR") in ("0", "x")
    }


def _below(functions: Functions, bits: Mapping[int, Bit], depth: int) -> int:
    """Whether some number below `depth` has these bits (the others can be 0)."""
    found = FALSE
    for place in range(max([depth.bit_length() - 1, *bits]) + 1):
        bit = functions.variable(bits[place]) if place in bits else FALSE
        high, low = (found, TRUE) if depth >> place & 1 else (FALSE, found)
        found = functions.choose(bit, high, low)
    return found
