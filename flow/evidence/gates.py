"""Are the gates of a layout the RTL with its constants? Register by register, for all values.

The layout's netlist is what the wires of the GDS connect: the comparison of layout and netlist
(LVS, KLayout) finds every instance and every net of it in the polygons. Here its gates are compared
with those that a plain translation of the Verilog and its ROM images has: every register's next
value, and every output, is the same function of the same registers and inputs, wherever the RTL
gives it a value (ABC, combinational equivalence). ROMs have become gates, so their words are in
these functions. A state machine that synthesis gave one register a state is shown to have exactly
one of them set after reset and after every step, and is compared in such states. Registers are
found by the names that synthesis kept; one that it merged with another, or found to be constant,
is found again by trying, and what was found is proved with the rest. One that it left twice counts
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.evidence.blif import Network
from flow.evidence.design import Bit, Cell, Design, EvidenceError, Module, inlined

Pattern = NDArray[np.uint64]
_PATTERNS = 32


@dataclass(frozen=True, slots=True)
class Pair:
    """Two networks to be compared.

    Parameters
    ----------
    wanted, found : str
        BLIF, of the RTL and of the layout.
    functions, registers : int
        Compared functions; registers of the layout.
    open_functions : int
        Functions that the RTL leaves open somewhere.
    unmatched : int
        Registers of the RTL that the layout has nothing for: any value is taken for them.
    """

    wanted: str
    found: str
    functions: int
    registers: int
    open_functions: int
    unmatched: int


def pair(rtl: Module, cells: Design, layout: Mapping[str, Any], mapped: Module) -> Pair:
    """Networks of the RTL and of a layout.

    Parameters
    ----------
    rtl : Module
        Gates of `flow.tools.yosys_cells.plain_gates`.
    cells : Design
        Standard cells as gates, from the same.
    layout : mapping
        ``layout.json``: instances with their cells, pins and nets.
    mapped : Module
        The netlist before place and route: which register has which name in the RTL.

    Raises
    ------
    EvidenceError
        If a register of the layout has no counterpart, or its clock is not the chip's.
    """
    drawn = _Drawn(cells, layout)
    names = _names(mapped)
    match = {
        bit: names[net, place]
        for net, bits in rtl.nets.items() if not net.startswith("$")
        for place, bit in enumerate(bits) if (net, place) in names
    }  # fmt: skip
    state = {cell.bit("Q"): cell.bit("D") for cell in rtl.cells.values() if cell.type == "$_DFF_P_"}
    leaves: dict[Bit, str] = {bit: name for name, bit in _bits(rtl, inputs=True)}
    lost = []
    for bit in state:
        there = match.get(bit)
        if there in ("0", "1", "x"):
            leaves[bit] = str(there) if there != "x" else "0"
        elif there is not None and drawn.net(mapped, there) in drawn.registers:
            leaves[bit] = f"r:{drawn.net(mapped, there)}"
        else:
            lost.append(bit)
    lost = _searched(rtl, state, leaves, lost)
    leaves |= {bit: f"any:{bit}" for bit in lost}
    reached = set(leaves.values())
    if absent := drawn.joined(reached):
        raise EvidenceError(f"no register of the RTL is {absent[0]} of the layout")
    functions = [(f"o:{name}", bit, drawn.output(name)) for name, bit in _bits(rtl, inputs=False)]
    functions += [
        (f"d:{bit}", next_, drawn.next(leaves[bit]))
        for bit, next_ in state.items() if not leaves[bit].startswith("any:")
    ]  # fmt: skip
    machines = [
        [(bit, state[bit]) for bit in bits]
        for net, bits in rtl.nets.items()
        if net.endswith("_state") and len(bits) > 1 and all(bit in state for bit in bits)
    ]
    return _networks(Network(rtl, leaves, "w"), drawn, functions, machines, len(lost))


def _networks(
    one: Network, drawn: _Drawn, functions: list[tuple[str, Bit, Bit]],
    machines: list[list[tuple[Bit, Bit]]], unmatched: int,
) -> Pair:  # fmt: skip
    other = Network(drawn.module, drawn.leaves, "f")
    tops: tuple[list[str], list[str]] = ([], [])
    somewhere = 0
    legal = "".join(_hot(one, k, machine) for k, machine in enumerate(machines))
    hots = " ".join(f"hot{k}" for k in range(len(machines)))
    steps = [f"{what}:{k}" for k in range(len(machines)) for what in ("reset", "step")]
    for name, wanted, found in functions:
        one.write(wanted)
        other.write(found)
        known = one.known(wanted)
        somewhere += known != "w1"
        for lines, net in zip(tops, (one.net(wanted), other.net(found)), strict=True):
            lines.append(f".names {net} {known} {hots} {name}\n11{'1' * len(machines)} 1\n")
    for name in steps:
        tops[1].append(f".names {name}\n1\n")
    begin = "\n".join(
        [".model chip", f".inputs {' '.join(sorted(one.inputs | other.inputs))}",
         f".outputs {' '.join([*(name for name, *_ in functions), *steps])}", ""]
    )  # fmt: skip
    text = "".join(one.lines)
    # The claims about the state machines are outputs that are always 1.
    claims = "".join(_claims(one, k) for k in range(len(machines)))
    return Pair(
        f"{begin}{text}{legal}{claims}{''.join(tops[0])}.end\n",
        f"{begin}{text}{legal}{''.join(other.lines)}{''.join(tops[1])}.end\n",
        len(functions), len(drawn.registers), somewhere, unmatched,
    )  # fmt: skip


def _hot(one: Network, index: int, machine: list[tuple[Bit, Bit]]) -> str:
    """Whether exactly one register of a state machine is set now, and in the next state."""
    size = len(machine)
    cubes = "".join(f"{''.join('1' if k == j else '0' for j in range(size))} 1\n"
                    for k in range(size))  # fmt: skip
    text = ""
    for place, name in enumerate((f"hot{index}", f"next{index}")):
        for pair_ in machine:
            one.write(pair_[place])
        text += f".names {' '.join(one.net(pair_[place]) for pair_ in machine)} {name}\n{cubes}"
    return text


def _claims(one: Network, index: int) -> str:
    """One state follows reset, and one state follows one state."""
    reset = next(bit for bit in one.module.ports["rst"])
    return (
        f".names {one.net(reset)} next{index} reset:{index}\n0- 1\n-1 1\n"
        f".names hot{index} next{index} step:{index}\n0- 1\n-1 1\n"
    )


@dataclass
class _Drawn:
    """The layout's netlist as gates."""

    cells: Design
    layout: Mapping[str, Any]
    registers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers: dict[str, int] = {}

        def bit(net: str) -> int:
            return numbers.setdefault(net, len(numbers) + 2)

        gates, clocks = {}, {}
        for item in self.layout["instances"]:
            module = self.cells.get(item["cell"])
            if module is None:
                continue  # no function: fillers, diodes, ties of wells
            if item["cell"].startswith("dff"):
                self.registers[item["pins"]["q"]] = item["pins"]["i"]
                clocks[item["pins"]["q"]] = item["pins"]["clk"]
                continue
            outputs = frozenset(port for port in module.ports if port not in module.inputs)
            pins = {pin: (bit(net),) for pin, net in item["pins"].items()}
            gates[item["name"]] = Cell(item["cell"], {}, pins, outputs, {})
        ports = {f"port {name}": (bit(name),) for name in self.layout["ports"]}
        ports |= {f"next {q}": (bit(net),) for q, net in self.registers.items()}
        ports |= {f"clock {q}": (bit(net),) for q, net in clocks.items()}
        top = Module("layout", ports, frozenset(), gates)
        self.module = inlined({**self.cells, "layout": top}, top)
        clock = bit("clk")
        for q in self.registers:
            if self.module.ports[f"clock {q}"] != (clock,):
                raise EvidenceError(f"the clock of {q} is not clk through buffers")
        self.leaves: dict[Bit, str] = {bit(q): f"r:{q}" for q in self.registers}
        self.leaves |= {
            bit(name): _plain(name)
            for name, way in self.layout["ports"].items() if way == "input"
        }  # fmt: skip
        self.ports = {_plain(name): f"port {name}" for name in self.layout["ports"]}

    def joined(self, reached: set[str]) -> list[str]:
        """Take registers for the one of `reached` that has their next value; name the others.

        Synthesis may leave a register twice. Fed by one net and one clock, both are equal from the
        first edge on.
        """
        place = {name: bit for bit, name in self.leaves.items()}
        known = {self._source(q): q for q in self.registers if f"r:{q}" in reached}
        others = [q for q in self.registers if f"r:{q}" not in reached]
        for q in others:
            if self._source(q) in known:
                self.leaves[place[f"r:{q}"]] = f"r:{known[self._source(q)]}"
        return [q for q in others if self._source(q) not in known]

    def _source(self, register: str) -> Bit:
        """Bit that a register's next value comes from, through buffers."""
        bit = self.module.ports[f"next {register}"][0]
        while bit in self.module.drivers:
            cell = self.module.cells[self.module.drivers[bit][0]]
            if cell.type != "$_BUF_":
                break
            bit = cell.bit("A")
        return bit

    def net(self, mapped: Module, bit: Bit) -> str:
        """Net that a bit of the mapped netlist is in the layout."""
        for name, bits in mapped.ports.items():
            if bit in bits and name not in mapped.inputs:
                at = f"({bits.index(bit)})" if len(bits) > 1 else ""
                return f"{name.replace('__', '_')}{at}"
        return f"n{bit}"

    def output(self, name: str) -> Bit:
        """Bit of an output."""
        return self.module.ports[self.ports[name]][0]

    def next(self, leaf: str) -> Bit:
        """Bit of a register's next value, or the constant that a register is."""
        return leaf if leaf in ("0", "1") else self.module.ports[f"next {leaf[2:]}"][0]


