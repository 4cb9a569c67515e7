"""Devices: how much of each resource there is, and where that is written."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from rtl_gen.errors import ConfigError
from rtl_gen.plan.resource import FPGA, STANDARD_CELLS, Resources


@dataclass(frozen=True, slots=True)
class Device:
    """What a chip may take.

    Parameters
    ----------
    name, family : str
    room : Resources
        Of an FPGA its capacity; of a standard-cell target the largest `area` in µm².
    source : str
        Document of the figures.
    """

    name: str
    family: str
    room: Resources
    source: str

    @property
    def resources(self) -> tuple[str, ...]:
        """Names of the resources that limit it."""
        return FPGA if self.family != "sky130" else ("area",)

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the resources that are predicted."""
        return FPGA if self.family != "sky130" else STANDARD_CELLS

    def usable(self, utilization: float) -> Resources:
        """What place and route can use: all blocks, but only a share of the logic."""
        logic = {name: utilization * getattr(self.room, name) for name in ("lut", "ff", "area")}
        return replace(self.room, **logic)

    def share(self, used: Resources, utilization: float = 1.0) -> float:
        """Largest used share of what is usable of a resource; more than 1 does not fit."""
        shares, room = [], self.usable(utilization)
        for name in self.resources:
            need, there = getattr(used, name), getattr(room, name)
            shares.append(need / there if there else float("inf") if need > 0 else 0.0)
        return max(shares)

    def short(self, used: Resources) -> dict[str, float]:
        """By how much each resource that is too small falls short."""
        return {
            name: getattr(used, name) - getattr(self.room, name)
            for name in self.resources
            if getattr(used, name) > getattr(self.room, name)
        }

    def cost(self, used: Resources) -> float:
        """Area of a design on this device: the sum of the shares of its resources, or µm²."""
        if self.family == "sky130":
            return used.area
        scarce = (name for name in self.resources if getattr(self.room, name))
        return float(sum(getattr(used, name) / getattr(self.room, name) for name in scarce))


_ECP5 = "Lattice FPGA-DS-02012 (ECP5 family data sheet), table 1.1"
_UP = "Lattice FPGA-DS-02008 (iCE40 UltraPlus data sheet), table 1.1"
_HX = "Lattice FPGA-DS-02029 (iCE40 LP/HX data sheet), table 1.1"
_NX = "Lattice FPGA-DS-02049 (CrossLink-NX data sheet), table 1.1; LUT4: as nextpnr-nexus counts"
_GW1 = "Gowin DS117 (GW1NR data sheet), product resources"
_GW2 = "Gowin DS102 (GW2A data sheet), product resources"
_GM = "Cologne Chip DS1001 (GateMate CCGM1A1 data sheet), features; LUT: CPEs"
_KNOWN = (
    Device("LFE5U-12F", "ecp5", Resources(24288, 24288, 56, 28), _ECP5),
    Device("LFE5U-25F", "ecp5", Resources(24288, 24288, 56, 28), _ECP5),
    Device("LFE5U-45F", "ecp5", Resources(43848, 43848, 108, 72), _ECP5),
    Device("LFE5U-85F", "ecp5", Resources(83640, 83640, 208, 156), _ECP5),
    Device("iCE40UP5K", "ice40", Resources(5280, 5280, 30, 8), _UP),
    Device("iCE40HX1K", "ice40", Resources(1280, 1280, 16, 0), _HX),
    Device("iCE40HX8K", "ice40", Resources(7680, 7680, 32, 0), _HX),
    Device("LIFCL-17", "nexus", Resources(13824, 13824, 24, 24), _NX),
    Device("LIFCL-40", "nexus", Resources(32256, 32256, 84, 56), _NX),
    Device("GW1NR-9", "gowin", Resources(8640, 6480, 26, 20), _GW1),
    Device("GW2A-18", "gowin", Resources(20736, 15552, 46, 48), _GW2),
    Device("CCGM1A1", "gatemate", Resources(20480, 40960, 32, 0), _GM),
)
DEVICES = {item.name: item for item in _KNOWN}


def device(name: str) -> Device:
    """Device called `name`; ``sky130:AREA`` is a standard-cell budget of AREA mm².

    Raises
    ------
    ConfigError
        If there is none; the message names the nearest.
    """
    if name.startswith("sky130"):
        return _standard_cells(name)
    if name not in DEVICES:
        near = difflib.get_close_matches(name, DEVICES, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(DEVICES)}, sky130:MM2"
        raise ConfigError(f"no device {name!r}; {hint}")
    return DEVICES[name]


def _standard_cells(name: str) -> Device:
    _, _, text = name.partition(":")
    try:
        area = float(text) if text else float("inf")
    except ValueError:
        raise ConfigError(
            f"device {name!r}: expected sky130:AREA with the area of cells in mm², e.g. sky130:2.5"
        ) from None
    return Device(name, "sky130", Resources(area=1e6 * area), "given on the command line")


def family(name: str) -> list[Device]:
    """Devices of a family, smallest first."""
    found = [item for item in DEVICES.values() if item.family == name]
    return sorted(found, key=lambda item: (item.room.lut, item.name))
