"""Error of the predicted resources of whole chips, against synthesis.

``python benchmarks/prediction.py names:16x1x2 digits_mlp:8x1x1`` synthesizes chips of models in
``configs/models`` (lanes x elements x heads) and adds them to
``benchmarks/predictions/<family>.json``; ``--show`` prints the errors of what is there, predicted
anew. Weights are rounded to nearest, which changes no size.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from flow import checkpoint, config, files, graph, quantize
from flow.tools import base, yosys
from rtl_gen import emit
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.plan import Plan
from rtl_gen.plan.cost import LogicShare, predict
from rtl_gen.plan.part import Part, of_chip
from rtl_gen.plan.resource import FPGA, Resources, of_cells, total

FOLDER = Path(__file__).parent / "predictions"
CALIBRATION = 8


def integers(name: str, folder: Path) -> IntegerGraph:
    """Graph of a model, quantized quickly."""
    model = config.load_model(config.model_file(name))
    fast = dataclasses.replace(
        model,
        quantize=dataclasses.replace(model.quantize, solver="nearest"),
        data=dataclasses.replace(model.data, calibration=CALIBRATION, evaluation=2),
    )
    quantize.run(fast, checkpoint.locate(fast.checkpoint), folder)
    return graph.read(folder / "graph.safetensors")


def synthesized(emitted: emit.Emitted, family: str, folder: Path) -> str:
    """Synthesize a chip; gives the text of Yosys' ``stat -json``."""
    files.write(folder / "chip.v", emitted.verilog)
    for name, text in emitted.images.items():
        files.write(folder / name, text)
    job = yosys.count_cells(folder / "chip.v", "chip", folder / "rom", family)
    base.run(job, folder / "job", folder / "log")
    return (folder / "job/stat.json").read_text()


def units_of(stat: str, family: str) -> dict[str, Resources]:
    """Resources of the units of a synthesized chip."""
    modules = yosys.metrics(stat)

    def below(module: str) -> Resources:
        cells = {name: n for name, n in modules[module].items() if name not in modules}
        inner = (below(name) * n for name, n in modules[module].items() if name in modules)
        return total([of_cells(cells, family), *inner])

    own = {name: n for name, n in modules["chip"].items() if name not in modules}
    units = {
        name.removeprefix("chip."): below(name) * n
        for name, n in modules["chip"].items()
        if name in modules
    }
    loose = [units.pop(name) for name in ("skid",) if name in units]
    return units | {"control": total([of_cells(own, family), *loose])}


def parts_of(
    case: str, folder: Path, made: Path | None = None
) -> tuple[emit.Emitted, dict[str, list[Part]]]:
    """A chip as Verilog and as parts; of a model's results, if the flow `made` it already."""
    name, _, shape = case.partition(":")
    if made is None:
        integer = integers(name, folder / "quantize")
        plan = Plan(*(int(part) for part in shape.split("x")))
    else:
        integer = graph.read(made / "quantize/graph.safetensors")
        plan = Plan.told(files.read_json(made / "rtl/manifest.json")["plan"])
    return emit.emit(integer, plan), of_chip(emit.design(integer, plan).chip)


def recorded(parts: dict[str, list[Part]]) -> dict[str, list[Any]]:
    """Parts as JSON."""
    return {unit: [[p.kind, p.sizes, p.count] for p in found] for unit, found in parts.items()}


def parts_read(row: dict[str, Any]) -> dict[str, list[Part]]:
    """Parts of a recorded chip."""
    return {
        unit: [Part(kind, tuple(sorted(sizes.items())), count) for kind, sizes, count in found]
        for unit, found in row["parts"].items()
    }


