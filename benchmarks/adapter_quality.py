"""What an adapter recovers on the integer chip by rank, and what its memory costs.

``python -m benchmarks.adapter_quality stories260k_lora --ranks 1 2 4 8`` cuts a trained adapter to
its best factors of lower rank (singular values of its updates), packs each for the graph of
``results/<model>`` and measures the loss on the adapter's evaluation data. With ``--memory`` the
memory of every rank, laid out for the plan, is mapped by Yosys alone instead. Prints one JSON line
a rank.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adapter_chips import of_rank
from flow import adapters, config, files
from flow.checkpoint import locate
from flow.graph import read
from flow.tools import base, yosys
from rtl_gen.adapter.layout import lay_out
from rtl_gen.adapter.pack import pack
from rtl_gen.adapter.reader import LoraAdapter, LoraPair
from rtl_gen.fabric.adapter_memory import AdapterMemory, Geometry
from rtl_gen.plan import Plan
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


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", metavar="MODEL", help="with adapters.trained")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--plan", default="32x4", help="LANESxELEMENTS (%(default)s)")
    parser.add_argument("--memory", action="store_true", help="map the memories, no quality")
    args = parser.parse_args()
    model = config.load_model(config.model_file(args.model))
    graph = read(Path("results") / args.model / "quantize/graph.safetensors")
    lanes, elements = map(int, args.plan.split("x"))
    plan = Plan(lanes, elements, slots=model.adapters.slots)
    opened: Any = None
    if not args.memory:
        item = model.adapters.trained[0]
        opened = adapters.open_base(model, locate(model.checkpoint))
        _, adapter, found = adapters.pack_folder(model, opened, graph, Path(item.path), item.data)
    for rank in args.ranks:
        layout = lay_out(of_rank(graph, rank), plan)
        assert layout is not None  # ranks are at least 1
        row: dict[str, Any] = {"rank": rank, "plan": args.plan, "slots": plan.slots}
        row["kbit per slot"] = layout.geometry.bits / plan.slots / 1000
        if args.memory:
            row |= mapped(layout.geometry)
        else:
            small = cut(adapter, rank)
            packed = pack(graph, small, found.calibration)
            row |= adapters.measured(opened, graph, small, packed, found.evaluation)
            gained = row["quality__loss__base"] - row["quality__loss__integer"]
            row["mnat per kbit"] = 1000 * gained / row["kbit per slot"]
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
