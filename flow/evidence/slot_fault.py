"""Kinds of faults in which an adapter's slot is the wrong one: stuck, exchanged, off by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flow.evidence.adapter_cone import MEMORY, PORT
from flow.evidence.design import Design, Module
from flow.evidence.plant import Chip, Mutant, with_cells
from flow.evidence.slot import BANKS, port_of

_DATA = {"TRELLIS_FF": "DI"}


def of_chip(chip: Chip, rng: Any) -> Mapping[str, Callable[[], Mutant | None]]:
    """Functions that draw such faults; none if the chip has no adapter memory."""
    if chip.adapters is None:
        return {}
    found: dict[str, Callable[[], Mutant | None]] = {}
    designs = {"rtl": chip.adapters, "netlist": chip.netlist}
    for level, design in designs.items():
        if design is not None:
            for kind, change in _CHANGES.items():
                found[f"{level}: {kind}"] = _made(chip, level, kind, design, change, rng)
    return found


Change = Callable[[Design, Any], tuple[str, Design]]


def _made(
    chip: Chip, level: str, kind: str, design: Design, change: Change, rng: Any
) -> Callable[[], Mutant | None]:
    def make() -> Mutant:
        place, changed = change(design, rng)
        mutated = (
            replace(chip, adapters=changed) if level == "rtl" else replace(chip, netlist=changed)
        )
        return Mutant(level, kind, place, mutated)

    return make


def _rewired(design: Design, pin: str, bits: tuple[Any, ...]) -> Design:
    """The chip with other bits at a pin of the adapter memory."""
    chip = design["chip"]
    memory = chip.cells[MEMORY]
    cells = {**chip.cells, MEMORY: replace(memory, pins={**memory.pins, pin: bits})}
    return {**design, "chip": with_cells(chip, cells)}


def _slot_pin(design: Design, rng: Any) -> tuple[str, str, tuple[Any, ...]]:
    name = ("active", "opened")[int(rng.integers(2))]
    pin = port_of(design[design["chip"].cells[MEMORY].type], name)
    return name, pin, tuple(design["chip"].cells[MEMORY].pins[pin])


def _stuck(design: Design, rng: Any) -> tuple[str, Design]:
    """One bit of the slot, as the memory sees it, never changes."""
    name, pin, bits = _slot_pin(design, rng)
    k, value = int(rng.integers(len(bits))), str(int(rng.integers(2)))
    changed = (*bits[:k], value, *bits[k + 1 :])
    return f"bit {k} of {name} is {value}", _rewired(design, pin, changed)


def _exchanged(design: Design, rng: Any) -> tuple[str, Design]:
    """The slot in use where the opened one belongs, or the other way round."""
    name, pin, _ = _slot_pin(design, rng)
    other = {"active": "opened", "opened": "active"}[name]
    kind = design["chip"].cells[PORT].type
    bits = tuple(design["chip"].cells[PORT].pins[port_of(design[kind], other)])
    return f"{other} for {name}", _rewired(design, pin, bits)


def _begins_elsewhere(design: Design, rng: Any) -> tuple[str, Design]:
    """A bit of the place where a slot begins is always on: that of the first begins at 0."""
    kind = design["chip"].cells[MEMORY].type
    module = design[kind]
    bank = BANKS[int(rng.integers(len(BANKS)))]
    bits = [bit for bit in module.ports[port_of(module, f"read__{bank}_base")]
            if isinstance(bit, int)]  # fmt: skip
    bit = bits[int(rng.integers(len(bits)))]
    return f"a bit of the base of bank {bank} is 1", {
        **design, kind: _with_data(module, bit, "1")
    }  # fmt: skip


def _held(design: Design, rng: Any) -> tuple[str, Design]:
    """A bit of the slot in use that never changes, or of the one that is opened."""
    kind = design["chip"].cells[PORT].type
    module = design[kind]
    name = ("active", "opened")[int(rng.integers(2))]
    bits = module.ports[port_of(module, name)]
    k, value = int(rng.integers(len(bits))), str(int(rng.integers(2)))
    return f"bit {k} of the register {name} is {value}", {
        **design, kind: _with_data(module, bits[k], value)
    }  # fmt: skip


def _with_data(module: Module, bit: Any, value: str) -> Module:
    """The module with a constant at the data pin of a register."""
    name = module.drivers[bit][0]
    cell = module.cells[name]
    pins = {**cell.pins, _DATA.get(cell.type, "D"): (value,)}
    return with_cells(module, {**module.cells, name: replace(cell, pins=pins)})


_CHANGES: Mapping[str, Change] = {
    "stuck adapter slot": _stuck,
    "exchanged adapter slots": _exchanged,
    "adapter slot in another place": _begins_elsewhere,
    "wrong register of an adapter slot": _held,
}
