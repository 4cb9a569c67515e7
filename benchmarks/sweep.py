"""Every style of `constmatvec.py` over shapes, weights and real tensors, as one table.

``python benchmarks/sweep.py --models ../shared/models`` measures what is missing in
``benchmarks/sweep.json``, one case after another, and ``--show`` prints the table of
`docs/constmatvec.md`. A case that takes longer than ``--limit`` seconds is kept as such.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from flow import files

FILE = Path(__file__).parent / "sweep.json"
KINDS = ("ternary", "int4", "int8")
TENSORS = {
    "stories260K, q_proj of layer 0": (
        "stories260K/model.safetensors", "model.layers.0.self_attn.q_proj.weight"),
    "kws-fsdd-gru, weight_hh": ("kws-fsdd-gru/model.safetensors", "gru.weight_hh_l0"),
}  # fmt: skip

Case = tuple[str, str, str, int, tuple[str, ...]]
"""Matrix (a shape, or one of `TENSORS`), weights, style, place-and-route runs, more options."""


def cases() -> Iterator[Case]:
    """What is measured, the most important first."""
    refined = ("--tries", "1", "--rounds", "1000")
    for kind in KINDS:
        for style in ("serial", "parallel"):
            yield "16x16", kind, style, 1, refined
        for style in ("rom", "yosys", "da4ml"):
            yield "16x16", kind, style, 0, ()
    for kind in KINDS:
        for style, more in (("serial", refined), ("parallel", refined), ("da4ml", ())):
            yield "64x64", kind, style, 0, more
    for name in TENSORS:
        for kind in KINDS:
            yield name, kind, "serial", 0, refined
    for style in ("serial", "parallel", "da4ml"):
        yield "256x64", "ternary", style, 0, ("--tries", "1")
    for kind in KINDS:
        yield "256x256", kind, "serial", 0, ("--tries", "1", "--emit")
    for kind in KINDS:
        yield "64x64", kind, "rom", 0, ("--packed",) if kind != "int8" else ()
    for kind in ("int4", "int8"):
        yield "256x64", kind, "serial", 0, ("--tries", "1")
    for kind in KINDS:
        yield "64x64", kind, "yosys", 0, ()


def key(case: Case) -> str:
    """Name of a case among the results."""
    matrix, kind, style, seeds, more = case
    return " ".join((matrix, kind, style, str(seeds), *more))


def measured(case: Case, models: Path, limit: float) -> dict[str, Any]:
    """Run one case; what `constmatvec.py` prints, or how it ended."""
    matrix, kind, style, seeds, more = case
    source = ["--shape", matrix]
    if matrix in TENSORS:
        file, name = TENSORS[matrix]
        source = ["--tensor", f"{models / file}:{name}"]
    argv = [
        sys.executable, str(Path(__file__).parent / "constmatvec.py"), *source, "--weights", kind,
        "--style", style, "--seeds", str(seeds), "--json", *more,
    ]  # fmt: skip
    start = time.monotonic()
    try:
        run = subprocess.run(argv, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"ended": f"not done after {limit:.0f} s"}
    seconds = round(time.monotonic() - start, 1)
    if run.returncode:
        return {"ended": run.stderr.strip().splitlines()[-1], "seconds": seconds}
    return {**json.loads(run.stdout), "seconds": seconds}


def row(case: Case, found: dict[str, Any]) -> str:
    """Line of the table."""
    matrix, kind, style, _, _ = case
    head = f"| {matrix} {kind} | {style} | "
    if "ended" in found:
        return head + f"{found['ended']} | | | | | | |"
    if "lut" not in found:
        return head + (
            f"text alone, {found['verilog_bytes'] / 1e6:.1f} MB, {found['peak_mb']} MB of memory"
            f" | | | | | {found['generate_s']} | |"
        )
    blocks = "".join(f" + {found[n]} {n.upper()}" for n in ("dsp", "ebr") if found[n])
    fmax = ", ".join(f"{seed['fmax_mhz']:.0f}" for seed in found["seeds"])
    place = ", ".join(f"{seed['place_s']:.0f}" for seed in found["seeds"])
    times = f"{found['generate_s']} / {found['synth_s']:.0f}" + (f" / {place}" if place else "")
    return head + (
        f"{found['lut']:,}{blocks} | {found['ff']:,} | {found['lut_per_weight']:.3f} | {fmax} |"
        f" {found['cycles_per_matvec']} | {found['latency_cycles']} | {times} |"
    )


def main() -> None:
    """Measure the missing cases, or show what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("../shared/models"))
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for one case")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--show", action="store_true", help="print the table and stop")
    options = parser.parse_args()
    known = files.read_json(FILE) if FILE.is_file() else {}
    if options.show:
        print("| matrix | style | LUT4 | FF | LUT per weight | fmax MHz | cycles per vector |"
              " latency | generate / synthesis / place and route, s of a processor |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|---|")
        for case in cases():
            if key(case) in known:
                print(row(case, known[key(case)]))
        return
    for case in cases():
        if key(case) not in known and options.only in key(case):
            known[key(case)] = measured(case, options.models, options.limit)
            files.write_json(FILE, known)
            print(row(case, known[key(case)]), flush=True)


if __name__ == "__main__":
    main()
