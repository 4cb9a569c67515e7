"""What an adapter recovers on the integer chip by rank, and what its memory costs.

``python -m benchmarks.adapter_quality stories260k_lora --ranks 1 2 4 8`` cuts a trained adapter to
its best factors of lower rank (singular values of its updates), packs each for the graph of
``results/<model>`` with regions of that rank, and measures the loss on the adapter's evaluation
data. With ``--planned`` the planner's resources and cycles of every rank (0: no regions) are
printed instead, with ``--memory`` the cells of the memory alone, mapped by Yosys for ECP5, with
``--cells LIBERTY`` its area in standard cells, where memories are flip-flops and their choices.
``--adapter DIR`` takes another adapter than the first that the model's YAML names. Prints one JSON
line a rank.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adapter_chips import of_rank
from flow import adapters, config, files
from flow.checkpoint import locate
from flow.config import ModelConfig
from flow.graph import read
from flow.tools import base, yosys, yosys_cells
from rtl_gen.adapter.layout import lay_out
from rtl_gen.adapter.pack import pack
from rtl_gen.adapter.reader import LoraAdapter, LoraPair, load_adapter
from rtl_gen.fabric.adapter_memory import AdapterMemory, Geometry
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.plan import Plan
from rtl_gen.plan.chooser import Pins, search
from rtl_gen.plan.device import device
from rtl_gen.plan.resource import Resources
from rtl_gen.verilog import convert


def cut(adapter: LoraAdapter, rank: int) -> LoraAdapter:
    """The best update of a rank, in the squared error of the weights."""
    pairs = {}
    for name, pair in adapter.pairs.items():
        left, values, right = np.linalg.svd(pair.delta(), full_matrices=False)
        kept = min(rank, len(values))
        root = np.sqrt(values[:kept])
        pairs[name] = LoraPair(root[:, None] * right[:kept], left[:, :kept] * root)
    return LoraAdapter(f"{adapter.name}-{rank}", "", pairs)


def mapped(geometry: Geometry) -> dict[str, int]:
    """Cells of the adapter memory alone on ECP5."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files.write(folder / "memory.v", convert(AdapterMemory(geometry), "memory"))
        base.run(yosys.synthesize_alone(folder / "memory.v", "memory"), folder / "job",
                 folder / "log")  # fmt: skip
        cells = yosys.metrics((folder / "job/stat.json").read_text())["memory"]
    kinds = ("DP16KD", "TRELLIS_DPR16X4", "LUT4", "TRELLIS_FF")
    return {kind: cells.get(kind, 0) for kind in kinds}


def area(geometry: Geometry, liberty: Path) -> dict[str, Any]:
    """Standard cells of the adapter memory alone, as chips are mapped."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files.write(folder / "chip.v", convert(AdapterMemory(geometry), "chip"))
        job = yosys_cells.synthesize_cells(folder / "chip.v", folder / "rom", liberty.read_text())
        base.run(job, folder / "job", folder / "log")
        found = json.loads((folder / "job/stat.json").read_text())["design"]
    return {
        "cells": found["num_cells"],
        "um2": found["area"],
        "um2/bit": found["area"] / geometry.bits,
    }


def planned(graph: IntegerGraph, plan: Plan, name: str) -> dict[str, Any]:
    """What the planner expects of the chip on a device, with an adapter in use if it has room."""
    pins = Pins(plan.lanes, plan.elements, plan.heads, plan.slots)
    (item,) = search(graph, (device(name),), pins).candidates
    (cost,) = item.costs
    adapter = cost.units.get("adapter", Resources())
    return {
        "cycles": asdict(item.cycles),
        "block RAMs": cost.total.ebr,
        "LUT4": round(cost.total.lut),
        "block RAMs of adapters": adapter.ebr,
        "LUT4 of adapters": round(adapter.lut),
        "ROMs in LUTs up to bits": cost.share.rom_bits,
    }


def wanted_plan(model: ModelConfig, given: str | None) -> Plan:
    """``LANESxELEMENTSxHEADS``, or what the model's YAML says."""
    own = model.plan
    shape = map(int, given.split("x")) if given else (own.lanes, own.elements, own.heads)
    lanes, elements, heads = (number or 1 for number in shape)
    return Plan(lanes, elements, heads, slots=model.adapters.slots)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", metavar="MODEL", help="with adapters.trained")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--plan", help="LANESxELEMENTSxHEADS (the model's)")
    parser.add_argument("--slots", type=int, help="(the model's)")
    parser.add_argument(
        "--adapter", type=Path, help="PEFT folder; its data as the model's YAML says"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--memory", action="store_true", help="map the memories, no quality")
    how.add_argument(
        "--cells", type=Path, metavar="LIBERTY", help="area of the memories, no quality"
    )
    how.add_argument("--planned", metavar="DEVICE", help="what the planner expects, no quality")
    args = parser.parse_args()
    model = config.load_model(config.model_file(args.model))
    graph = read(Path("results") / args.model / "quantize/graph.safetensors")
    plan = wanted_plan(model, args.plan)
    plan = replace(plan, slots=args.slots or plan.slots)
    opened: Any = None
    if not (args.memory or args.planned or args.cells):
        item = model.adapters.trained[0]
        opened = adapters.open_base(model, locate(model.checkpoint))
        folder = args.adapter or Path(item.path)
        adapter = load_adapter(folder, opened.graph, opened.weights)
        found = adapters.dataset(opened, adapter, item.data)
    for rank in args.ranks:
        chip = of_rank(graph, rank)
        layout = lay_out(chip, plan)
        row: dict[str, Any] = {"rank": rank, "plan": plan.text(), "slots": plan.slots}
        row["kbit per slot"] = layout.geometry.bits / plan.slots / 1000 if layout else 0
        if args.planned:
            row |= planned(chip, plan, args.planned)
        elif layout is None:
            raise SystemExit("rank 0 has no memory and no adapter: it goes with --planned")
        elif args.memory:
            row |= mapped(layout.geometry)
        elif args.cells:
            row |= area(layout.geometry, args.cells)
        else:
            small = cut(adapter, rank)
            packed = pack(chip, small, found.calibration)
            row |= adapters.measured(opened, chip, small, packed, found.evaluation)
            gained = row["quality__loss__base"] - row["quality__loss__integer"]
            row["mnat per kbit"] = 1000 * gained / row["kbit per slot"]
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
