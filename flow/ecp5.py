"""Capacity of the ECP5 devices, and what mapped cells take of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from rtl_gen.errors import TargetError
from rtl_gen.plan import resource


@dataclass(frozen=True, slots=True)
class Resources:
    """Amount of each resource of a device or of a part of a design.

    Parameters
    ----------
    lut : int
        LUT4, also those that carry chains and distributed RAM take.
    ff : int
        Flip-flops.
    ebr : int
        Block RAMs of 18 kbit.
    dsp : int
        Multipliers of 18x18 bit.
    """

    lut: int = 0
    ff: int = 0
    ebr: int = 0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, name) + getattr(other, name) for name in NAMES))


NAMES = tuple(item.name for item in fields(Resources))
LABELS = {"lut": "LUT4", "ff": "flip-flops", "ebr": "block RAMs", "dsp": "multipliers"}

# Lattice FPGA-DS-02012 (ECP5 family data sheet), table 1.1. nextpnr gives the 12F the fabric of
# the 25F, which it is.
CAPACITY = {
    "LFE5U-12F": Resources(24288, 24288, 56, 28),
    "LFE5U-25F": Resources(24288, 24288, 56, 28),
    "LFE5U-45F": Resources(43848, 43848, 108, 72),
    "LFE5U-85F": Resources(83640, 83640, 208, 156),
}

# JTAG identity, Lattice FPGA-TN-02039 (ECP5 sysCONFIG), table of IDCODEs.
IDCODE = {
    "LFE5U-12F": 0x21111043,
    "LFE5U-25F": 0x41111043,
    "LFE5U-45F": 0x41112043,
    "LFE5U-85F": 0x41113043,
}

_CELLS = {
    name: Resources(*(int(getattr(each, item)) for item in NAMES))
    for name, each in resource.CELLS["ecp5"].items()
}


_NAMELESS = re.compile(r"(.*\.)?U\$\d+")


def of_cells(cells: Mapping[str, int]) -> Resources:
    """Resources of mapped cells, type to number."""
    total = Resources()
    for name, count in cells.items():
        each = _CELLS.get(name, Resources())
        total += Resources(*(count * getattr(each, item) for item in NAMES))
    return total


def by_unit(modules: Mapping[str, Mapping[str, int]], top: str) -> dict[str, Resources]:
    """Resources of `top` itself (key ``""``) and of each module instantiated in it, with all below.

    Parts without a name of their own (Amaranth's ``U$13``) count as `top` itself.

    Parameters
    ----------
    modules : mapping of str to mapping of str to int
        Cells by type of every module, as `flow.tools.yosys.metrics` gives them. A type that is a
        module counts as its contents.
    """
    units = {"": of_cells({k: n for k, n in modules[top].items() if k not in modules})}
    for name, count in modules[top].items():
        if name in modules:
            each = of_module(modules, name)
            all_of_them = Resources(*(count * getattr(each, item) for item in NAMES))
            if _NAMELESS.fullmatch(name):
                units[""] += all_of_them
            else:
                units[name] = all_of_them
    return units


def unit_name(module: str) -> str:
    """Name of a unit for people: what `by_unit` calls ``""`` is the chip's control.

    Amaranth numbers a module with the name of a signal, ``token$346``.
    """
    return module.removeprefix("chip.").partition("$")[0] or "control"


def check_fit(total: Resources, units: Mapping[str, Resources], device: str, where: str) -> None:
    """Refuse a design that `device` does not hold.

    Parameters
    ----------
    total : Resources
        Of the whole design.
    units : mapping of str to Resources
        Of its parts, to name the largest.
    where : str
        File of the target, for the message.

    Raises
    ------
    TargetError
        Naming every resource that is short, by how much, the units that take most of it, and the
        smallest device that would do.
    """
    room = CAPACITY[device]
    short = [name for name in NAMES if getattr(total, name) > getattr(room, name)]
    if not short:
        return
    lines = [f"{where}: the design does not fit {device}:"]
    for name in short:
        need, have = getattr(total, name), getattr(room, name)
        largest = sorted(units, key=lambda unit: -getattr(units[unit], name))[:3]
        parts = ", ".join(f"{unit_name(unit)} {getattr(units[unit], name)}" for unit in largest)
        lines.append(
            f"  {LABELS[name]}: {need} needed, {have} there, {need - have} too many "
            f"({100 * need / have - 100:.0f} % over); the most in {parts}"
        )
    lines.append(f"  {_remedy(total, short)}")
    raise TargetError("\n".join(lines))


def of_module(modules: Mapping[str, Mapping[str, int]], name: str) -> Resources:
    """Resources of module `name` and everything in it."""
    return sum(by_unit(modules, name).values(), Resources())


def _remedy(total: Resources, short: list[str]) -> str:
    advice = {
        "lut": "fewer `plan.lanes`",
        "ff": "fewer `plan.lanes`",
        "dsp": "fewer `plan.lanes`",
        "ebr": "narrower `quantize.weights` or a shorter context",
    }
    helps = " and ".join(dict.fromkeys(advice[name] for name in short))
    for device in sorted(CAPACITY, key=lambda name: CAPACITY[name].lut):
        if all(getattr(total, name) <= getattr(CAPACITY[device], name) for name in NAMES):
            return f"It fits {device}: choose a target with that device, or try {helps}"
    return f"No ECP5 device holds it; what would help: {helps}, or a smaller model"
