"""``intaglio adapt``: what changed between two checkpoints, as an adapter of the older one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from flow import adapters, config, data, files, text
from flow.checkpoint import locate
from flow.config import Data
from rtl_gen import reference
from rtl_gen.adapter.apply import merge
from rtl_gen.adapter.factor import difference
from rtl_gen.adapter.reader import LoraAdapter
from rtl_gen.adapter.writer import to_files
from rtl_gen.checkpoint import Checkpoint, import_model, open_checkpoint
from rtl_gen.errors import ConfigError, UnsupportedError
from rtl_gen.ir.model import ModelGraph
from rtl_gen.quantize import Examples, score
from rtl_gen.quantize.calibrate import trace

EPILOG = """\
Factors the difference of the matrices into an adapter of the given rank: the best one for the
outputs over calibration data. These are the text of --text or the arrays of --npz, else the data
of --model, else what the new checkpoint writes itself. Prints one JSON object, and what matters
of it on standard error:

  tensors   for each: share of its change that the adapter holds (1 is all), of the weights and
            of the product over the data; rank of the whole change
  outside   what changed and no adapter can hold: embeddings, norms, biases
  logits    how far the old network's are from the new one's, without and with the adapter;
            captured: share of the squared distance that is gone
  loss      (or accuracy) on held-out data of the old, the adapted and the new network;
            captured: share of what the new one gains that the adapter brings

A captured share near 1 says: load an adapter. A small one, or much outside, says: etch a new chip.
All of it is in float and of the network; `intaglio adapter pack` quantizes the adapter, which is
written as PEFT would, and says what it does on the chip.

examples:
  intaglio adapt models/names ../retrained --rank 8 --output names-update
  intaglio adapt models/names ../retrained --rank 4 --model names_lora --output names-update
  intaglio adapt base base-finetuned --rank 16 --text play.txt | jq .loss.captured
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
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--text", metavar="PATH", help="text that the change is meant for")
    source.add_argument("--npz", metavar="PATH", help="arrays that the change is meant for")
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
    model = config.load_model(config.model_file(args.model)) if args.model else None
    patterns = (model.adapters.tensors if model else ()) or ("*",)
    found = _data(args, model, other, new, newer)
    inputs = trace(other, new, found.calibration)
    counted = found.calibration.counted()
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
        "data": found.description,
    }
    if "logits" in graph.outputs:
        adapted = merge(graph, old, LoraAdapter("difference", "", pairs))
        networks = ((graph, old), adapted, (other, new))
        report |= _compared(networks, found.evaluation)
    print(json.dumps(report, indent=2))
    print(_told(report), file=sys.stderr)
    if args.output is not None and not pairs:
        raise UnsupportedError(
            f"{args.output}: not written: no matrix changed from {args.old} to {args.new} that an "
            "adapter could hold"
        )
    if args.output is not None:
        for file, content in to_files(graph, pairs).items():
            files.write(args.output / file, content)
        print(f"  wrote {args.output}", file=sys.stderr)
    return 0


def _compared(
    networks: Sequence[tuple[ModelGraph, adapters.Weights]], held_out: Examples
) -> dict[str, dict[str, float]]:
    """Logits and loss of the old, the adapted and the new network."""
    item = next(item for item in networks[0][0].inputs if item.kind != "position")
    logits = [
        reference.run(network, weights, {item.name: held_out.inputs})["logits"]
        for network, weights in networks
    ]
    counted = held_out.counted()
    flat = [found.reshape(-1, found.shape[-1])[counted] for found in logits]
    before, after = (float(((found - flat[2]) ** 2).mean()) for found in flat[:2])
    report = {
        "logits": {
            "old_to_new_rms": before**0.5,
            "adapted_to_new_rms": after**0.5,
            "captured": 1 - after / before if before else 1.0,
        }
    }
    scores = [score(found, held_out) for found in logits]
    if all(scores):
        names, (a, b, c) = zip(*(found for found in scores if found), strict=True)
        report[names[0]] = {"old": a, "adapted": b, "new": c}
        if a != c:
            report[names[0]]["captured"] = (a - b) / (a - c)
    return report


def _told(report: Mapping[str, Any]) -> str:
    """What a user decides by, in a few lines."""
    lines = []
    if not report["tensors"] and not report["outside"]:
        return "  the checkpoints hold the same weights: there is nothing to adapt"
    if "logits" in report:
        share = report["logits"]["captured"]
        lines.append(f"rank {report['rank']}, {report['parameters']:,} numbers: {share:.1%} of the "
                     "change of the logits captured")  # fmt: skip
    for measure in ("loss", "accuracy"):
        if measure in report:
            found = dict(report[measure])
            gained = found.pop("captured", None)
            named = ", ".join(f"{value:.4f} {name}" for name, value in found.items())
            lines.append(
                f"{measure}: {named}" + ("" if gained is None else f"; {gained:.1%} captured")
            )
    shares = {name: item["outputs"] for name, item in report["tensors"].items()}
    if shares:
        least, most = (choose(shares, key=shares.__getitem__) for choose in (min, max))
        lines.append(f"of a product's change from {shares[least]:.1%} ({least}) "
                     f"to {shares[most]:.1%} ({most})")  # fmt: skip
    if report["outside"]:
        first, rest = report["outside"][:3], len(report["outside"]) - 3
        lines.append(f"changed, but in no adapter: {', '.join(first)}"
                     + (f" and {rest} more" if rest > 0 else ""))  # fmt: skip
    return "\n".join(f"  {line}" for line in lines)


def _data(
    args: argparse.Namespace, model: config.ModelConfig | None,
    graph: ModelGraph, weights: adapters.Weights, checkpoint: Checkpoint,
) -> data.Dataset:  # fmt: skip
    """Data of the new network `graph`: as given, as configured, or written by itself."""
    settings = model.data if model else Data("generated", "", 32, 16, min(graph.context, 128))
    if args.text or args.npz:
        kind, path = ("text", args.text) if args.text else ("npz", args.npz)
        settings = replace(settings, kind=kind, path=path)
    elif not model:
        return _generated(graph, weights)
    kind_of_text = model.tokenizer if model else "auto"
    tokenizer = (
        text.load(kind_of_text, locate(args.old), graph.vocabulary) if graph.vocabulary else None
    )
    return data.load(settings, graph, weights, checkpoint, tokenizer)


def _generated(graph: ModelGraph, weights: adapters.Weights) -> data.Dataset:
    """Text that the new network writes, or noise for one that reads frames."""
    if not graph.vocabulary:
        (shape,) = (item.shape for item in graph.inputs if item.kind == "frame")
        noise = np.random.default_rng(data.SEED).normal(size=(64, *shape))
        return data.Dataset(Examples(noise[:32]), Examples(noise[32:]), "64 frames of noise")
    settings = Data("generated", "", 32, 16, min(graph.context, 128))
    return data.generated(settings, graph, weights, settings.length)
