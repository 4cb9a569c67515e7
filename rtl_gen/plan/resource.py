"""Resources of FPGA families, and what mapped cells take of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Resources:
    """Amount of each resource of a device or of a part of a design.

    Parameters
    ----------
    lut : float
        Look-up tables, also those that carry chains and distributed RAM take.
    ff : float
        Flip-flops.
    ebr : float
        Block RAMs.
    dsp : float
        Multipliers.
    area, cells : float
        Of a standard-cell design: µm² of cells, and their number (0 for FPGAs).
    """

    lut: float = 0
    ff: float = 0
    ebr: float = 0
    dsp: float = 0
    area: float = 0
    cells: float = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, name) + getattr(other, name) for name in NAMES))

    def __mul__(self, factor: float) -> Resources:
        return Resources(*(factor * getattr(self, name) for name in NAMES))

    def rounded(self) -> Resources:
        """Whole numbers."""
        return Resources(*(round(getattr(self, name)) for name in NAMES))


NAMES = tuple(item.name for item in fields(Resources))
FPGA = ("lut", "ff", "ebr", "dsp")
STANDARD_CELLS = ("area", "cells")


def total(parts: Iterable[Resources]) -> Resources:
    """Sum."""
    return sum(parts, Resources())


# A carry cell is two LUTs; a 16x4 RAM occupies the LUTs of two slices and the write port of a
# third, whose two LUTs are lost.
_ECP5 = {
    "LUT4": Resources(lut=1),
    "CCU2C": Resources(lut=2),
    "TRELLIS_DPR16X4": Resources(lut=6),
    "TRELLIS_FF": Resources(ff=1),
    "DP16KD": Resources(ebr=1),
    "PDPW16KD": Resources(ebr=1),
    "MULT18X18D": Resources(dsp=1),
}
# Lattice FPGA-TN-02008 (iCE40 DSP), FPGA-DS-02000 (UltraPlus): one LUT, one flip-flop and one carry
# per logic cell. A carry whose LUT adds shares the cell, and Yosys leaves the LUT in the netlist.
_ICE40 = {
    "SB_LUT4": Resources(lut=1),
    "SB_RAM40_4K": Resources(ebr=1),
    "SB_RAM40_4KNR": Resources(ebr=1),
    "SB_RAM40_4KNW": Resources(ebr=1),
    "SB_RAM40_4KNRNW": Resources(ebr=1),
    "SB_MAC16": Resources(dsp=1),
}
_NEXUS = {
    "LUT4": Resources(lut=1),
    "CCU2": Resources(lut=2),
    "DPR16X4": Resources(lut=6),
    **dict.fromkeys(("DP16K", "PDP16K", "PDPSC16K"), Resources(ebr=1)),
    # In units of the 18x18 multiplier: half of one, one, two, two and four.
    "MULT9X9": Resources(dsp=0.5),
    "MULT18X18": Resources(dsp=1),
    "MULT18X36": Resources(dsp=2),
    "MULT36X36": Resources(dsp=4),
}
_GOWIN = {
    **{f"LUT{n}": Resources(lut=1) for n in (1, 2, 3, 4)},
    "INV": Resources(lut=1),
    "ALU": Resources(lut=1),
    "RAM16SDP4": Resources(lut=6),
    "RAM16SDP2": Resources(lut=4),
    "RAM16SDP1": Resources(lut=4),
    "MULT9X9": Resources(dsp=0.5),
    "MULT18X18": Resources(dsp=1),
    "MULT36X36": Resources(dsp=4),
    **dict.fromkeys(("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B", "pROM", "pROMX9"),
                    Resources(ebr=1)),
}  # fmt: skip
# A CPE holds two cells of up to four inputs (tree L2T4), or one of five; two full adders.
_GATEMATE = {
    **dict.fromkeys(("CC_LUT1", "CC_LUT2"), Resources(lut=0.5)),
    **dict.fromkeys(("CC_LUT3", "CC_LUT4", "CC_L2T4", "CC_MX2", "CC_ADDF"), Resources(lut=0.5)),
    **dict.fromkeys(("CC_L2T5", "CC_MX4", "CC_MX8"), Resources(lut=1)),
    "CC_BRAM_20K": Resources(ebr=0.5),
    "CC_BRAM_40K": Resources(ebr=1),
}
CELLS: Mapping[str, Mapping[str, Resources]] = {
    "ecp5": _ECP5, "ice40": _ICE40, "nexus": _NEXUS, "gowin": _GOWIN, "gatemate": _GATEMATE,
}  # fmt: skip
"""Resources of each type of cell, by family."""

_FLIP_FLOPS = {"ice40": "SB_DFF", "nexus": "FD1P3", "gowin": "DFF", "gatemate": "CC_DFF"}
_FREE = {
    "ecp5": ("PFUMX", "L6MUX21", "VHI", "VLO"),
    "ice40": ("SB_CARRY",),  # in the cell of the LUT beside it
    "nexus": ("WIDEFN9", "INV", "VHI", "VLO", "PFUMX", "L6MUX21"),
    "gowin": ("MUX2_LUT5", "MUX2_LUT6", "MUX2_LUT7", "MUX2_LUT8", "GND", "VCC", "GSR"),
    "gatemate": ("CC_BUFG",),
}
"""Cells that take nothing that is counted, by family: wide multiplexers, constants."""


def of_cells(cells: Mapping[str, int], family: str) -> Resources:
    """Resources of mapped cells, type to number.

    Raises
    ------
    ValueError
        If a type of cell is not known: counting it as nothing would be a silent error.
    """
    known, found = CELLS[family], Resources()
    for name, count in cells.items():
        if name in known:
            found += known[name] * count
        elif family in _FLIP_FLOPS and name.startswith(_FLIP_FLOPS[family]):
            found += Resources(ff=count)
        elif name not in _FREE[family]:
            raise ValueError(f"{family}: unknown cell {name}")
    return found
