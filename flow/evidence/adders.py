"""Matrices wired in space: what their adder graphs are in the RTL, and that mapping kept them.

The RTL is read back as a matrix (`linear`, `stream`). Mapped cells are compared with the RTL
register by register: each register's next value is the same function of the same registers, so
whatever state the cells are in, the RTL in that state does the same from then on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from flow.evidence import linear, logic, stream
from flow.evidence.bdd import Functions
from flow.evidence.design import (
    Bit,
    Cell,
    Design,
    EvidenceError,
    Module,
    inlined,
    instances,
)
from flow.evidence.linear import Matrix
from rtl_gen.ir.types import IntType

CORE = re.compile(r"etched_core(\d+)")
"""Names of the modules that are adder graphs."""

MOST_FINDINGS = 5

Tables = Callable[[str, str, Cell, str], int]
"""Truth table of a cell: path of its module, name, cell, and the suffix of its half or ``""``."""


@dataclass
class Cores:
    """Adder graphs of a chip's RTL.

    Parameters
    ----------
    words, gates : Design
        The modules as word-level cells and as gates (`flow.tools.yosys.adders`).
    """

    words: Design
    gates: Design
    known: dict[int, Matrix] = field(default_factory=dict)

    def matrix(self, index: int, rows: int, x: IntType) -> Matrix:
        """Matrix of graph number `index`, whose `rows` sums no vector of type `x` overflows.

        Raises
        ------
        EvidenceError
            If there is no such graph, it is no matrix, or a sum can need more bits than leave it.
        """
        name = f"etched_core{index}"
        if name not in self.words:
            raise EvidenceError(f"the chip has no adder graph {name}")
        if index not in self.known:
            module = self.words[name]
            if "phase" in module.ports:
                found = stream.read(inlined(self.gates, self.gates[name]))
            else:
                found = linear.read(module, x, len(module.ports["y"]) // rows)
            self.known[index] = found
        found = self.known[index]
        self._holds(index, found, x)
        return found

    def _holds(self, index: int, found: Matrix, x: IntType) -> None:
        """Check that the sums fit the words in which they leave the graph's surroundings."""
        sums = abs(found.data).sum(axis=1) * max(-x.min, x.max)
        largest = max(1, int(sums.max(initial=0)))
        bits = len(self.words[f"chip.etched.core{index}"].ports["o__payload"]) // len(found.data)
        if IntType.holding(-largest, largest).width > bits:
            raise EvidenceError(
                f"etched_core{index}: a row can reach {largest}; its sums have {bits} bits"
            )

    @property
    def nodes(self) -> int:
        """Words and nodes with a proof so far."""
        return sum(matrix.nodes for matrix in self.known.values())


def of_netlist(path: str, name: str, cell: Cell, half: str) -> int:
    """Truth table that the netlist says."""
    return cell.number(f"INIT{half}")


def mapped(cores: Cores, netlist: Design, tables: Tables = of_netlist) -> tuple[int, list[str]]:
    """Compare every graph's cells with its RTL.

    Parameters
    ----------
    cores : Cores
    netlist : Design
        Synthesized, with its hierarchy.
    tables : callable, optional
        Where truth tables come from; the netlist unless given.

    Returns
    -------
    compared : int
        Bits of registers and outputs.
    findings : list of str
    """
    compared, findings, seen = 0, list[str](), set[str]()
    for path, module in instances(netlist, "chip"):
        core = CORE.fullmatch(module.name)
        if core is None:
            continue
        seen.add(module.name)
        rtl = inlined(cores.gates, cores.gates[module.name])
        own = partial(tables, path)
        bits, wrong = _compare(rtl, inlined(netlist, module), own)
        compared += bits
        findings += [f"{path}: {line}" for line in wrong]
    absent = {name for name in cores.words if CORE.fullmatch(name)} - seen
    findings += [f"{name}: the netlist has no such module" for name in sorted(absent)]
    return compared, findings


def _compare(
    rtl: Module, cells: Module, tables: Callable[[str, Cell, str], int]
) -> tuple[int, list[str]]:
    same = _names(rtl, cells)
    names = {
        bit: (name, place)
        for name, bits in sorted(rtl.nets.items(), reverse=True) if "$" not in name
        for place, bit in enumerate(bits)
    }  # fmt: skip
    compared, findings = 0, list[str]()
    left: dict[str, list[Bit]] = {"y": list(rtl.ports["y"])}
    done: set[Bit] = set()
    while left and len(findings) < MOST_FINDINGS:
        word, bits = left.popitem()
        # Bits of a word share their functions, from the lowest: sums stay small in that order.
        functions = Functions()
        one = logic.Logic(rtl, functions, same)
        other = logic.Logic(
            cells, functions,
            lut=lambda name, cell: tables(name, cell, ""),
            carry=lambda name, cell, half: tables(name, cell, str(half)),
        )  # fmt: skip
        reached: set[Bit] = set()
        for place, bit in enumerate(bits):
            if word != "y" and bit not in same:
                findings.append(f"{word}, bit {place}: the netlist has no such register")
                continue
            try:
                wanted, found = _pair(one, other, word, place, bit, same)
            except EvidenceError as error:
                findings.append(f"{word}, bit {place}: {error}")
                continue
            compared += 1
            if wanted != found:
                findings.append(f"{word}, bit {place}: another function than in the RTL")
            reached |= one.variables
        more = defaultdict(list)
        for bit in reached - done:
            if one.register(bit) is not None:
                more[names.get(bit, (f"bit {bit}", 0))[0]].append(bit)
        done |= reached
        for name, found_bits in more.items():
            order = sorted(found_bits, key=lambda bit: names.get(bit, ("", 0))[1])
            left[name] = [*left.get(name, ()), *order]
    return compared, findings[:MOST_FINDINGS]


def _pair(
    one: logic.Logic, other: logic.Logic, word: str, place: int, bit: Bit, same: Mapping[Bit, Bit]
) -> tuple[int, int]:
    if word == "y":
        return one.value(bit), other.value(other.module.ports["y"][place])
    there = same[bit]
    if there in ("0", "1"):
        return one.next(bit), int(there)
    return one.next(bit), other.next(there)


def _names(rtl: Module, cells: Module) -> dict[Bit, Bit]:
    """Bits of the cells' inputs and registers by those of the RTL, as their names say."""
    found: dict[Bit, Bit] = {}
    for name in sorted(rtl.nets):
        there: Sequence[Bit] = cells.nets.get(name, ())
        if len(there) == len(rtl.nets[name]):
            for bit, match in zip(rtl.nets[name], there, strict=True):
                if match != "x":
                    found.setdefault(bit, match)
    for port in rtl.inputs:
        found |= zip(rtl.ports[port], cells.ports[port], strict=True)
    return found
