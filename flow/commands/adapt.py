"""``intaglio adapt``: what changed between two checkpoints, as an adapter of the older one."""

from __future__ import annotations

import argparse
import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from flow import adapters, config, data, files
from flow.checkpoint import locate
from flow.config import Data
from rtl_gen import reference
from rtl_gen.adapter.apply import merge
from rtl_gen.adapter.factor import difference
from rtl_gen.adapter.reader import LoraAdapter
from rtl_gen.adapter.writer import to_files
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import ConfigError, UnsupportedError
from rtl_gen.ir.model import ModelGraph
from rtl_gen.quantize import Examples
from rtl_gen.quantize.calibrate import trace

EPILOG = """\
Factors the difference of the matrices into an adapter of the given rank: the best one for the
outputs over calibration data that the new checkpoint writes itself, or over the data of --model.
Prints one JSON object: for every tensor how much of its change the adapter holds (1 is all), what
changed outside of it, and how far the adapted old network's logits are from the new one's.
The adapter is written as PEFT would; `intaglio adapter pack` makes a chip's image of it.

examples:
  intaglio adapt models/names ../retrained --rank 8 --output names-update
  intaglio adapt models/names ../retrained --rank 4 --model names --output names-update
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "adapt",
        help="factor the difference of two checkpoints into an adapter",
        description="Factor the difference of two checkpoints into an adapter of the older one.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", help="checkpoint that the chip was made from")
    parser.add_argument("new", metavar="NEW", help="checkpoint with the changed weights")
    parser.add_argument("--rank", type=int, required=True, help="rank of the adapter")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the adapter")
    parser.add_argument(
        "--model", help="adapt the tensors of this model's adapters section, with its data"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Factor, report, write; always 0."""
    if args.rank < 1:
        raise ConfigError(f"--rank: expected at least 1, found {args.rank}")
    checkpoint = open_checkpoint(locate(args.old))
    graph = import_model(checkpoint)
    old = reference.load_weights(graph, checkpoint)
    newer = open_checkpoint(locate(args.new))
    other = import_model(newer)
    if other.nodes != graph.nodes:
        raise UnsupportedError(
            f"{args.new}: the network differs from {args.old} in more than its weights; an adapter "
            "holds changes of weights only: etch a new chip"
        )
    new = reference.load_weights(other, newer)
    patterns: tuple[str, ...] = ("*",)
    if args.model:
        model = config.load_model(config.model_file(args.model))
        patterns = model.adapters.tensors or patterns
        base = adapters.open_base(model, locate(args.old))
        found = data.load(model.data, other, new, newer, base.tokenizer)
        examples, held_out = found.calibration, found.evaluation
    else:
        examples, held_out = _generated(graph, new)
    inputs = trace(other, new, examples)
    counted = examples.counted()
    pairs, shares, left = difference(
        graph, old, new, {name: value[counted] for name, value in inputs.items()}, args.rank,
        lambda node: any(fnmatchcase(node, pattern) for pattern in patterns),
    )  # fmt: skip
    report = {
        "rank": args.rank,
        "tensors": {
            name: {"weights": share.weights, "outputs": share.outputs, "full_rank": share.rank}
            for name, share in shares.items()
        },
        "outside": left,
        "parameters": sum(pair.a.size + pair.b.size for pair in pairs.values()),
    }
    if pairs and "logits" in graph.outputs:
        adapter = LoraAdapter("difference", "", pairs)
        merged, weights = merge(graph, old, adapter)
        name = next(item.name for item in graph.inputs if item.kind != "position")
        logits = [
            reference.run(network, numbers, {name: held_out.inputs})["logits"]
            for network, numbers in ((graph, old), (merged, weights), (other, new))
        ]
        away = [float(((item - logits[2]) ** 2).mean()) for item in logits[:2]]
        report["logits"] = {
            "old_to_new_rms": away[0] ** 0.5,
            "adapted_to_new_rms": away[1] ** 0.5,
            "captured": 1 - away[1] / away[0] if away[0] else 1.0,
        }
    print(json.dumps(report, indent=2))
    if args.output is not None:
        for file, content in to_files(graph, pairs).items():
            files.write(args.output / file, content)
        print(f"  wrote {args.output}", file=sys.stderr)
    return 0


def _generated(graph: ModelGraph, weights: adapters.Weights) -> tuple[Examples, Examples]:
    """Text that the new network writes, or noise for one that reads frames."""
    if not graph.vocabulary:
        (shape,) = (item.shape for item in graph.inputs if item.kind == "frame")
        noise = np.random.default_rng(data.SEED).normal(size=(64, *shape))
        return Examples(noise[:32]), Examples(noise[32:])
    settings = Data("generated", "", 32, 16, min(graph.context, 128))
    found = data.generated(settings, graph, weights, settings.length)
    return found.calibration, found.evaluation
