"""Is a configuration the routed netlist? Switch by switch for every net, and table by table.

nextpnr writes for every net the wires that it takes and the switch that drives each; the
configuration says which switches are set. A LUT's inputs may be exchanged on the way, by switches
that are no bits of the device but an exchange in its truth table, so tables are compared through
them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property

from flow.evidence.design import Bit, Cell, EvidenceError, Module, text
from flow.evidence.trellis import Arc, Config

MOST_FINDINGS = 5

_PIP = re.compile(r"X(\d+)/Y(\d+)/(-?\d+)_(-?\d+)_(\S+)->(-?\d+)_(-?\d+)_(\S+)")
_SLICE = re.compile(r"(X\d+/Y\d+)/SLICE([A-D])\.(?:K|FF|COMB)([01])")
_REGISTER = re.compile(r"X(\d+)/Y(\d+)/(SLICE[A-D])\.FF([01])")
_GLOBAL = ("G_", "L_", "R_")
_DIGITS = re.compile(r"\d+")
_LETTERS = "ABCD"
_LUT_MODES = {"", "LOGIC", "CCU2"}

# Clocks that nothing uses, in every configuration that nextpnr begins with.
_UNUSED = ("G_DCS", "G_VPFN")
# A switch in some tiles and a fixed wire in others; no bit stands for it (Project Trellis).
_EITHER = ("JMULTA#", "JMUIA#")

BLANK = 0xFFFF
"""Truth table that a bitstream says nothing about."""


@dataclass(frozen=True)
class Routes:
    """Wires of the nets of a routed netlist.

    Parameters
    ----------
    written : mapping of Bit to str
        As nextpnr writes them.
    """

    written: Mapping[Bit, str]

    @cached_property
    def wires(self) -> Mapping[Bit, Mapping[str, str]]:
        """For every net its wires, and the switch that drives each (``""`` where it begins)."""
        found = {}
        for bit, written in self.written.items():
            words = written.split(";")
            found[bit] = dict(zip(words[0::3], words[1::3], strict=False))
        return found

    @cached_property
    def arcs(self) -> Set[Arc]:
        """Every switch of every net as a configuration would name it."""
        return {_arc(pip) for wires in self.wires.values() for pip in wires.values() if pip}


def _arc(pip: str) -> Arc:
    found = _PIP.fullmatch(pip)
    if found is None:
        raise EvidenceError(f"not a switch of nextpnr: {pip}")
    x, y = int(found[1]), int(found[2])
    return x, y, _relative(*found.group(6, 7, 8)), _relative(*found.group(3, 4, 5))


def _relative(right: str, down: str, name: str) -> str:
    """Name of a wire as the tile of a switch calls it."""
    if name.startswith(_GLOBAL) or right == down == "0":
        return name
    x, y = int(right), int(down)
    place = f"N{-y}" if y < 0 else f"S{y}" if y else ""
    return f"{place}{f'E{x}' if x > 0 else f'W{-x}' if x else ''}_{name}"


def compare(
    routed: Module, config: Config, routes: Routes | None = None
) -> tuple[dict[str, int], list[str]]:
    """Compare wires and truth tables of a routed netlist with those of a configuration.

    Parameters
    ----------
    routed : Module
    config : Config
        The one that nextpnr wrote, or a bitstream's.
    routes : Routes, optional
        Those of `routed`, if they are at hand.

    Returns
    -------
    numbers : dict of str to int
        Switches and truth tables.
    findings : list of str
    """
    routes = routes or Routes(routed.routes)
    wanted = routes.arcs
    findings = [
        f"X{x}/Y{y}: {sink} is driven by {source}, which is in no net"
        for x, y, sink, source in sorted(config.arcs - wanted)
        if not (sink.startswith(_UNUSED[0]) and source.startswith(_UNUSED[1]))
    ]
    # Fixed wires are no switches: none of their kind is set anywhere.
    switched = {_kind(arc) for arc in config.arcs} - {_EITHER}
    findings += [
        f"X{x}/Y{y}: {sink} is not driven by {source}"
        for x, y, sink, source in sorted(wanted - config.arcs)
        if _kind((x, y, sink, source)) in switched
    ]
    tables, wrong = truth_tables(routed, config, routes=routes)
    registers, unlike = resets(routed, config)
    numbers = {"switches": len(config.arcs & wanted), "truth tables": tables,
               "reset values": registers}  # fmt: skip
    return numbers, [*findings[:MOST_FINDINGS], *wrong, *unlike]


def resets(routed: Module, config: Config) -> tuple[int, list[str]]:
    """Compare the value that every register in a slice is reset to with that at its place.

    Returns
    -------
    compared : int
    findings : list of str
    """
    compared, findings = 0, list[str]()
    for name, cell in routed.cells.items():
        where = cell.attributes.get("NEXTPNR_BEL", "")
        place = _REGISTER.fullmatch(where)
        if cell.type != "TRELLIS_FF" or place is None:
            continue
        compared += 1
        tile, register = f"R{place[2]}C{place[1]}", f"{place[3]}.REG{place[4]}.REGSET"
        if config.modes.get((tile, register)) != text(cell.parameters.get("REGSET", "RESET")):
            findings.append(f"{name} at {where}: reset to another value than in the routed netlist")
    return compared, findings[:MOST_FINDINGS]


def truth_tables(
    routed: Module, config: Config, *, blank: int | None = None, routes: Routes | None = None
) -> tuple[int, list[str]]:
    """Compare every LUT, those of carry chains too, with the one at its place.

    Those of memories of LUTs are left out: their contents are data.

    Parameters
    ----------
    routed : Module
    config : Config
    blank : int, optional
        Table of a LUT that the configuration leaves out.
    routes : Routes, optional
        Those of `routed`, if they are at hand.

    Returns
    -------
    compared : int
    findings : list of str
    """
    routes = routes or Routes(routed.routes)
    compared, findings = 0, list[str]()
    for name, cell in routed.cells.items():
        where = cell.attributes.get("NEXTPNR_BEL", "")
        place = _SLICE.fullmatch(where)
        mode = text(cell.parameters.get("MODE", ""))
        if cell.type != "TRELLIS_COMB" or place is None or mode not in _LUT_MODES:
            continue
        compared += 1
        ends = _ends(cell, place, routes)
        if ends is None:
            findings.append(f"{name} at {where}: no wire leads to one of its inputs")
            continue
        if mode == "CCU2":
            _free(ends)
        found = config.truth_table(where)
        if (blank if found is None else found) != _exchanged(cell.number("INITVAL"), ends):
            findings.append(f"{name} at {where}: not the truth table of the routed netlist")
    return compared, findings[:MOST_FINDINGS]


def _kind(arc: Arc) -> tuple[str, str]:
    """Names of the wires that a switch joins, without their numbers."""
    return _DIGITS.sub("#", arc[2]), _DIGITS.sub("#", arc[3])


def _ends(cell: Cell, place: re.Match[str], routes: Routes) -> dict[str, list[int]] | None:
    """Inputs of a LUT's table that each of its wires leads to; None if one has no wire."""
    index = 2 * _LETTERS.index(place[2]) + int(place[3])
    ends: dict[str, list[int]] = {letter: [] for letter in _LETTERS}
    for pin, letter in enumerate(_LETTERS):
        if cell.bit(letter) == "x":
            continue
        wires = routes.wires.get(cell.bit(letter), {})
        source = _PIP.fullmatch(wires.get(f"{place[1]}/{letter}{index}_SLICE", ""))
        if source is None:
            return None
        ends[source[5][0]].append(pin)
    return ends


def _exchanged(table: int, ends: Mapping[str, list[int]]) -> int:
    """A truth table by the wires that lead to its inputs."""
    found = 0
    for entry in range(16):
        pins = {pin for k, letter in enumerate(_LETTERS) if entry >> k & 1 for pin in ends[letter]}
        found |= (table >> sum(1 << pin for pin in pins) & 1) << entry
    return found


def _free(ends: dict[str, list[int]]) -> None:
    """Let free inputs of a carry cell stand for those of its half that nothing drives.

    The halves make the sum and the carry, so they stay apart; wires that nothing drives are 1.
    """
    for half in (0, 1):
        letters = _LETTERS[2 * half : 2 * half + 2]
        used = {pin for found in ends.values() for pin in found}
        idle = [pin for pin in (2 * half, 2 * half + 1) if pin not in used]
        for letter in letters:
            if not ends[letter]:
                ends[letter] += idle
