"""Memories of a chip in the PDK's own SRAM macros, where they are smaller than flip-flops.

A chip writes and reads its module ``ram`` through a port each, so the macros with two ports take
its place: port A writes, port B reads. Reading and writing one word at one edge may give anything,
on the FPGA and here, and the chip never uses such a word.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_gen.errors import TargetError

FOLDERS = {"ihp-sg13g2": "libs.ref/sg13g2_sram"}
"""Where a PDK keeps its SRAM macros."""

LIBERTIES = {"ihp-sg13g2": "libs.ref/sg13g2_stdcell/lib/sg13g2_stdcell_typ_1p20V_25C.lib"}
CORNERS = ("typ", "fast", "slow")
POWER = (("VDD!", "VSS!"), ("VDDARRAY!", "VSS!"))
NETS = "VPWR VGND"
EDGE, HALO = 40.0, 20.0
"""Room between the die's edge and macros, and between macros, in micrometres."""

_MACRO = re.compile(r"RM_IHPSG13_2P_(\d+)x(\d+)_c\d+(_bm_bist)?")
_SIZE = re.compile(r"^\s*SIZE\s+([\d.]+)\s+BY\s+([\d.]+)\s*;", re.MULTILINE)
_RAM = re.compile(
    r"^  ram #\(\n    \.ABITS\(32'd\d+\),\n    \.DEPTH\(32'd(\d+)\),\n    \.WIDTH\(32'd(\d+)\)\n"
    r"  \) ", re.MULTILINE,
)  # fmt: skip
_MODULE = re.compile(r"^module (\S+?)\s*\(.*?^endmodule", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(
    r"^  (\\?\S+) +(?:#\(.*?\n  \) )?(\\\S+ |\w+) ?\($", re.MULTILINE | re.DOTALL
)
_CELL = re.compile(r"^\s*cell\s*\(", re.MULTILINE)
_FLIP_FLOP = re.compile(r"^\s*ff\s*\(", re.MULTILINE)
_AREA = re.compile(r"^\s*area\s*:\s*([\d.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sram:
    """A macro with two ports.

    Parameters
    ----------
    name : str
    words, width : int
    size : (float, float)
        In micrometres.
    masked : bool
        It has pins for masks and self-test.
    """

    name: str
    words: int
    width: int
    size: tuple[float, float]
    masked: bool


@dataclass(frozen=True, slots=True)
class Bank:
    """A memory of ``depth`` words of ``width`` bits: ``rows`` by ``columns`` of one macro."""

    depth: int
    width: int
    sram: Sram
    rows: int
    columns: int

    @property
    def module(self) -> str:
        """Name of the module that takes the place of ``ram``."""
        return f"ram_{self.depth}x{self.width}"

    @property
    def area(self) -> float:
        """Square micrometres of its macros."""
        return self.rows * self.columns * self.sram.size[0] * self.sram.size[1]

    def instances(self) -> list[str]:
        """Names of the macros inside the module."""
        return [f"macro_{r}_{c}" for r in range(self.rows) for c in range(self.columns)]


def macros(root: Path, pdk: str) -> tuple[Sram, ...]:
    """SRAM macros with two ports that a PDK has.

    Raises
    ------
    TargetError
        If an abstract has no size.
    """
    if pdk not in FOLDERS:
        return ()
    found = []
    for path in sorted((root / pdk / FOLDERS[pdk] / "lef").glob("*.lef")):
        if (name := _MACRO.fullmatch(path.stem)) is None:
            continue
        if (size := _SIZE.search(path.read_text())) is None:
            raise TargetError(f"{path}: no SIZE; is the PDK complete?")
        found.append(Sram(path.stem, int(name[1]), int(name[2]),
                          (float(size[1]), float(size[2])), bool(name[3])))  # fmt: skip
    return tuple(found)


def flip_flop_um2(root: Path, pdk: str) -> float:
    """Area of the smallest flip-flop of a PDK's standard cells.

    Raises
    ------
    TargetError
        If its Liberty is absent or has none.
    """
    path = root / pdk / LIBERTIES[pdk]
    text = path.read_text() if path.is_file() else ""
    cells = _CELL.split(text)[1:]
    areas = [float(area[1]) for item in cells if _FLIP_FLOP.search(item)
             and (area := _AREA.search(item))]  # fmt: skip
    if not areas:
        raise TargetError(f"{path}: no flip-flop with an area; is the PDK complete?")
    return min(areas)


def banks(verilog: str, srams: Sequence[Sram], flip_flop: float) -> dict[tuple[int, int], Bank]:
    """Macros for each depth and width of ``ram`` that they make smaller.

    Parameters
    ----------
    flip_flop : float
        Area of a flip-flop: a bit of a register file takes at least this, its multiplexers not
        counted.
    """
    found = {}
    for depth, width in sorted({(int(a), int(b)) for a, b in _RAM.findall(verilog)}):
        best = min(
            (Bank(depth, width, item, math.ceil(depth / item.words), math.ceil(width / item.width))
             for item in srams),
            key=lambda bank: (bank.area, bank.sram.name), default=None,
        )  # fmt: skip
        if best is not None and best.area < depth * width * flip_flop:
            found[depth, width] = best
    return found


def replaced(verilog: str, chosen: Mapping[tuple[int, int], Bank]) -> str:
    """Verilog whose memories are banks of macros where `chosen` has some."""

    def module(found: re.Match[str]) -> str:
        bank = chosen.get((int(found[1]), int(found[2])))
        return found[0] if bank is None else f"  {bank.module} "

    return "\n".join([_RAM.sub(module, verilog), *(_wrapper(bank) for bank in chosen.values())])


def _wrapper(bank: Bank) -> str:
    sram = bank.sram
    bits = max(1, (bank.depth - 1).bit_length())
    inner = (sram.words - 1).bit_length()
    low = min(bits, inner)
    padded = bank.columns * sram.width
    lines = [
        f"module {bank.module}(input clk, input write, input [{bits - 1}:0] write_addr,",
        f"  input [{bank.width - 1}:0] write_data, input en, input [{bits - 1}:0] addr,",
        f"  output [{bank.width - 1}:0] data);",
        f"  wire [{padded - 1}:0] given = write_data;",
        f"  wire [{inner - 1}:0] write_low = write_addr[{low - 1}:0], low = addr[{low - 1}:0];",
        *(f"  wire [{padded - 1}:0] row{row};" for row in range(bank.rows)),
    ]
    if bank.rows == 1:
        lines += ["  wire write0 = write, read0 = en;", "  assign data = row0;"]
    else:
        high = f"[{bits - 1}:{low}]"
        lines += [f"  reg [{bits - 1}:{low}] chosen;", f"  always @(posedge clk) if (en) chosen <= "
                  f"addr{high};"]  # fmt: skip
        for row in range(bank.rows):
            lines.append(f"  wire write{row} = write && write_addr{high} == {row}, "
                         f"read{row} = en && addr{high} == {row};")  # fmt: skip
        rest = "".join(f"chosen == {row} ? row{row} : " for row in range(bank.rows - 1))
        lines.append(f"  assign data = {rest}row{bank.rows - 1};")
    for row, column in itertools.product(range(bank.rows), range(bank.columns)):
        part = f"[{(column + 1) * sram.width - 1}:{column * sram.width}]"
        pins = _pins("A", f"write{row}", "write_low", f"given{part}", "", sram, writes=True)
        pins += _pins("B", f"read{row}", "low", f"{sram.width}'d0", f"row{row}{part}", sram,
                      writes=False)  # fmt: skip
        lines.append(f"  {sram.name} macro_{row}_{column} (\n    {', '.join(pins)});")
    return "\n".join([*lines, "endmodule", ""])


def _pins(port: str, enable: str, address: str, given: str, word: str, sram: Sram, *,
          writes: bool) -> list[str]:  # fmt: skip
    pins = {
        "CLK": "clk", "MEN": enable, "WEN": enable if writes else "1'b0",
        "REN": "1'b0" if writes else enable, "ADDR": address, "DIN": given, "DLY": "1'b1",
        "DOUT": word,
    }  # fmt: skip
    if sram.masked:
        low = {"ADDR": (sram.words - 1).bit_length(), "DIN": sram.width, "BM": sram.width}
        pins["BM"] = f"{{{sram.width}{{1'b1}}}}"
        pins |= {f"BIST_{name}": f"{low.get(name, 1)}'d0"
                 for name in ("CLK", "EN", "MEN", "WEN", "REN", "ADDR", "DIN", "BM")}  # fmt: skip
    return [f".{port}_{name}({value})" for name, value in pins.items()]


def instances(verilog: str, top: str, chosen: Mapping[tuple[int, int], Bank]) -> dict[str, Sram]:
    """Path of every macro below `top` in the Verilog that `replaced` gave."""
    modules = {item[1].removeprefix("\\"): item[0] for item in _MODULE.finditer(verilog)}
    known = {bank.module: bank for bank in chosen.values()}

    def below(module: str, path: str) -> dict[str, Sram]:
        found: dict[str, Sram] = {}
        for kind, name in _INSTANCE.findall(modules.get(module, "")):
            here = f"{path}{name.strip().removeprefix(chr(92))}"
            if bank := known.get(kind):
                found |= {f"{here}.{inner}": bank.sram for inner in bank.instances()}
            elif (inner := kind.removeprefix("\\")) in modules:
                found |= below(inner, f"{here}.")
        return found

    return below(top, "")


def config(found: Mapping[str, Sram], pdk: str, root: Path, utilization: float) -> dict[str, Any]:
    """Variables of LibreLane for macros at these paths, which stand on shelves from the south.

    Parameters
    ----------
    utilization : float
        Part of the core to be filled; ``FP_CORE_UTIL`` is lower if the macros would not fit.
    """
    if not found:
        return {}
    folder = FOLDERS[pdk]
    places, fits = shelves(found, utilization)
    entries: dict[str, Any] = {}
    for path, sram in found.items():
        entry = entries.setdefault(sram.name, {
            "gds": [f"pdk_dir::{folder}/gds/{sram.name}.gds"],
            "lef": [f"pdk_dir::{folder}/lef/{sram.name}.lef"],
            "lib": {
                f"*_{corner}_*": [f"pdk_dir::{folder}/lib/{item.name}"]
                for corner in CORNERS
                for item in (root / pdk / folder / "lib").glob(f"{sram.name}_{corner}_*.lib")
            },
            "instances": {},
        })  # fmt: skip
        entry["instances"][path] = {"location": list(places[path]), "orientation": "N"}
    return {
        "FP_CORE_UTIL": round(100 * fits, 2),
        "MACROS": entries,
        "PDN_MACRO_CONNECTIONS": [
            f"{re.escape(path)} {NETS} {power} {ground}" for path in found
            for power, ground in POWER
        ],
    }  # fmt: skip


def shelves(
    found: Mapping[str, Sram], utilization: float
) -> tuple[dict[str, tuple[float, float]], float]:
    """Lower left corner of each macro, and the part of a square core that they may fill.

    The core is as large as all cells at that part: macros that fit where they are all there is fit
    with logic beside them, too.
    """
    area = sum(item.size[0] * item.size[1] for item in found.values())
    side = max(math.sqrt(area / utilization), max(item.size[0] for item in found.values()) + EDGE)
    x = y = EDGE
    high = 0.0
    places = {}
    for path, item in sorted(found.items(), key=lambda pair: (-pair[1].size[1], pair[0])):
        width, height = item.size
        if x > EDGE and x + width > side:
            x, y, high = EDGE, y + high + HALO, 0.0
        places[path] = (round(x, 2), round(y, 2))
        x, high = x + width + HALO, max(high, height)
    side = max(side, y + high)
    return places, min(utilization, area / side**2)
