"""``intaglio inspect``: what a checkpoint holds, and what would be refused and why."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flow.checkpoint import locate
from rtl_gen.checkpoint import Checkpoint, architecture_of, import_model, open_checkpoint
from rtl_gen.errors import FlowError
from rtl_gen.ir.model import ModelGraph
from rtl_gen.reference.interpreter import tensors

EPILOG = """\
Exit status 0 if the checkpoint can be etched, 1 if something in it is refused.

examples:
  intaglio inspect models/names
  intaglio inspect models/names/model.safetensors --json | jq .parameters
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "inspect",
        help="show what a checkpoint holds and what would be refused",
        description="Show what a checkpoint holds, and what would be refused and why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="CKPT", help="folder, .safetensors file or hub id")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; 0 if nothing is refused, else 1."""
    path = locate(args.checkpoint)
    try:
        found = describe(open_checkpoint(path))
    except FlowError as error:
        found = {"checkpoint": str(path), "refused": [str(error)]}
    print(json.dumps(found, indent=2) if args.json else _text(found))
    return 1 if found["refused"] else 0


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that can be said about a checkpoint; key ``refused`` lists every reason."""
    refused: list[str] = []
    found: dict[str, Any] = {"checkpoint": str(checkpoint.path)}
    try:
        found["architecture"] = architecture_of(checkpoint)
    except FlowError as error:
        found["architecture"] = None
        refused.append(str(error))
    entries = checkpoint.entries.values()
    total = sum(math.prod(entry.shape) for entry in entries)
    try:
        graph = import_model(checkpoint)
        found |= _network(checkpoint, graph)
    except FlowError as error:
        found["parameters"] = {"total": total}
        if str(error) not in refused:
            refused.append(str(error))
    found["tensors"] = {
        "count": len(entries),
        "bytes": sum(entry.length for entry in entries),
        "dtypes": dict(sorted(Counter(entry.dtype for entry in entries).items())),
    }
    for name in checkpoint.names():
        try:
            checkpoint.tensor(name)
        except FlowError as error:
            refused.append(str(error))
    found["digest"] = checkpoint.digest
    found["refused"] = refused
    return found


def _network(checkpoint: Checkpoint, graph: ModelGraph) -> dict[str, Any]:
    """Operators and parameters; a tensor that two operators share counts once, for the first."""
    kinds: dict[str, str] = {}
    for node in graph.nodes:
        for ref in tensors(node.op):
            kinds.setdefault(ref.name, type(node.op).__name__)
    parameters: Counter[str] = Counter()
    for name, kind in kinds.items():
        parameters[kind] += math.prod(checkpoint.entries[name].shape)
    return {
        "operators": dict(Counter(type(node.op).__name__ for node in graph.nodes)),
        "parameters": {"total": parameters.total(), **parameters},
        "inputs": {item.name: list(item.shape) for item in graph.inputs if item.kind == "frame"},
        "context": graph.context,
        "vocabulary": graph.vocabulary,
        "bos": list(graph.bos),
        "eos": list(graph.eos),
    }


def _text(found: Mapping[str, Any]) -> str:
    lines = [f"{found['checkpoint']}"]

    def add(label: str, text: str) -> None:
        lines.append(f"  {label:<13} {text}")

    if "architecture" in found:
        add("architecture", found["architecture"] or "unknown")
        parameters = dict(found["parameters"])
        total = parameters.pop("total")
        detail = ", ".join(f"{kind} {count:,}" for kind, count in parameters.items())
        add("parameters", f"{total:,}{f' ({detail})' if detail else ''}")
    if "operators" in found:
        add("operators", ", ".join(f"{kind} {count}" for kind, count in found["operators"].items()))
        if found["vocabulary"]:
            ids = {key: ", ".join(map(str, found[key])) or "none" for key in ("bos", "eos")}
            add("vocabulary", f"{found['vocabulary']} tokens, bos {ids['bos']}, eos {ids['eos']}")
            add("context", f"{found['context']} tokens")
        for name, shape in found["inputs"].items():
            add("input", f"{name} {' x '.join(map(str, shape))}")
    if "tensors" in found:
        stored = found["tensors"]
        dtypes = ", ".join(f"{count} {dtype}" for dtype, count in stored["dtypes"].items())
        add("tensors", f"{stored['count']} ({dtypes}), {stored['bytes']:,} bytes")
        add("digest", found["digest"])
    for reason in found["refused"]:
        add("refused", reason)
    if not found["refused"]:
        add("refused", "nothing")
    return "\n".join(lines)
