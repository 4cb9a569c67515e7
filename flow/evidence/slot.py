"""An adapter chip uses the slot that was selected, and writes the one that was opened.

For every value of every input, on gates of the RTL and on mapped cells alike: what the port's
registers do, what the memory makes of the two slots, and that the wires between them are straight.
That a slot in use is never written follows from the port's rules by induction
(`tests/fabric/test_adapter_port_proof.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from flow.evidence.adapter_cone import MEMORY, PORT, PORTS
from flow.evidence.bdd import FALSE, TRUE, Functions
from flow.evidence.design import Bit, Design, EvidenceError, Module
from flow.evidence.logic import Logic

SELECT, OPEN, COMMIT = 1, 2, 5
"""Addresses of the registers that change slots, `docs/adapters.md`."""

BANKS = ("a", "b", "row")
MOST_FINDINGS = 5

_REGISTERS = {"selected", "valid"}
_JOINED = {"active": "active", "opened": "opened", "write": "memory_write", "bank": "bank",
           "offset": "offset", "piece": "piece", "write_data": "memory_data"}  # fmt: skip
"""Inputs of the memory, and the outputs of the port that they are."""


class Claims:
    """Claims about one module, and how many were looked at.

    Parameters
    ----------
    name : str
        Of the instance, for messages.
    design : Design
        Of gates, or mapped; the module's own instances are not looked into.
    module : Module
    """

    def __init__(self, name: str, design: Design, module: Module) -> None:
        self.name, self.module = name, module
        self.f = Functions()
        kinds = {cell.type for cell in module.cells.values()}
        inside = {
            kind for kind in kinds if kind in design or kind.startswith(("chip.", "$paramod"))
        }
        self.logic = Logic(module, self.f, opaque=inside)
        self.findings: list[str] = []
        self.functions = 0

    def bits(self, name: str) -> Sequence[Bit]:
        """Bits of a port, or of a register that is none."""
        if name in _REGISTERS and name in self.module.nets:
            return self.module.nets[name]
        return self.module.ports[port_of(self.module, name)]

    def words(self, name: str) -> list[int]:
        """Functions of the bits of a port or register."""
        return [self.logic.value(bit) for bit in self.bits(name)]

    def next(self, bit: Bit) -> int:
        """Next value of a register; a constant stays what it is."""
        return self.logic.value(bit) if isinstance(bit, str) else self.logic.next(bit)

    def state(self, what: str, found: int, wanted: int) -> None:
        """Claim that two functions are the same one."""
        self.functions += 1
        if found != wanted:
            self.findings.append(f"{self.name}: {what}")

    def equals(self, word: Sequence[int], value: int) -> int:
        """Whether a word has a value."""
        f, found = self.f, TRUE
        if value >> len(word):
            return FALSE
        for k, bit in enumerate(word):
            found = f.both(found, bit if value >> k & 1 else f.inverse(bit))
        return found

    def running(self, function: int) -> int:
        """A function while the chip is not reset."""
        if "rst" not in self.module.inputs:
            return function
        return self.f.fixed(function, {self.bits("rst")[0]: 0})


def check(design: Design, manifest: Mapping[str, Any]) -> tuple[list[str], dict[str, int]]:
    """Check port, memory and the wires between them.

    Parameters
    ----------
    design : Design
        Gates of `flow.tools.yosys.adapters`, or the netlist with its hierarchy.
    manifest : mapping
        Without adapters there must be no port for them.

    Returns
    -------
    findings : list of str
    numbers : dict of str to int

    Raises
    ------
    EvidenceError
        If the design has no adapter memory, or it is of another form.
    """
    chip = design["chip"]
    if "adapters" not in manifest:
        there = [port for port in chip.ports if port.startswith(PORTS)]
        return [f"the chip has a port {port}" for port in there], {"slots": 0}
    slots = int(manifest["adapters"]["slots"])
    words = {
        item["name"].removeprefix("adapter_"): int(item["depth"]) // slots
        for item in manifest["memories"] if item["class"] == "adapter"
    }  # fmt: skip
    if PORT not in chip.cells or MEMORY not in chip.cells:
        raise EvidenceError(f"the design has no {PORT} and {MEMORY} as instances of chip")
    port = Claims(PORT, design, design[chip.cells[PORT].type])
    memory = Claims(MEMORY, design, design[chip.cells[MEMORY].type])
    around = Claims("chip", design, chip)
    _selects(port, slots)
    _places(memory, slots, words)
    _joins(around, port.module, memory.module)
    claims = (port, memory, around)
    findings = [line for item in claims for line in dict.fromkeys(item.findings)]
    return findings[:MOST_FINDINGS], {
        "slots": slots, "functions": sum(item.functions for item in claims)
    }  # fmt: skip


def _selects(port: Claims, slots: int) -> None:
    """Follow the slot in use, the one selected, the one opened, and which are valid."""
    f = port.f
    # Words that are compared with one another stay small if their bits alternate.
    for pair in zip(port.bits("write_data"), port.module.nets.get("total", ()), strict=False):
        for bit in pair:
            port.logic.value(bit)
    wanted = port.words("write_data")
    write, address = port.words("write")[0], port.words("addr")

    def command(number: int) -> int:
        return f.both(write, port.equals(address, number))

    active, selected, opened, valid = (
        port.words(name) for name in ("active", "selected", "opened", "valid")
    )
    usable = [TRUE, *valid]
    boundary = port.words("boundary")[0]
    busy = [f.either(port.equals(selected, s), port.equals(active, s)) for s in range(slots + 1)]
    asked = [port.equals(wanted, s) for s in range(slots + 1)]
    select = [f.both(command(SELECT), f.both(asked[s], usable[s])) for s in range(slots + 1)]
    opens = [FALSE, *(f.both(command(OPEN), f.both(asked[s], f.inverse(busy[s])))
                      for s in range(1, slots + 1))]  # fmt: skip
    commit = f.both(command(COMMIT), f.inverse(port.equals(opened, 0)))
    closed = f.either(command(OPEN), commit)
    for k, bit in enumerate(port.bits("active")):
        port.state(
            "the slot in use is not the one selected, taken between tokens",
            port.running(port.next(bit)),
            f.choose(boundary, selected[k], active[k]),
        )
    for name, events, held in (
        ("selected", select, f.inverse(_any(f, select))), ("opened", opens, f.inverse(closed))
    ):  # fmt: skip
        for k, bit in enumerate(port.bits(name)):
            new = _any(f, [event for s, event in enumerate(events) if s >> k & 1])
            kept = f.both(held, selected[k] if name == "selected" else opened[k])
            port.state(
                f"the slot {name} is not the one that was asked for",
                port.running(port.next(bit)),
                f.either(new, kept),
            )
    for s, bit in enumerate(port.bits("valid"), 1):
        after = port.running(port.next(bit))
        rises = f.both(after, f.inverse(valid[s - 1]))
        falls = f.both(f.inverse(after), valid[s - 1])
        done = f.both(command(COMMIT), port.equals(opened, s))
        port.state(
            "a slot becomes valid that was not loaded", f.both(rises, f.inverse(done)), FALSE
        )
        port.state("another slot than the one opened becomes invalid", falls,
                   f.both(opens[s], valid[s - 1]))  # fmt: skip
    writes = port.words("memory_write")[0]
    port.state("something is written while no slot is open",
               f.both(writes, port.equals(opened, 0)), FALSE)  # fmt: skip
    for one, other in zip(port.bits("memory_data"), port.bits("write_data"), strict=True):
        port.state("other data are written", port.logic.value(one), port.logic.value(other))


def _any(f: Functions, functions: Sequence[int]) -> int:
    found = FALSE
    for function in functions:
        found = f.either(found, function)
    return found


def _places(memory: Claims, slots: int, words: Mapping[str, int]) -> None:
    """Follow where a slot begins for readers and for writes, and what a write does."""
    f = memory.f
    active, opened = memory.bits("active"), memory.bits("opened")
    offset = memory.words("offset")
    for index, bank in enumerate(BANKS):
        base = [memory.running(memory.next(bit)) for bit in memory.bits(f"read__{bank}_base")]
        for slot in range(slots + 1):
            begin = max(0, slot - 1) * words[bank]
            at = dict(zip(active, (slot >> k & 1 for k in range(len(active))), strict=True))
            for k, function in enumerate(base):
                memory.state(
                    f"slot {slot} of bank {bank} is read from another place",
                    f.fixed(function, at),
                    TRUE if begin >> k & 1 else FALSE,
                )
        pieces = sorted(
            (name for name in memory.module.cells if name.removeprefix(bank).isdigit()),
            key=lambda n: int(n[len(bank) :]),
        )
        if not pieces:
            raise EvidenceError(f"{MEMORY} has no memory for bank {bank}")
        for piece, name in enumerate(pieces):
            pins = memory.module.cells[name].pins
            chosen = f.both(memory.words("write")[0], f.both(
                memory.equals(memory.words("bank"), index),
                memory.equals(memory.words("piece"), piece)))  # fmt: skip
            memory.state(
                f"{name} is written at another command",
                memory.running(memory.next(pins["write"][0])),
                chosen,
            )
            targets = [memory.running(memory.next(bit)) for bit in pins["write_addr"]]
            for slot in range(1, slots + 1):
                at = dict(zip(opened, (slot >> k & 1 for k in range(len(opened))), strict=True))
                total = _sum(f, offset, (slot - 1) * words[bank], len(targets))
                for found, wanted in zip(targets, total, strict=True):
                    memory.state(
                        f"slot {slot} of {name} is written at another place",
                        f.fixed(found, at),
                        wanted,
                    )
            for k, bit in enumerate(pins["write_data"]):
                memory.state(
                    f"{name} takes other data",
                    memory.running(memory.next(bit)),
                    memory.words("write_data")[k],
                )
            for k, bit in enumerate(pins["addr"]):
                memory.state(
                    f"{name} is read elsewhere",
                    memory.logic.value(bit),
                    memory.words(f"read__{bank}_addr")[k],
                )


def _sum(f: Functions, word: Sequence[int], number: int, size: int) -> list[int]:
    """Bits of a word and a number together."""
    carry, found = FALSE, []
    for k in range(size):
        bit = word[k] if k < len(word) else FALSE
        one = TRUE if number >> k & 1 else FALSE
        found.append(f.differ(f.differ(bit, one), carry))
        carry = f.either(f.both(bit, one), f.both(carry, f.either(bit, one)))
    return found


def _joins(chip: Claims, entry: Module, inside: Module) -> None:
    """Compare the pins of port, memory, sequencer and lanes bit by bit."""
    cells = chip.module.cells
    port, memory = cells[PORT].pins, cells[MEMORY].pins

    def same(what: str, one: Sequence[Bit], other: Sequence[Bit]) -> None:
        chip.functions += len(one)
        if tuple(one) != tuple(other):
            chip.findings.append(f"chip: {what}")

    for name, source in _JOINED.items():
        same(
            f"{name} of the adapter memory is not the port's",
            memory[port_of(inside, name)],
            port[port_of(entry, source)],
        )
    out = {bit: outer for port, bits in inside.ports.items()
           for bit, outer in zip(bits, memory.get(port, ()), strict=False)}  # fmt: skip
    places = {bit: (pin, k) for pin, bits in cells["matvec"].pins.items()
              for k, bit in enumerate(bits) if isinstance(bit, int)}  # fmt: skip
    for bank in BANKS:
        for end in ("base", "data", "addr"):
            name = f"read__{bank}_{end}"
            # Bits inside may be the same for several ports, those around are not.
            bits = memory.get(name) or [out.get(bit, bit) for bit in inside.nets[name]]
            found = [places.get(bit) for bit in bits if isinstance(bit, int)]
            chip.functions += len(found)
            # A word may be cut into several pins, which keep its order.
            if None in found or any(
                one is not None and other is not None
                and one[0] == other[0] and one[1] + 1 != other[1]
                for one, other in pairwise(found)
            ):  # fmt: skip
                chip.findings.append(f"chip: {end} of bank {bank} is not joined with the lanes")
    for name in ("addr", "write", "write_data"):
        same(
            f"{name} of the port is not the host's",
            port[port_of(entry, name)],
            chip.module.ports[f"adapter_{name}"],
        )
    same(
        "the port does not know when a token begins",
        port["boundary"],
        cells["sequencer"].pins["boundary"],
    )
    used = [chip.logic.value(bit) for bit in port["active"]]
    (adapted,) = cells["sequencer"].pins["adapted"]
    chip.state(
        "the sequencer's program does not follow the slot in use",
        chip.logic.value(adapted),
        _any(chip.f, used),
    )


def port_of(module: Module, name: str) -> str:
    """Port of a module that is called `name`: Amaranth names some after other signals."""
    bits = tuple(module.nets.get(name, ()))
    for port, found in module.ports.items():
        if port == name or (bits and tuple(found) == bits):
            return port
    numbered = [port for port in module.ports if port.partition("$")[0] == name]
    if len(numbered) != 1:
        raise EvidenceError(f"{module.name} has no port {name}")
    return numbered[0]
