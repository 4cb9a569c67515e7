"""Small chips of many shapes, and what their memories hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow.evidence.memories import Words
from rtl_gen.emit import Emitted, emit
from rtl_gen.ir.integer import IntegerGraph
from tests.chip import test_experts
from tests.chip.test_shapes import FRAME_MODELS, TOKEN_MODELS, lowered
from tests.harness import seed

ETCHED = tuple(
    name for name, (*_, plan) in (TOKEN_MODELS | test_experts.MODELS).items() if plan.styles
)
"""Chips with matrices wired in space, which no memory holds."""

NAMES = tuple(
    name for name in (*TOKEN_MODELS, *FRAME_MODELS, *test_experts.MODELS) if name not in ETCHED
)


@dataclass(frozen=True)
class Made:
    """A graph and its chip."""

    graph: IntegerGraph
    emitted: Emitted

    @property
    def words(self) -> Words:
        """Bits of the constant memories, from the text of their images."""
        return {
            item["name"]: bits(self.emitted.images[item["image"]], item["width"])
            for item in self.emitted.manifest["memories"]
            if item["class"] == "constant"
        }

    def write(self, folder: Path) -> None:
        """Write ``chip.v`` and ``rom/``."""
        (folder / "rom").mkdir(parents=True)
        (folder / "chip.v").write_text(self.emitted.verilog)
        for name, text in self.emitted.images.items():
            (folder / name).write_text(text)


def make(name: str, folder: Path) -> Made:
    """One of `NAMES`, from a random checkpoint written to `folder`."""
    if name in test_experts.MODELS:
        graph = test_experts.graph_of(name, folder)
        return Made(graph, emit(graph, test_experts.MODELS[name][2]))
    write, overrides, plan = (TOKEN_MODELS | FRAME_MODELS)[name]
    rng = np.random.default_rng(seed())

    def inputs(model: Any) -> Any:
        if model.vocabulary:
            return rng.integers(0, model.vocabulary, (8, model.context))
        return rng.normal(size=(8, *model.inputs[0].shape))

    graph = lowered(write(folder, **overrides), inputs)
    return Made(graph, emit(graph, plan))


def bits(image: str, width: int) -> np.ndarray:
    """Words of an image, the lowest bit first."""
    words = [int(line, 16) for line in image.split()]
    return np.array([[word >> k & 1 for k in range(width)] for word in words], np.uint8)