def _plain(port: str) -> str:
    """Name of a port's bit as the layout's tool folds it."""
    return "i:" + port.replace("__", "_").replace("[", "(").replace("]", ")")


def _bits(module: Module, *, inputs: bool) -> Iterator[tuple[str, Bit]]:
    for name, bits in module.ports.items():
        if (name in module.inputs) == inputs:
            for place, bit in enumerate(bits):
                yield _plain(name if len(bits) == 1 else f"{name}[{place}]"), bit


def _names(module: Module) -> dict[tuple[str, int], Bit]:
    return {
        (net, place): bit
        for net, bits in module.nets.items() if not net.startswith("$")
        for place, bit in enumerate(bits)
    }  # fmt: skip


def _searched(
    rtl: Module, state: Mapping[Bit, Bit], leaves: dict[Bit, str], lost: list[Bit]
) -> list[Bit]:
    """Give lost registers the constant, or the other register, that they always equal.

    A guess from random values, which the comparison proves or refutes; returns those without one.
    """
    rng = np.random.default_rng(1)
    drawn: dict[str, Pattern] = {}
    none = np.zeros(_PATTERNS, np.uint64)

    def leaf(bit: Bit) -> Pattern:
        name = leaves.get(bit, f"any:{bit}")
        if name in ("0", "1"):
            return none if name == "0" else ~none
        if name not in drawn:
            drawn[name] = rng.integers(0, 1 << 64, _PATTERNS, dtype=np.uint64)
        return drawn[name]

    def value(bit: Bit, known: dict[Bit, Pattern]) -> Pattern:
        if bit in ("0", "x", "z"):
            return none
        if bit == "1":
            return ~none
        if bit not in known:
            if bit in leaves or bit in state:
                known[bit] = leaf(bit)
            elif bit not in rtl.drivers:
                known[bit] = none
            else:
                cell = rtl.cells[rtl.drivers[bit][0]]
                inputs = [value(cell.bit(pin), known) for pin in "ABS" if pin in cell.pins]
                known[bit] = _GATES[cell.type](*inputs)
        return known[bit]

    for _ in range(2):
        everything: dict[Bit, Pattern] = {}
        coming = {bit: value(next_, everything) for bit, next_ in state.items()}
        for bit in list(lost):
            found = None
            for name, pattern in (("0", none), ("1", ~none)):
                if (value(state[bit], {bit: pattern}) == pattern).all():
                    found = name
            for other in state:
                if found is None and leaves.get(other, "0") not in ("0", "1"):
                    held = {bit: leaf(other)}
                    if (value(state[bit], held) == coming[other]).all():
                        found = leaves[other]
            if found is not None:
                leaves[bit] = found
                lost.remove(bit)
    return lost


_GATES: Mapping[str, Any] = {
    "$_BUF_": lambda a: a, "$_NOT_": lambda a: ~a, "$_AND_": lambda a, b: a & b,
    "$_OR_": lambda a, b: a | b, "$_XOR_": lambda a, b: a ^ b, "$_NAND_": lambda a, b: ~(a & b),
    "$_NOR_": lambda a, b: ~(a | b), "$_XNOR_": lambda a, b: ~(a ^ b),
    "$_ANDNOT_": lambda a, b: a & ~b, "$_ORNOT_": lambda a, b: a | ~b,
    "$_MUX_": lambda a, b, s: (a & ~s) | (b & s),
}  # fmt: skip
