"""What evidence is about: files of one model and target, and digests of them or of parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flow import checkpoint, config, digest, files
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
    "routed": "{model}/{target}/seed{seed}/routed.json",
    "config": "{model}/{target}/seed{seed}/top.config",
    "empty_routed": "{model}/{target}/seed{seed}/job/routed.json",
    "empty_config": "{model}/{target}/seed{seed}/job/top.config",
    "timing": "{model}/{target}/seed{seed}/timing.json",
    "gds": "{model}/{target}/chip.gds",
    "layout": "{model}/{target}/layout.json",
    "gates": "{model}/{target}/netlist.v",
    "cell_models": "pdk/c4m_sky130/cells.v",
    "library": "pdk/c4m_sky130/library.json",
}
"""Files by name, below the folder of results."""

VIEWS: Mapping[str, str] = {
    "architecture": "chip.v, or what manifest.json says beside the constants,",
    "netlist_structure": "netlist.json without the words of its ROMs",
    "skeleton": "the graph without its constants",
    "checkpoint": "the checkpoint",
    "held_out": "the held-out data, the tokenizer or the stored reference",
    "bound": "`quantize.loss_increase` of the model's configuration",
}
"""Digests of less than a file, or of more: what each is of."""

PROGRAM = (
    "flow/evidence", "flow/adapters.py", "flow/arrays.py", "flow/checkpoint.py", "flow/checks.py",
    "flow/config.py", "flow/data.py", "flow/digest.py", "flow/ecp5.py", "flow/files.py",
    "flow/graph.py", "flow/quantize.py", "flow/schemas", "flow/stored.py", "flow/text.py",
    "flow/tools",
    "rtl_gen/adapter", "rtl_gen/checkpoint", "rtl_gen/errors.py", "rtl_gen/golden", "rtl_gen/ir",
    "rtl_gen/passes", "rtl_gen/quantize", "rtl_gen/reference",
)  # fmt: skip
"""Program text that obligations run. What faults are planted with is not part of it."""

REFERENCE = "reference.npz"
"""Beside a checkpoint: outputs that another implementation computed from it."""


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
            case "held_out":
                return self._held_out()
            case "bound":
                return identity(
                    config.load_model(config.model_file(self.model)).quantize.loss_increase
                )
        path = self.path(name)
        if path.is_dir():
            return digest.tree(path, path.rglob("*"))
        if not path.is_file():
            raise EvidenceError(f"{path}: no such file; build it with `snakemake {path}`")
        return digest.file(path)

    def described(self, name: str) -> str:
        """What a person calls a file or a view."""
        return VIEWS[name] if name in VIEWS else str(self.path(name))

    def _held_out(self) -> str:
        """Digest of what the float side is compared on: data, tokenizer, stored reference."""
        model = config.load_model(config.model_file(self.model))
        paths = [Path(model.data.path)] if model.data.path else []
        if self.checkpoint is not None:
            folder = self.checkpoint if self.checkpoint.is_dir() else self.checkpoint.parent
            paths += [folder / "tokenizer.json", folder / REFERENCE]
        found = [
            digest.tree(path, path.rglob("*")) if path.is_dir() else digest.file(path)
            for path in paths if path.exists()
        ]  # fmt: skip
        return identity([asdict(model.data), model.tokenizer, found])

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
        """The placed and routed netlist of the board.

        Raises
        ------
        EvidenceError
            If the file holds none.
        """
        found = design.read(self.path("routed"))
        if "top" not in found:
            raise EvidenceError(f"{self.path('routed')}: no module top; build it again")
        return found["top"]


def program() -> str:
    """Digest of the program text that evidence comes from."""
    return digest.sources(*PROGRAM)


def identity(values: object) -> str:
    """Digest of a JSON value, hexadecimal SHA-256."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
