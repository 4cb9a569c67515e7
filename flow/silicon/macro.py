"""Hard macros of memories, and the gate that refuses abstracts no process can draw.

An abstract says how large a macro is; nothing else in a flow notices one that is too small, and
area, wires and power of the whole chip follow from it. A stored bit takes at least its transistors,
and a transistor at least the square of two of the closest wires that reach it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_gen.errors import TargetError

METAL1_PITCH_UM = {"c4m_sky130": 0.28, "sky130A": 0.28, "gf180mcuD": 0.46, "ihp-sg13g2": 0.34}
"""Least width and space of metal 1 together.

Rules m1.1 and m1.2 of SkyWater, M1.1 and M1.2a of GlobalFoundries, M1.a and M1.b of IHP.
"""

TRANSISTORS = {"constant": 1, "state": 6}
"""Of a mask ROM's bit and of a static memory's."""

_SIZE = re.compile(r"^\s*SIZE\s+([\d.]+)\s+BY\s+([\d.]+)\s*;", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Macro:
    """One hard macro.

    Parameters
    ----------
    name : str
        Module.
    kind : {"constant", "state"}
        Class of the memory.
    bits : int
    gds, lef, lib : Path
    instances : mapping of str to (float, float)
        Instance to its place in micrometres.
    """

    name: str
    kind: str
    bits: int
    gds: Path
    lef: Path
    lib: Path
    instances: Mapping[str, tuple[float, float]]


def from_config(item: Mapping[str, Any]) -> Macro:
    """Macro of one entry of a target's ``macros``."""
    places = {name: (float(x), float(y)) for name, (x, y) in item.get("instances", {}).items()}
    return Macro(item["name"], item["class"], item["bits"], Path(item["gds"]), Path(item["lef"]),
                 Path(item["lib"]), places)  # fmt: skip


def least_um2(kind: str, process: str) -> float:
    """Least area of a bit of this class of memory, in square micrometres."""
    return float(TRANSISTORS[kind] * METAL1_PITCH_UM[process] ** 2)


def check(macro: Macro, lef: str, process: str, where: str) -> float:
    """Area of a bit according to an abstract, in square micrometres.

    Parameters
    ----------
    lef : str
        Text of the abstract.
    where : str
        File that names the macro, for messages.

    Raises
    ------
    TargetError
        If the abstract lacks the macro or its size, or a bit would be smaller than its transistors.
    """
    found = re.search(
        rf"^\s*MACRO\s+{re.escape(macro.name)}\s*$(.*?)^\s*END\s+{re.escape(macro.name)}\s*$", lef,
        re.MULTILINE | re.DOTALL,
    )  # fmt: skip
    size = _SIZE.search(found[1]) if found else None
    if size is None:
        raise TargetError(
            f"{where}: macros: {macro.lef} has no `MACRO {macro.name}` with a SIZE; name the LEF "
            "of this macro"
        )
    area = float(size[1]) * float(size[2])
    least = least_um2(macro.kind, process)
    if area / macro.bits < least:
        raise TargetError(
            f"{where}: macros: {macro.name} stores {macro.bits} bits in {area:,.1f} um2, "
            f"{area / macro.bits:.4f} um2 a bit; its {TRANSISTORS[macro.kind]} transistors take "
            f"at least {least:.4f} um2 in {process}: correct `bits`, or the abstract's SIZE"
        )
    return area / macro.bits
