"""``intaglio signoff``, and the stages that gather evidence: ``prove`` and ``evidence``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from flow import checkpoint, checks, config, files
from flow.evidence import artefact, ledger, obligation, signoff
from flow.log import recorded
from flow.silicon import target as asic
from rtl_gen.errors import FlowError

SIGNOFF = """\
examples:
  intaglio signoff results/names/ulx3s_85f        one chip
  intaglio signoff results                        every chip below
  intaglio signoff results/names/ulx3s_85f --checkpoint ../mine
                                                  made from another checkpoint than the configured
  intaglio signoff results/names/ulx3s_85f --again
                                                  trust no record: quantize again, and work on
                                                  every obligation anew

Every obligation must be there, hold (or be carried over with its condition), and be about the files
as they are now. Exit status 0 if so for every chip, 2 otherwise. A record says that it was not
changed by accident; who doubts that it was ever made uses `--again`.
"""
REMEDY = """\
What is missing or stale: build it with `snakemake results/<model>/<target>/signoff.json`. What
fails speaks against the chip or against its record; `intaglio signoff --again` works on every claim
anew and says which. docs/evidence.md explains each claim."""
PROVE = """\
example:
  intaglio prove provenance.netlist --model names --target ulx3s_85f
    --record results/names/ulx3s_85f/evidence/provenance.netlist.json
"""
EVIDENCE = """\
example:
  intaglio evidence results/names/ulx3s_85f --records results/names/evidence/*.json
    results/names/ulx3s_85f/evidence/*.json
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the three commands."""
    parser = _parser(subparsers, "signoff", "refuse a chip whose evidence has a hole", SIGNOFF)
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULTS",
                        help="folder of a chip, or one with chips below")  # fmt: skip
    parser.add_argument("--checkpoint", help="instead of the configured one")
    parser.add_argument("--verdict", type=Path, metavar="FILE", help="write the verdicts here")
    parser.add_argument("--again", action="store_true", help="work on every obligation anew")
    parser.set_defaults(run=recorded(_signoff))

    parser = _parser(subparsers, "prove", "stage: work on one obligation", PROVE)
    parser.add_argument("obligation", metavar="OBLIGATION", help="e.g. provenance.bitstream")
    parser.add_argument("--model", required=True)
    parser.add_argument("--target", default="", help="not for obligations on the RTL")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="FOLDER")
    parser.add_argument("--checkpoint", help="instead of the configured one")
    parser.add_argument("--record", type=Path, required=True, metavar="FILE")
    parser.set_defaults(run=recorded(_prove))

    parser = _parser(subparsers, "evidence", "stage: collect the ledger of a chip", EVIDENCE)
    parser.add_argument("chip", type=Path, metavar="FOLDER", help="results/<model>/<target>")
    parser.add_argument("--records", type=Path, nargs="+", required=True, metavar="FILE")
    parser.set_defaults(run=recorded(_evidence))


def _parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    title: str,
    epilog: str,
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        name, help=title, description=f"{title[0].upper()}{title[1:]}.", epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--log", type=Path, metavar="FILE", help="write messages here, too")
    return parser


def _prove(args: argparse.Namespace) -> int:

    names = [item.name for item in obligation.OBLIGATIONS]
    if args.obligation not in names:
        raise FlowError(f"no obligation {args.obligation!r}; there are {', '.join(names)}")
    path = checkpoint.locate(
        args.checkpoint or config.load_model(config.model_file(args.model)).checkpoint
    )
    case = artefact.Case(args.results, args.model, args.target, path)
    record = ledger.prove(obligation.of(args.obligation), case, args.record)
    print(f"  {args.obligation}: {record['verdict']} ({record['seconds']} s)", file=sys.stderr)
    for finding in record["findings"]:
        print(f"    {finding}", file=sys.stderr)
    return 0


def _evidence(args: argparse.Namespace) -> int:

    case = artefact.Case(args.chip.parents[1], args.chip.parent.name, args.chip.name)
    content = ledger.collect(case, args.records)
    files.write_json(args.chip / "evidence.json", content)
    shown = ", ".join(f"{number} {state}" for state, number in content["verdicts"].items())
    print(f"  {len(content['obligations'])} obligations: {shown}; worked {content['seconds']} s, "
          f"{content['processor_seconds']} s of the processor", file=sys.stderr)  # fmt: skip
    return 0


def _signoff(args: argparse.Namespace) -> int:
    chips = [folder for given in args.results for folder in _chips(given)]
    refused: list[str] = []
    for chip in chips:
        try:
            refused += [f"{chip}: {name}" for name in _sign(chip, args)]
        except FlowError as error:
            refused.append(f"{chip}: {error}")
    if refused:
        listed = "\n  ".join(refused)
        raise FlowError(f"not signed off:\n  {listed}\n{REMEDY}")
    return 0


def _chips(given: Path) -> list[Path]:
    """Folders of chips at or below `given`: those of a target, whatever is missing in them."""
    if given.is_file():
        given = given.parent
    targets = [path.stem for path in (config.FOLDER / "targets").glob("*.yaml")
               if asic.kind(path) != "librelane"]  # fmt: skip
    if given.name in targets and given.is_dir():
        return [given]
    found = sorted(path for name in targets for path in given.glob(f"**/{name}") if path.is_dir())
    if not found:
        raise FlowError(f"{given}: no chip here; build one with `snakemake`")
    return found


