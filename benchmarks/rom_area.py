"""What a bit of ROM costs as logic in sky130: transistors and area, mapped, placed and routed.

``python -m benchmarks.rom_area --views results/pdk/c4m_sky130 --folder build/rom 64x16 256x16``
lays out a ROM of random words (numpy's PCG64, seed 1) with a register behind it for each size and
prints a Markdown table; a ROM that no core is clean of open wires and broken rules for is "not
routed". ``--image FILE`` takes the words of a ROM image instead. The registers, and
what the place and route adds, are in the layout but not in the mapped bits.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flow import files
from flow.silicon import cell, floorplan, layout, netlist
from flow.silicon.target import AsicTarget
from rtl_gen.errors import TargetError

SEED = 1
UTILIZATION = (0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
ROM = """module chip(clk, addr, word);
  input clk;
  input [{high}:0] addr;
  output reg [{last}:0] word;
  reg [{last}:0] mem [0:{end}];
  initial $readmemh("rom/words.hex", mem);
  always @(posedge clk) word <= mem[addr];
endmodule
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """One ROM.

    Parameters
    ----------
    words, width : int
    transistors : int
        Of the mapped gates without the registers behind the ROM.
    mapped_um2 : float
        Their area.
    core_um2 : float or None
        Of the routed block, with its registers, buffers, clock tree, diodes and fillers; None if
        it was not routed in any core.
    """

    words: int
    width: int
    transistors: int
    mapped_um2: float
    core_um2: float | None

    @property
    def bits(self) -> int:
        """Bits stored."""
        return self.words * self.width


def transistors(circuits: str) -> Counter[str]:
    """Transistors of each cell in a SPICE library."""
    return Counter({
        found[1]: len(re.findall(r"(?m)^M", found[2]))
        for found in re.finditer(r"(?ms)^\.subckt (\S+)[^\n]*\n(.*?)^\.ends", circuits)
    })  # fmt: skip


def measure(words: Sequence[int], width: int, views: Path, folder: Path) -> Cost:
    """Map, place and route a ROM in `folder`."""
    depth = len(words)
    text = ROM.format(high=(depth - 1).bit_length() - 1, last=width - 1, end=depth - 1)
    files.write(folder / "rtl/chip.v", text)
    files.write(folder / "rtl/rom/words.hex", "".join(f"{word:x}\n" for word in words))
    layout.synthesize(folder / "rtl/chip.v", views, folder, folder / "map.log")
    library = cell.read(views / "library.json")
    design = netlist.from_json(files.read_json(folder / "mapped.json"))
    gates = [gate.cell for gate in design.gates if not library.cells[gate.cell].flip_flop]
    count = transistors((views / "cells.spi").read_text())
    target = AsicTarget("rom", "", "asic", "c4m_sky130", 25.0, UTILIZATION, ("tt",))
    mapped = sum(library.cells[name].area for name in gates)
    core: float | None = None
    try:
        layout.place(folder / "mapped.json", target, "ROM", views, folder, folder / "place.log",
                     _asked)  # fmt: skip
    except TargetError as error:
        print(error, file=sys.stderr)
    else:
        if not any(layout.broken_rules(folder).values()):
            wide, high = files.read_json(folder / "finish.json")["core_um"]
            core = wide * high
    return Cost(depth, width, sum(count[name] for name in gates), mapped, core)


def _asked(design: netlist.Netlist, library: cell.Library, part: float) -> floorplan.Floorplan:
    """Block that is filled as asked, whatever room small gates need for their wires."""
    return floorplan.plan(design, library, part, layout.CLOCK)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=[], help="words x width, as 256x16")
    parser.add_argument("--image", type=Path, help="a $readmemh image; its width is its digits'")
    parser.add_argument("--views", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    cases: list[tuple[str, list[int], int]] = []
    for size in args.sizes:
        depth, width = map(int, size.split("x"))
        rng = np.random.default_rng(SEED)
        bits = rng.integers(0, 2, (depth, width))
        cases.append((size, [int("".join(map(str, row)), 2) for row in bits], width))
    if args.image:
        lines = args.image.read_text().split()
        words = [int(line, 16) for line in lines]
        cases.append((args.image.stem, words, max(words).bit_length()))
    print("| ROM | bits | transistors/bit | mapped, µm²/bit | core, µm²/bit |")
    print("|---|---|---|---|---|")
    for name, words, width in cases:
        found = measure(words, width, args.views.absolute(), args.folder.absolute() / name)
        core = f"{found.core_um2 / found.bits:.2f}" if found.core_um2 else "not routed"
        print(f"| {name} | {found.bits:,} | {found.transistors / found.bits:.2f} "
              f"| {found.mapped_um2 / found.bits:.2f} | {core} |", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
