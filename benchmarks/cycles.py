"""Error of predicted cycles per step, against the simulated RTL.

``python benchmarks/cycles.py names:16x1x2 digits_cnn:4x1x1`` simulates chips of models in
``configs/models`` (lanes x elements x heads): one greedy sequence as long as the context, or one
frame of zeros, and adds them to ``benchmarks/predictions/cycles.json``. ``--show`` prints what is
recorded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.prediction import FOLDER, integers
from flow import files
from flow.simulate import Chip, build
from flow.tools import verilator
from rtl_gen import emit
from rtl_gen.plan import Plan, cycle

PATH = FOLDER / "cycles.json"


def measure(case: str, folder: Path) -> dict[str, Any]:
    """Simulate one chip; measured and predicted cycles of every step."""
    name, shape = case.split(":")
    graph = integers(name, folder / "quantize")
    plan = Plan(*(int(part) for part in shape.split("x")))
    emitted = emit.emit(graph, plan)
    files.write(folder / "chip.v", emitted.verilog)
    for image, text in emitted.images.items():
        files.write(folder / image, text)
    kind = emitted.manifest["kind"]
    program = build("rtl", folder / "chip.v", folder / "simulator", folder / "log", kind=kind)
    design = emit.design(graph, plan).chip
    with Chip(program, folder, context=graph.context) as chip:
        if kind == "token":
            prompt = list(graph.bos) or [1]
            found = [step.cycles for step in chip.generate(prompt, beta=0, seed=1, limit=0)]
        else:
            found = [chip.frame([0] * int(np.prod(graph.inputs[0].value.shape)))[1]]
    return {
        "case": case,
        "measured": found,
        "predicted": [cycle.step(design, position) for position in range(len(found))],
        "simulator": f"Verilator {verilator.version()}",
    }


def line(row: dict[str, Any]) -> str:
    """Row of a Markdown table."""
    want, got = np.array(row["measured"]), np.array(row["predicted"])
    error = 100 * (got / want - 1)
    return (
        f"| {row['case']} | {len(want)} | {want[0]:,} / {got[0]:,} | {want[-1]:,} / {got[-1]:,} "
        f"| {error.mean():+.2f} | {abs(error).max():.2f} |"
    )


def main() -> None:
    """Simulate the chips on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="model:LANESxELEMENTSxHEADS")
    parser.add_argument("--show", action="store_true", help="print all that is recorded")
    options = parser.parse_args()
    table = {row["case"]: row for row in files.read_json(PATH)} if PATH.is_file() else {}
    for case in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            table[case] = measure(case, Path(folder))
        files.write_json(PATH, [table[key] for key in sorted(table)])
        print(line(table[case]), flush=True)
    if options.show:
        print("| chip | steps | first | last | mean error % | worst % |")
        print("|---|---|---|---|---|---|")
        print("\n".join(line(row) for row in table.values()))


if __name__ == "__main__":
    main()