def _sign(chip: Path, args: argparse.Namespace) -> list[str]:
    """Print every check and obligation of a chip; return the names of those that fail."""
    model = config.load_model(config.model_file(chip.parent.name))
    path = checkpoint.locate(args.checkpoint or model.checkpoint)
    case = artefact.Case(chip.parents[1], chip.parent.name, chip.name, path)
    print(f"{chip}: identity {str(case.manifest['identity'])[:16]}…")
    verdicts = _checks(chip, str(case.manifest["identity"]))
    print(" numbers, against what the target and the model ask for:")
    for check in verdicts:
        print(f"  {'pass' if check.ok else 'FAIL':8} {check.name}: {check.detail}")
    required = obligation.required(asic.kind(config.target_file(chip.name)))
    if args.again:
        entries = signoff.again((obligation.REPRODUCED, *required), case)
    else:
        entries = _entries(required, case, chip / "evidence.json")
    print(" claims, on the files as they are now (docs/evidence.md):")
    for entry in entries:
        state = entry.state if entry.ok else entry.state.upper()
        print(f"  {state:8} {entry.name}: {entry.claim or entry.detail}")
        if entry.claim:
            print(f"           {entry.detail or 'done'} ({entry.seconds:.1f} s)")
    failed = [check.name for check in verdicts if not check.ok]
    failed += [f"{entry.name} {entry.state}" for entry in entries if not entry.ok]
    if not failed:
        held = sum(entry.state == "holds" for entry in entries)
        took = sum(entry.seconds for entry in entries)
        print(f" signed off: {held} of {len(entries)} claims hold, {len(entries) - held} are "
              f"carried over; they took {took:.1f} s")  # fmt: skip
    if args.verdict is not None and not failed:
        files.write_json(args.verdict, [asdict(check) for check in verdicts]
                         + signoff.as_json(entries))  # fmt: skip
    return failed


def _entries(
    required: Sequence[ledger.Obligation], case: artefact.Case, path: Path
) -> list[signoff.Entry]:
    """Judge the ledger at `path`; one that cannot be read has no record of anything."""
    try:
        return signoff.sign_off(required, case, files.read_json(path))
    except FlowError as error:
        entry = signoff.Entry("ledger", "missing", str(error))
        empty = {**ledger.about(case), "obligations": []}
        return [entry, *signoff.sign_off(required, case, empty)]


def _checks(chip: Path, identity: str) -> list[checks.Check]:
    """Verdicts on ``metrics.json``, and on whether it is about this chip."""
    try:
        metrics = files.read_json(chip / "metrics.json")
        verdicts = list(checks.judge(metrics))
        same = metrics["conditions"]["identity"] == identity
    except FlowError as error:
        return [checks.Check("metrics", ok=False, detail=str(error))]
    except (LookupError, TypeError) as error:
        return [checks.Check("metrics", ok=False, detail=f"metrics.json has no {error}")]
    if not same:
        verdicts.append(checks.Check("metrics", ok=False, detail="of a chip of another identity"))
    return verdicts
