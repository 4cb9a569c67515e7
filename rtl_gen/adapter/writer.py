"""An adapter as PEFT would save it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from rtl_gen.adapter.reader import CONFIG, WEIGHTS, LoraPair, modules
from rtl_gen.errors import UnsupportedError
from rtl_gen.ir import model as real


def to_files(graph: real.ModelGraph, pairs: Mapping[str, LoraPair]) -> dict[str, bytes]:
    """Contents of ``adapter_config.json`` and ``adapter_model.safetensors``.

    The scale is 1 (alpha equals the rank). Factors are float32.

    Parameters
    ----------
    graph : ModelGraph
        The base.
    pairs : mapping of str to LoraPair
        By node.

    Raises
    ------
    UnsupportedError
        If a module is computed by several nodes: PEFT adapts it as one.
    """
    places = modules(graph)
    owners = {node.name: (name, len(nodes)) for name, nodes in places.items() for node in nodes}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = bytearray()
    ranks: dict[str, int] = {}
    for node, pair in pairs.items():
        module, count = owners[node]
        if count > 1:
            raise UnsupportedError(
                f"node {node}: its tensor {module!r} holds {count} matrices, which PEFT adapts as "
                "one; adapt the others, or merge the change into a new chip"
            )
        ranks[module] = pair.rank
        for side, data in (("A", pair.a), ("B", pair.b)):
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
