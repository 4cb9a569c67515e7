"""What place and route made, against the configuration that it wrote."""

from __future__ import annotations

from functools import cache
from itertools import permutations
from pathlib import Path

from flow import config, ecp5
from flow.evidence.artefact import Case
from flow.evidence.design import Module
from flow.evidence.trellis import Config
from flow.tools import base, ecppack

MOST_FINDINGS = 5
_PLAIN = {"LOGIC", ""}


@cache
def exchanged(table: int) -> frozenset[int]:
    """The truth tables of a LUT4 whose inputs are exchanged in all ways."""
    return frozenset(
        sum(
            (table >> index & 1) << sum((index >> k & 1) << place[k] for k in range(4))
            for index in range(16)
        )
        for place in permutations(range(4))
    )


def truth_tables(routed: Module, placed: Config) -> tuple[int, list[str]]:
    """Compare every LUT of the routed netlist with the one at its place in the configuration.

    The router exchanges a LUT's inputs where that helps, and says so nowhere but in its wires; a
    table therefore counts as equal if some exchange makes it so. LUTs of carry chains and of
    distributed RAMs, whose tables hold no constants of a model, are left out.

    Returns
    -------
    compared : int
    findings : list of str
    """
    compared = 0
    wrong: list[str] = []
    for name, cell in routed.cells.items():
        mode = cell.parameters.get("MODE", "").strip()
        if cell.type != "TRELLIS_COMB" or mode not in _PLAIN or "INITVAL" not in cell.parameters:
            continue
        compared += 1
        place = cell.attributes.get("NEXTPNR_BEL", "")
        found = placed.truth_table(place)
        if found is None or found not in exchanged(cell.number("INITVAL")):
            wrong.append(f"{name} at {place}: not the truth table of the routed netlist")
    return compared, wrong[:MOST_FINDINGS]


def packed(case: Case, folder: Path) -> bytes:
    """The routed configuration packed once more."""
    target = config.load_target(config.target_file(case.target))
    job = ecppack.pack(case.path("config"), idcode=ecp5.IDCODE[target.device])
    base.run(job, folder / "packed", folder / "packed.log")
    return (folder / "packed/chip.bit").read_bytes()
