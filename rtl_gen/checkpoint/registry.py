"""Which importer reads a checkpoint: one file in ``importers/`` per architecture."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib import import_module

from rtl_gen.checkpoint import importers
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.safetensors import shown
from rtl_gen.errors import UnsupportedError
from rtl_gen.ir.model import ModelGraph

Importer = Callable[[Checkpoint], ModelGraph]


@cache
def registry() -> dict[str, Importer]:
    """Find the importer of every known architecture.

    Every module in ``rtl_gen/checkpoint/importers`` defines ``ARCHITECTURES``, the names in
    ``config["architectures"]`` it answers to, and ``import_graph(checkpoint) -> ModelGraph``.
    """
    found: dict[str, Importer] = {}
    for info in pkgutil.iter_modules(importers.__path__):
        module = import_module(f"{importers.__name__}.{info.name}")
        for architecture in module.ARCHITECTURES:
            if architecture in found:
                raise ValueError(f"two importers claim {architecture}, one is {info.name}.py")
            found[architecture] = module.import_graph
    return found


def architecture_of(checkpoint: Checkpoint) -> str:
    """Name in ``config["architectures"]``, or ``Graph`` for a config that lists its layers.

    Raises
    ------
    UnsupportedError
        If config.json names no architecture and lists no layers.
    """
    names = checkpoint.config.get("architectures")
    if isinstance(names, list) and len(names) == 1 and isinstance(names[0], str):
        return names[0]
    if not names and isinstance(checkpoint.config.get("layers"), list):
        return "Graph"
    raise UnsupportedError(
        f"{checkpoint.config_file}: architectures: expected a list of one name, found "
        f"{shown(names)} (known: {', '.join(sorted(registry()))}); or list the network's layers "
        "under the key layers"
    )


def import_model(checkpoint: Checkpoint) -> ModelGraph:
    """Network of a checkpoint as a ModelGraph.

    Every tensor is accounted for and has the shape that config.json asks for.

    Raises
    ------
    UnsupportedError
        If the architecture or a value in config.json has no representation.
    CheckpointError
        If config.json is wrong, or tensors are missing, left over or of another shape.
    """
    architecture = architecture_of(checkpoint)
    importer = registry().get(architecture)
    if importer is None and isinstance(checkpoint.config.get("layers"), list):
        importer = registry()["Graph"]
    if importer is None:
        near = get_close_matches(architecture, registry(), n=1, cutoff=0.5)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise UnsupportedError(
            f"{checkpoint.config_file}: no importer for architecture {shown(architecture)}{hint} "
            f"(known: {', '.join(sorted(registry()))}); docs/adding-an-architecture.md shows how "
            "to add one"
        )
    return importer(checkpoint)
