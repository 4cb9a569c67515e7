"""What adapters do to a chip of a real model: simulated RTL against golden, and cycles.

``python -m benchmarks.adapter_chips drive_lora`` takes the integer graph of ``results/<model>``
(made by ``snakemake``), and in one simulated run of its chip generates with the base, with two
adapters and with hostile images, all loaded and switched while the chip generates. Every token is
compared with golden. ``--ranks 0 4 8 16`` builds a chip for each of these ranks instead (0: without
regions) and measures its cycles with the base alone and with an image of random bits. Adds to
``results/benchmarks/adapter_chips.json``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adapter_acts import Chips, acts, extreme_image, timed
from flow import adapters, config, files
from flow.checkpoint import locate
from flow.config import ModelConfig
from flow.graph import read
from flow.simulate import Chip, build
from flow.tools import verilator
from rtl_gen import emit
from rtl_gen.adapter.bypass import bypass
from rtl_gen.adapter.pack import pack, random_image
from rtl_gen.adapter.reader import LoraAdapter, LoraPair
from rtl_gen.ir.integer import IntegerGraph, LowRank
from rtl_gen.ir.verify import verify
from rtl_gen.plan import Plan

OUTPUT = Path("results/benchmarks")
PATH = OUTPUT / "adapter_chips.json"


def of_rank(graph: IntegerGraph, rank: int) -> IntegerGraph:
    """`graph` with regions of another rank; none for rank 0."""
    if not rank:
        return bypass(graph)
    nodes = tuple(
        replace(node, op=replace(node.op, rank=rank)) if isinstance(node.op, LowRank) else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def half(adapter: LoraAdapter) -> LoraAdapter:
    """The same update at half its strength: a second adapter with a text of its own."""
    pairs = {name: LoraPair(pair.a, pair.b / 2) for name, pair in adapter.pairs.items()}
    return LoraAdapter(f"{adapter.name}-half", "", pairs)


def compiled(graph: IntegerGraph, plan: Plan, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A chip as a simulator."""
    verify(graph)
    made = emit.emit(graph, plan)
    files.write(folder / "chip.v", made.verilog)
    for image, text in made.images.items():
        files.write(folder / image, text)
    program = build(
        "rtl", folder / "chip.v", folder / "simulator", folder / "log", kind="token",
        adapters="adapters" in made.manifest,
    )  # fmt: skip
    return program, made.manifest


def prompts(
    model: ModelConfig, base: adapters.Base, adapter: LoraAdapter, count: int, length: int
) -> list[list[int]]:
    """Beginnings of the text that the adapter is meant for."""
    settings = model.adapters.trained[0].data
    inputs = adapters.dataset(base, adapter, settings).evaluation.inputs
    return [[int(token) for token in row[:length]] for row in inputs[:count]]


def shown(name: str, plan: Plan, tokens: int, length: int) -> dict[str, Any]:
    """The acts of `benchmarks.adapter_acts` on one chip."""
    model = config.load_model(config.model_file(name))
    graph = read(Path("results") / name / "quantize/graph.safetensors")
    base = adapters.open_base(model, locate(model.checkpoint))
    item = model.adapters.trained[0]
    packed, adapter, found = adapters.pack_folder(model, base, graph, Path(item.path), item.data)
    images = {
        "trained": packed,
        "half": pack(graph, half(adapter), found.calibration),
        "random": random_image(graph, 1),
        "lowest": extreme_image(graph, low=True),
        "highest": extreme_image(graph, low=False),
    }
    folder = OUTPUT / "adapter_chips" / name
    program, manifest = compiled(graph, plan, folder)
    begins = prompts(model, base, adapter, 3, length)
    with Chip(program, folder, context=graph.context) as chip:
        done = acts(Chips(graph, plan, chip, manifest["adapters"]["base"]), images, begins, tokens)
    return {"model": name, "identity": manifest["identity"], **done}


def costs(name: str, plan: Plan, ranks: list[int], tokens: int) -> list[dict[str, Any]]:
    """Cycles by rank, with the base alone and with an adapter."""
    whole = read(Path("results") / name / "quantize/graph.safetensors")
    rows = []
    for rank in ranks:
        graph = of_rank(whole, rank)
        folder = OUTPUT / "adapter_chips" / f"{name}_rank{rank}"
        program, manifest = compiled(graph, plan, folder)
        prompt = [int(t) for t in np.random.default_rng(5).integers(0, graph.vocabulary, 1)]
        with Chip(program, folder, context=graph.context) as chip:
            chips = Chips(graph, plan, chip, manifest.get("adapters", {}).get("base", ""))
            row = {"model": name, "rank": rank, "bits": manifest.get("adapters", {}).get("bits", 0)}
            row |= timed(chips, prompt, tokens, random_image(graph, 1) if rank else None)
        rows.append(row)
        print(f"  {row}", file=sys.stderr)
    return rows


def main() -> int:
    """Run; the exit status is 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", metavar="MODEL", help="with adapters.trained")
    parser.add_argument("--plan", help="LANESxELEMENTSxHEADS (the model's)")
    parser.add_argument("--tokens", type=int, default=24, help="of a sequence (%(default)s)")
    parser.add_argument("--prompt", type=int, default=8, help="tokens of a prompt (%(default)s)")
    parser.add_argument("--ranks", type=int, nargs="+", help="measure cycles of these")
    args = parser.parse_args()
    model = config.load_model(config.model_file(args.model))
    if args.plan:
        shape = dict(zip(("lanes", "elements", "heads"), map(int, args.plan.split("x")),
                         strict=True))  # fmt: skip
    else:
        wanted = model.plan
        shape = {"lanes": wanted.lanes, "elements": wanted.elements, "heads": wanted.heads}
    plan = Plan(**shape, slots=model.adapters.slots)
    if args.ranks:
        rows = costs(args.model, plan, args.ranks, args.tokens)
    else:
        rows = [shown(args.model, plan, args.tokens, args.prompt)]
    told = {"plan": shape, "simulator": f"Verilator {verilator.version()}"}
    old = files.read_json(PATH) if PATH.is_file() else []
    files.write_json(PATH, [*old, *(told | row for row in rows)])
    for row in rows:
        print(told | row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
