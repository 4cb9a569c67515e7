"""``intaglio report``: one table over chips, or the page of one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from flow import files
from flow.report import page
from rtl_gen.errors import FlowError

EXAMPLES = """\
examples:
  intaglio report results                         every chip built so far
  intaglio report results/names/*                 one model on several targets
  intaglio report results --json                  the same for programs
  intaglio report results --html chips.html       the same as a page
  intaglio report results/names/ulx3s_85f/metrics.json --html page.html
                                                  the page of one chip
"""

_COLUMNS = {
    "model": "model",
    "target": "target",
    "weights__stored": "weights",
    "weights__used": "used",
    "fpga__lut__count": "LUT4",
    "fpga__ff__count": "FF",
    "fpga__ebr__count": "EBR",
    "fpga__dsp__count": "DSP",
    "timing__fmax": "MHz",
    "step__cycles__average": "cycles",
    "step__rate__fmax": "steps/s",
    "design__core__area": "µm²",
    "quality__loss__integer": "loss",
    "quality__loss__delta": "loss +",
    "checks": "checks",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``report``."""
    parser = subparsers.add_parser(
        "report", help="one table over chips", description="Compare chips, or show one.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="RESULTS",
        help="a metrics.json, or a folder with some below",
    )  # fmt: skip
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="write the metrics as JSON")
    output.add_argument(
        "--html", type=Path, metavar="FILE",
        help="write a page: of the chip if a metrics.json is given, else the table",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print or write the report."""
    paths = [found for item in args.results for found in find(item)]
    chips = [files.read_json(path) for path in paths]
    if args.json:
        print(json.dumps(chips, indent=2))
    elif args.html is not None and len(chips) == 1 and args.results[0].is_file():
        files.write(args.html, page.render(chips[0], _picture(paths[0])))
        print(f"  {args.html}", file=sys.stderr)
    elif args.html is not None:
        files.write(args.html, page.table([row(chip) for chip in chips], list(_COLUMNS.items())))
        print(f"  {args.html}", file=sys.stderr)
    else:
        print(table([row(chip) for chip in chips]))
    return 0


def _picture(metrics: Path) -> bytes:
    """Picture of the layout beside ``metrics.json``; empty for a chip without."""
    picture = metrics.with_name("chip.png")
    return picture.read_bytes() if picture.is_file() else b""


def find(path: Path) -> list[Path]:
    """Files ``metrics.json`` of chips at or below `path`.

    Raises
    ------
    FlowError
        If there is none.
    """
    if path.is_file():
        return [path]
    # A chip's folder also has signed checks and a page; the quantize stage's metrics.json does not.
    found = sorted(item for item in path.rglob("metrics.json")
                   if (item.parent / "cells.json").is_file())  # fmt: skip
    if not found:
        raise FlowError(f"{path}: no metrics.json of a chip here or below; build one with "
                        "`snakemake -c2`")  # fmt: skip
    return found


def row(chip: dict[str, Any]) -> dict[str, str]:
    """Cells of the table for one chip, by column."""
    failed = [check["name"] for check in chip["checks"] if not check["ok"]]
    values: dict[str, Any] = {
        **{name: item["value"] for name, item in chip["metrics"].items()},
        "model": chip["model"],
        "target": chip["target"],
        "checks": f"FAIL: {', '.join(failed)}" if failed else "pass",
    }
    return {name: _cell(name, values.get(name)) for name in _COLUMNS}


def table(rows: list[dict[str, str]]) -> str:
    """Text with aligned columns: names to the left, numbers to the right."""
    lines = [dict(_COLUMNS), *rows]
    widths = {name: max(len(line[name]) for line in lines) for name in _COLUMNS}
    return "\n".join(
        "  ".join(
            line[name].ljust(widths[name])
            if name in {"model", "target", "checks"}
            else line[name].rjust(widths[name])
            for name in _COLUMNS
        ).rstrip()
        for line in lines
    )


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        if name.startswith("quality__loss"):
            return f"{value:+.4f}" if name.endswith("delta") else f"{value:.4f}"
        return f"{value:.1f}" if name == "timing__fmax" else f"{value:.0f}"
    return str(value)
