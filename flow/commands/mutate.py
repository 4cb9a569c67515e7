"""``intaglio mutate``: plant faults in a built chip, and see which obligation refuses each."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from flow import config, ecp5, files
from flow.evidence import artefact, mutation
from flow.evidence.plant import Chip, there
from flow.evidence.trellis import Config, with_blocks
from flow.evidence.work import whole
from flow.tools import base, ecppack
from rtl_gen.errors import FlowError

EXAMPLES = """\
examples:
  intaglio mutate results/names/ulx3s_85f --number 200 --record mutation.json
  intaglio mutate results/names/ulx3s_85f --number 40 --packed 4
  intaglio mutate results/names/ulx3s_85f --number 40 --level rtl netlist   (needs no bitstream)

Faults are planted in memory, in what evidence reads of each stage; `--packed` of those in the
bitstream are packed into a real one and read back. Exit status 0 if every one was caught, 1 if not.
"""

NEEDED = {"netlist": "netlist.json", "routed": "chip.bit", "bitstream": "chip.bit"}
"""What must have been built for faults of a level."""

SHOWN = 20
"""Faults from one line about them to the next."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``mutate``."""
    parser = subparsers.add_parser(
        "mutate", help="plant faults in a built chip and see what catches them",
        description="Plant faults in a built chip and see which obligation refuses each.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("chip", type=Path, metavar="FOLDER", help="results/<model>/<target>")
    parser.add_argument("--number", type=int, default=200, help="how many faults (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of faults (1)")
    parser.add_argument("--level", choices=mutation.LEVELS, nargs="+", default=mutation.LEVELS,
                        help="where to plant them (everywhere)")  # fmt: skip
    parser.add_argument("--packed", type=int, default=0, metavar="N",
                        help="pack and unpack so many of those in the bitstream (0)")  # fmt: skip
    parser.add_argument("--record", type=Path, metavar="FILE", help="write every fault here")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Plant and judge."""
    for level, name in NEEDED.items():
        if level in args.level and not (args.chip / name).is_file():
            raise FlowError(f"{args.chip}: no {name} for faults of level {level}; build it with "
                            f"`snakemake {args.chip / name}`")  # fmt: skip
    case = artefact.Case(args.chip.parents[1], args.chip.parent.name, args.chip.name)
    folder = args.chip / "evidence"
    chip = whole(case, folder, frozenset(args.level))
    clean = [
        finding
        for level in args.level
        for _, findings in mutation.obligations(chip, level)
        for finding in findings
    ]
    if clean:
        raise FlowError(f"{args.chip}: the chip fails without a fault: {clean[0]}")
    stale = mutation.stale(case.graph, chip)
    begun = time.perf_counter()
    found = []
    packed = args.packed
    for mutant in mutation.mutants(chip, stale, args.number, args.seed, args.level):
        planted = mutant
        if mutant.level == "bitstream" and packed:
            packed -= 1
            planted = replace(
                mutant, place=f"{mutant.place}, packed", chip=_packed(mutant.chip, case, folder)
            )
        found.append(mutation.judge(planted))
        if len(found) % SHOWN == 0:
            survived = sum(not item.by for item in found)
            print(f"  {len(found)} of {args.number} faults, {survived} survived", file=sys.stderr)
    summary = mutation.summary(found)
    summary["seconds"] = round(time.perf_counter() - begun, 1)
    if args.record is not None:
        files.write_json(args.record, {**summary, "faults": [asdict(item) for item in found]})
    print(f"{summary['caught']} of {summary['mutants']} faults caught in {summary['seconds']} s")
    for name, number in sorted(summary["by obligation"].items()):
        print(f"  {number:4} by {name}")
    for survivor in summary["survivors"]:
        print(f"  survived: {survivor}", file=sys.stderr)
    return 1 if summary["survivors"] else 0


def _packed(chip: Chip, case: artefact.Case, folder: Path) -> Chip:
    """The chip with its blocks and truth tables packed into a bitstream and read back."""
    job = folder / "mutant"
    text = with_blocks(there(chip.unpacked).text, there(chip.blocks))
    files.write(folder / "mutant.config", text)
    target = config.load_target(config.target_file(case.target))
    base.run(ecppack.pack(folder / "mutant.config", idcode=ecp5.IDCODE[target.device]), job,
             folder / "mutant.log")  # fmt: skip
    base.run(ecppack.unpack(job / "chip.bit"), folder / "unmutant", folder / "unmutant.log")
    read = Config((folder / "unmutant/unpacked.config").read_text())
    return replace(chip, unpacked=read, blocks=read.blocks)
