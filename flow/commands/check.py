"""``intaglio check``: the float ModelGraph against stored reference outputs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow import stored
from flow.arrays import check_tokens, read_npz
from flow.checkpoint import locate
from flow.data import Weights
from rtl_gen import reference
from rtl_gen.adapter.apply import merge
from rtl_gen.adapter.reader import load_adapter
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.ir.model import ModelGraph

TOLERANCE = 1e-4

EPILOG = """\
Runs the model on the arrays in_* of the file and compares every output stored under its Hugging
Face name (<name>_f64 is preferred over <name>). A greedy continuation greedy_ids is compared too.
Prints one JSON object; exit status 0 if everything agrees, 1 if not, 2 if it cannot be compared.

examples:
  intaglio check models/names --reference reference.npz
  intaglio check models/names --reference reference.npz --tolerance 1e-6 | jq .max_abs_err
  intaglio check base --adapter base/lora --reference base/lora/reference.npz   with a PEFT adapter
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "check",
        help="compare the float model with stored reference outputs",
        description="Compare the float model with stored reference outputs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="CKPT", help="folder, .safetensors file or hub id")
    parser.add_argument("--reference", metavar="FILE", type=Path, required=True, help=".npz file")
    parser.add_argument(
        "--adapter", metavar="DIR", type=Path, help="apply this PEFT LoRA adapter to the model"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="largest accepted absolute error (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare and print; 0 if the model agrees with the reference, else 1."""
    checkpoint = open_checkpoint(locate(args.checkpoint))
    graph = import_model(checkpoint)
    weights = reference.load_weights(graph, checkpoint)
    if args.adapter is not None:
        graph, weights = merge(graph, weights, load_adapter(args.adapter, graph, weights))
    arrays = read_npz(args.reference)
    outputs = stored.differences(graph, weights, checkpoint, arrays, args.reference)
    worst = max(item.max_abs_err for item in outputs.values())
    result: dict[str, object] = {
        "max_abs_err": _finite(worst),
        "rel_err": _finite(max(item.rel_err for item in outputs.values())),
        "ok": worst <= args.tolerance,
        "tolerance": args.tolerance,
        "outputs": {
            name: {"max_abs_err": _finite(item.max_abs_err), "rel_err": _finite(item.rel_err)}
            for name, item in outputs.items()
        },
    }
    if graph.vocabulary and graph.encoder is None and "greedy_ids" in arrays:
        where = f"{args.reference}: greedy_ids"
        expected_ids = check_tokens(graph, arrays["greedy_ids"], where)
        start = arrays["in_input_ids"].shape[1]
        agree, total = greedy(graph, weights, expected_ids, start, args.tolerance)
        result["greedy_ids"] = {"agree": agree, "total": total}
        result["ok"] = bool(result["ok"]) and agree == total
    print(json.dumps(result, indent=2, allow_nan=False))
    return 0 if result["ok"] else 1


def greedy(
    graph: ModelGraph,
    weights: Weights,
    expected: NDArray[np.int64],
    start: int,
    tolerance: float,
) -> tuple[int, int]:
    """Count tokens of a greedy continuation that the model would choose too.

    Every token is judged given the stored ones before it, up to a row's first eos. A token whose
    logit is within twice `tolerance` of the largest is a tie and agrees: errors within `tolerance`
    could have decided it.

    Returns
    -------
    agree, total : int
    """
    ids = expected[:, : graph.context + 1]
    logits = reference.run(graph, weights, {"input_ids": ids[:, :-1]})["logits"][:, start - 1 :]
    chosen = ids[:, start:]
    eos = np.isin(chosen, graph.eos)
    ended = eos.cumsum(1) > eos
    picked = np.take_along_axis(logits, chosen[..., None], -1)[..., 0]
    agree = picked >= logits.max(-1) - 2 * tolerance
    return int(np.sum(agree & ~ended)), int(np.sum(~ended))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
