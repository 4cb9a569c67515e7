"""Digests of what stays when only the constants of a chip change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flow.evidence.design import EvidenceError
from rtl_gen.ir.integer import IntegerGraph, Reshape

_OF_CONSTANTS = {
    "identity",
    "origin",
    "accumulators",
    "inputs",
    "outputs",
    "beta_per_unit_temperature",
    "planning",
}
"""Parts of a manifest that say which constants the chip holds, or why it is planned as it is."""


def architecture(verilog: str, manifest: Mapping[str, Any]) -> str:
    """Digest of a chip's Verilog and of its manifest without what the constants decide.

    Contents of ROMs are not part of ``chip.v``, so two chips that differ in weights alone agree.
    """
    rest = {key: value for key, value in manifest.items() if key not in _OF_CONSTANTS}
    return _digest([hashlib.sha256(verilog.encode()).hexdigest(), rest])


def skeleton(graph: IntegerGraph) -> str:
    """Digest of a graph without its constants: nodes, operators, types and shapes of values."""
    return _digest(
        {
            "inputs": [
                [item.name, item.kind, str(item.value.type), item.value.shape]
                for item in graph.inputs
            ],
            "nodes": [
                [node.name, type(node.op).__name__, node.inputs, str(node.value.type),
                 node.value.shape]
                for node in graph.nodes if not isinstance(node.op, Reshape)
            ],
            "constants": {
                name: constant.data.shape for name, constant in graph.constants.items()
            },
            "rest": [dict(graph.outputs), graph.context, graph.vocabulary, graph.bos, graph.eos,
                     graph.replay],
        }
    )  # fmt: skip


def of_netlist(path: Path) -> str:
    """Digest of a netlist (Yosys JSON) without the contents of its block RAMs.

    Raises
    ------
    EvidenceError
        If the file is absent or of another form.
    """
    try:
        modules = json.loads(path.read_text())["modules"]
        for module in modules.values():
            for cell in module["cells"].values():
                if cell["type"] == "DP16KD":
                    cell["parameters"] = {
                        name: value for name, value in cell["parameters"].items()
                        if not name.startswith("INITVAL_")
                    }  # fmt: skip
    except FileNotFoundError as error:
        raise EvidenceError(f"{path}: no such file; build it with `snakemake {path}`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{path}: not a netlist of Yosys ({error!r})") from error
    return _digest(modules)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
