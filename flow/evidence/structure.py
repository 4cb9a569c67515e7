"""Digests of what stays when only the constants of a chip change."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
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

_WORDS = re.compile(
    r"^\.bram_init \d+\n(?:[0-9a-f ]+\n)*|^word: SLICE[A-D]\.K[01]\.INIT [01]+\n"
    r"|^enum: SLICE[A-D]\.REG[01]\.REGSET \w+\n",
    re.MULTILINE,
)


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
    """Digest of a netlist (Yosys JSON) without the words of its ROMs.

    Those are initial values of block RAMs, and truth tables in a module that reads an image: all of
    them reach its words, which ``provenance.netlist`` compares.

    Raises
    ------
    EvidenceError
        If the file is absent or of another form.
    """

    def bare(modules: dict[str, Any]) -> dict[str, Any]:
        for module in modules.values():
            is_rom = bool(module.get("parameter_default_values", {}).get("FILE"))
            for cell in module["cells"].values():
                if cell["type"] == "DP16KD":
                    _leave_out(cell, "INITVAL_")
                if cell["type"] == "LUT4" and is_rom:
                    _leave_out(cell, "INIT")
        return modules

    return _of_modules(path, bare)


def of_routed(path: Path) -> str:
    """Digest of a routed netlist (nextpnr JSON) without words, truth tables and reset values.

    No delay depends on those; ``provenance.routed`` and ``structure.routed`` compare them.

    Raises
    ------
    EvidenceError
        If the file is absent or of another form.
    """

    def bare(modules: dict[str, Any]) -> dict[str, Any]:
        for cell in modules["top"]["cells"].values():
            _leave_out(cell, "INITVAL", "REGSET")
        return modules

    return _of_modules(path, bare)


def of_config(path: Path) -> str:
    """Digest of a routed configuration without words, truth tables and reset values.

    Raises
    ------
    EvidenceError
        If the file is absent.
    """
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise EvidenceError(f"{path}: no such file; build it with `snakemake {path}`") from error
    return _digest(_WORDS.sub("", text))


def _leave_out(cell: dict[str, Any], *prefixes: str) -> None:
    cell["parameters"] = {
        name: value for name, value in cell["parameters"].items() if not name.startswith(prefixes)
    }


def _of_modules(path: Path, bare: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    try:
        return _digest(bare(json.loads(path.read_text())["modules"]))
    except FileNotFoundError as error:
        raise EvidenceError(f"{path}: no such file; build it with `snakemake {path}`") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(f"{path}: not a netlist as Yosys writes it ({error!r})") from error


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
