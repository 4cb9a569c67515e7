"""A chip as text, and what every manifest says of it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from rtl_gen.ir import integer as ir
from rtl_gen.ir.range import accumulator
from rtl_gen.ir.work import work
from rtl_gen.plan import Plan


@dataclass(frozen=True, slots=True)
class Emitted:
    """A chip as text.

    Parameters
    ----------
    verilog : str
        Module ``chip`` and what it needs; reads its ROM images by the names in `images`.
    images : dict of str to str
        Path relative to the Verilog (``rom/<name>.hex``) to contents.
    manifest : dict
        What the chip is; JSON-serializable.
    """

    verilog: str
    images: dict[str, str]
    manifest: dict[str, Any]


def identity_of(graph: ir.IntegerGraph, verilog: str, files: dict[str, str]) -> str:
    """SHA-256 over the checkpoint's digest, the Verilog and every other ROM image."""
    digest = hashlib.sha256()
    for part in (graph.origin.get("checkpoint", ""), verilog, *(files[n] for n in sorted(files))):
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


def value(of: ir.Value) -> dict[str, Any]:
    """Type, shape and scale of a value."""
    return {"type": str(of.type), "shape": list(of.shape), "scale": of.scale}


def common(graph: ir.IntegerGraph, plan: Plan, identity: str) -> dict[str, Any]:
    """Keys of the manifest that say what is computed, whatever computes it."""
    samples = [node for node in graph.nodes if isinstance(node.op, ir.Sample)]
    beta = None
    if samples:
        assert isinstance(samples[0].op, ir.Sample)
        scale = graph.value(samples[0].inputs[0]).scale
        beta = scale * 2.0 ** (8 + samples[0].op.shift)
    products = (ir.ConstMatVec, ir.ExpertMatVec, ir.Conv2d, ir.Embedding)
    return {
        "name": "chip",
        "architecture": graph.architecture,
        "kind": "token" if graph.vocabulary else "frame",
        "inputs": {item.name: {"kind": item.kind} | value(item.value) for item in graph.inputs},
        "outputs": {
            name: value(graph.value(source)) for name, source in sorted(graph.outputs.items())
        },
        "vocabulary": graph.vocabulary,
        "context": graph.context,
        "bos": list(graph.bos),
        "eos": list(graph.eos),
        **({"replay": graph.replay} if graph.replay else {}),
        "beta_per_unit_temperature": beta,
        "identity": identity,
        "weights": asdict(work(graph)),
        "origin": dict(graph.origin),
        "plan": asdict(plan) | {"styles": dict(plan.styles)},
        "accumulators": {
            node.name: str(accumulator(node, graph))
            for node in graph.nodes
            if isinstance(node.op, products)
        },
    }