def measure(case: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Synthesize one chip, or read how the flow did; its parts and what they took."""
    emitted, parts = parts_of(case, folder, options.made)
    start = time.monotonic()
    family = options.family
    if options.synthesis is None:
        stat = synthesized(emitted, family, folder)
    else:
        if (options.synthesis / "chip.v").read_text() != emitted.verilog:
            raise SystemExit(f"{options.synthesis}/chip.v is not what the generator makes now")
        stat = (options.synthesis / "stat.json").read_text()
    row = {
        "case": case,
        "parts": recorded(parts),
        "units": {
            unit: {r: getattr(found, r) for r in FPGA}
            for unit, found in units_of(stat, family).items()
        },
        "seconds": None if options.synthesis else round(time.monotonic() - start),
        "tools": {"Amaranth": importlib.metadata.version("amaranth"), "Yosys": yosys.version()},
    }
    return row | ({"built": options.built} if any(options.built) else {})


def errors(row: dict[str, Any], family: str) -> dict[str, tuple[float, float]]:
    """Measured and predicted amount of every resource of a recorded chip."""
    parts = parts_read(row)
    want = total(Resources(**item) for item in row["units"].values())
    got = predict(parts, family, built=LogicShare(*row.get("built", ()))).total
    return {name: (getattr(want, name), getattr(got, name)) for name in FPGA}


def show_units(row: dict[str, Any], family: str) -> None:
    """Print measured and predicted LUTs and flip-flops of every unit."""
    cost = predict(parts_read(row), family, built=LogicShare(*row.get("built", ())))
    for unit, item in row["units"].items():
        got = cost.units.get(unit, Resources())
        numbers = ", ".join(f"{r} {item[r]:,.0f} {getattr(got, r):,.0f}" for r in FPGA)
        print(f"  {row['case']} {unit}: {numbers}")


def show(rows: list[dict[str, Any]], family: str) -> None:
    """Print a Markdown table and the median and worst errors."""
    print("| chip | " + " | ".join(f"{name}: measured, predicted, error" for name in FPGA) + " |")
    print("|---|" + "---|" * len(FPGA))
    found: dict[str, list[float]] = {name: [] for name in FPGA}
    for row in rows:
        cells = []
        for name, (want, got) in errors(row, family).items():
            error = got / want - 1 if want else 0.0
            found[name].append(abs(error))
            cells.append(f"{want:,.0f}, {got:,.0f}, {100 * error:+.1f} %")
        print(f"| {row['case']} | " + " | ".join(cells) + " |")
    for name, each in found.items():
        print(f"{name}: median {100 * np.median(each):.1f} %, worst {100 * max(each):.1f} %")


def main() -> None:
    """Measure the chips on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="model:LANESxELEMENTSxHEADS")
    parser.add_argument("--family", choices=yosys.FAMILIES, default="ecp5")
    parser.add_argument("--show", action="store_true", help="print all that is recorded")
    parser.add_argument("--parts", action="store_true", help="list the parts anew")
    parser.add_argument("--made", type=Path, help="results of the one case's model")
    parser.add_argument("--synthesis", type=Path, help="the flow's folder of its synthesis")
    parser.add_argument(
        "--built", type=int, nargs=2, default=(0, 0), metavar=("PRODUCT_BITS", "ROM_BITS"),
        help="with --synthesis: what it built from LUTs",
    )  # fmt: skip
    parser.add_argument("--units", action="store_true", help="show errors unit by unit, too")
    options = parser.parse_args()
    if options.made and len(options.cases) != 1:
        parser.error("--made is of one case")
    path = FOLDER / f"{options.family}.json"
    table = {row["case"]: row for row in files.read_json(path)} if path.is_file() else {}
    for case in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            table[case] = measure(case, options, Path(folder))
        files.write_json(path, [table[key] for key in sorted(table)])
        show([table[case]], options.family)
    if options.parts:
        for row in table.values():
            with tempfile.TemporaryDirectory() as folder:
                row["parts"] = recorded(parts_of(row["case"], Path(folder))[1])
        files.write_json(path, [table[key] for key in sorted(table)])
    if options.show:
        show(list(table.values()), options.family)
    if options.units:
        for row in table.values():
            show_units(row, options.family)


if __name__ == "__main__":
    main()
