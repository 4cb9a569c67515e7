"""An adapter as PEFT would save it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rtl_gen.adapter.reader import CONFIG, WEIGHTS, LoraPair, modules, weight_of
from rtl_gen.errors import UnsupportedError
from rtl_gen.ir import model as real


def to_files(graph: real.ModelGraph, pairs: Mapping[str, LoraPair]) -> dict[str, bytes]:
    """Contents of ``adapter_config.json`` and ``adapter_model.safetensors``.

    The scale is 1 (alpha equals the rank). Factors are float32. Updates of the parts of one tensor
    (queries, keys and values of GPT-2) become one, whose rank is the sum of theirs.

    Parameters
    ----------
    graph : ModelGraph
        The base.
    pairs : mapping of str to LoraPair
        By node.

    Raises
    ------
    UnsupportedError
        If several nodes read one tensor otherwise: PEFT adapts it as one.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = bytearray()
    ranks: dict[str, int] = {}
    for module, nodes in modules(graph).items():
        if not any(node.name in pairs for node in nodes):
            continue
        whole = _joined(module, nodes, pairs)
        ranks[module] = whole.rank
        b = whole.b[:, :, None, None] if whole.a.ndim == 4 else whole.b
        for side, data in (("A", whole.a), ("B", b)):
            stored = np.ascontiguousarray(data, "<f4").tobytes()
            header[f"base_model.model.{module}.lora_{side}.weight"] = {
                "dtype": "F32",
                "shape": list(data.shape),
                "data_offsets": [len(body), len(body) + len(stored)],
            }
            body += stored
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    most = max(ranks.values(), default=1)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if graph.vocabulary else None,
        "r": most,
        "lora_alpha": most,
        "rank_pattern": {name: rank for name, rank in ranks.items() if rank != most},
        "alpha_pattern": {name: rank for name, rank in ranks.items() if rank != most},
        "target_modules": sorted(ranks),
        "use_rslora": False,
        "use_dora": False,
        "bias": "none",
        "modules_to_save": None,
        "init_lora_weights": True,
        "inference_mode": True,
    }
    return {
        CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
        WEIGHTS: len(text).to_bytes(8, "little") + text + bytes(body),
    }


def _joined(module: str, nodes: Sequence[real.Node], pairs: Mapping[str, LoraPair]) -> LoraPair:
    """Update of the whole tensor of a module."""
    if len(nodes) == 1:
        return pairs[nodes[0].name]
    rows = {node.name: ref.rows for node in nodes if (ref := weight_of(node.op)) is not None}
    ends = sorted(item for item in rows.values() if item is not None)
    edges = [end for _, end in ends[:-1]]
    if len(ends) < len(nodes) or [start for start, _ in ends] != [0, *edges]:
        raise UnsupportedError(
            f"node {nodes[0].name}: its tensor {module!r} is read by {len(nodes)} nodes, not in "
            "parts of its own each, and PEFT adapts it as one; adapt the others, or merge the "
            "change into a new chip"
        )
    parts = {name: pair for name in rows if (pair := pairs.get(name)) is not None}
    b = np.zeros((ends[-1][1], sum(pair.rank for pair in parts.values())))
    first = 0
    for name, pair in parts.items():
        start, end = rows[name] or (0, 0)
        b[start:end, first : first + pair.rank] = pair.b
        first += pair.rank
    return LoraPair(np.concatenate([pair.a for pair in parts.values()]), b)
