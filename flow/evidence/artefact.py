"""What evidence is about: files of one model and target, and digests of them or of parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flow import checkpoint, digest, files
from flow.evidence import design, structure
from flow.evidence.design import Design, EvidenceError
from flow.graph import read as read_graph
from rtl_gen.ir.integer import IntegerGraph

FILES: Mapping[str, str] = {
    "graph": "{model}/quantize/graph.safetensors",
    "quality": "{model}/quantize/metrics.json",
    "chip": "{model}/rtl/chip.v",
    "images": "{model}/rtl/rom",
    "manifest": "{model}/rtl/manifest.json",
    "simulated_rtl": "{model}/verify/metrics.json",
    "netlist": "{model}/{target}/netlist.json",
    "simulated_netlist": "{model}/{target}/verify.json",
    "choice": "{model}/{target}/bitstream.json",
    "bitstream": "{model}/{target}/chip.bit",
    "routed": "{model}/{target}/seed{seed}/job/routed.json",
    "config": "{model}/{target}/seed{seed}/top.config",
    "timing": "{model}/{target}/seed{seed}/timing.json",
    "gds": "{model}/{target}/chip.gds",
    "layout": "{model}/{target}/layout.json",
    "lvs": "{model}/{target}/lvs.json",
    "mapped": "{model}/{target}/synthesis/netlist.json",
    "cell_models": "pdk/c4m_sky130/cells.v",
}
"""Files by name, below the folder of results."""

VIEWS = ("architecture", "netlist_structure", "skeleton", "checkpoint")
"""Digests of less than a file, or of more."""


@dataclass(frozen=True)
class Case:
    """One chip: a model, and a target unless only its RTL is meant.

    Parameters
    ----------
    results : Path
        Folder of results.
    model : str
    target : str
        Empty for the RTL alone.
    checkpoint : Path, optional
        The checkpoint that it was made from.
    """

    results: Path
    model: str
    target: str = ""
    checkpoint: Path | None = None

    def path(self, name: str) -> Path:
        """Where the file called `name` lies."""
        pattern = FILES[name]
        seed = self.choice["seed"] if "{seed}" in pattern else ""
        return self.results / pattern.format(model=self.model, target=self.target, seed=seed)

    def digest(self, name: str) -> str:
        """Digest of a file or of a view.

        Raises
        ------
        EvidenceError
            If the file is absent.
        """
        match name:
            case "architecture":
                return structure.architecture(self.path("chip").read_text(), self.manifest)
            case "netlist_structure":
                return structure.of_netlist(self.path("netlist"))
            case "skeleton":
                return structure.skeleton(self.graph)
            case "checkpoint":
                if self.checkpoint is None:
                    raise EvidenceError("which checkpoint? Give --checkpoint")
                return checkpoint.content_digest(self.checkpoint)
        path = self.path(name)
        if path.is_dir():
            return digest.tree(path, path.rglob("*"))
        if not path.is_file():
            raise EvidenceError(f"{path}: no such file; build it with `snakemake {path}`")
        return digest.file(path)

    def json(self, name: str) -> Any:
        """Content of a JSON file."""
        return files.read_json(self.path(name))

    @cached_property
    def choice(self) -> Mapping[str, Any]:
        """Which place-and-route run became the bitstream."""
        path = self.results / FILES["choice"].format(model=self.model, target=self.target)
        content: Mapping[str, Any] = files.read_json(path)
        return content

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """Content of ``manifest.json``."""
        content: Mapping[str, Any] = self.json("manifest")
        return content

    @cached_property
    def graph(self) -> IntegerGraph:
        """The integer graph."""
        return read_graph(self.path("graph"))

    @cached_property
    def netlist(self) -> Design:
        """The synthesized netlist of the chip."""
        return design.read(self.path("netlist"))

    @cached_property
    def routed(self) -> design.Module:
        """The placed and routed netlist of the board."""
        return design.read(self.path("routed"))["top"]


def program() -> str:
    """Digest of the program text that evidence comes from."""
    return digest.sources("flow/evidence")


def identity(values: object) -> str:
    """Digest of a JSON value, hexadecimal SHA-256."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
