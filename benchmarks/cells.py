"""Compare the timing of two libraries of the same cells.

``python -m benchmarks.cells pdks/c4m_sky130/tt.lib OTHER.lib`` prints, for each cell that both
have, the ratio of the first library's delays to the second's at common points, and the ratio over
all cells: median, lowest and highest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from flow.silicon import table
from flow.silicon.table import Group, Liberty

POINTS = ((0.04, 0.004), (0.08, 0.008))
"""Slew (ns) and load (pF), inside the tables of the Chips4Makers libraries."""


def delays(library: Liberty, cell: Group) -> Iterator[tuple[tuple[str, str], Group]]:
    """Delay tables of a cell by related pin and edge; of several for one arc, all."""
    for pin in cell.each("pin"):
        for timing in pin.each("timing"):
            for edge in timing.groups:
                if edge.kind in {"cell_rise", "cell_fall"}:
                    yield (timing.values["related_pin"], edge.kind), edge


def worst(library: Liberty, cell: Group, slew: float, load: float) -> dict[tuple[str, str], float]:
    """Largest delay of each arc and edge, in nanoseconds."""
    found: dict[tuple[str, str], float] = {}
    for key, group in delays(library, cell):
        value = library.table(group, scale=library.time_ns).at(slew, load)
        found[key] = max(value, found.get(key, value))
    return found


def main() -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ours", type=Path)
    parser.add_argument("theirs", type=Path)
    args = parser.parse_args()
    ours, theirs = table.read(args.ours), table.read(args.theirs)
    everything = []
    for name in sorted(ours.cells.keys() & theirs.cells.keys()):
        ratios = []
        for slew, load in POINTS:
            mine = worst(ours, ours.cells[name], slew, load)
            other = worst(theirs, theirs.cells[name], slew, load)
            ratios += [mine[key] / other[key] for key in mine.keys() & other.keys() if other[key]]
        if ratios:
            everything += ratios
            print(f"{name:12} {median(ratios):5.2f}  {min(ratios):5.2f} to {max(ratios):5.2f}")
    if not everything:
        print("the libraries have no cell in common", file=sys.stderr)
        return 1
    print(f"{'all':12} {median(everything):5.2f}  {min(everything):5.2f} to "
          f"{max(everything):5.2f}  ({len(everything)} delays)")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
