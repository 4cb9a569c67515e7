"""Adapters of a model in the flow: what the configuration names, and images as files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow import data, files, text
from flow.config import Data, ModelConfig, Trained
from rtl_gen import reference
from rtl_gen.adapter import image
from rtl_gen.adapter.apply import beside, merge
from rtl_gen.adapter.pack import pack
from rtl_gen.adapter.reader import LoraAdapter, load_adapter
from rtl_gen.adapter.region import Regions, insert
from rtl_gen.checkpoint import Checkpoint, import_model, open_checkpoint
from rtl_gen.errors import CheckpointError, ConfigError
from rtl_gen.ir.adapter import AdapterImage
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.ir.model import ModelGraph, TensorRef
from rtl_gen.quantize import Examples, Part, quality

Weights = Mapping[TensorRef, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Base:
    """A checkpoint opened with what its adapters need.

    Parameters
    ----------
    checkpoint : Checkpoint
    graph : ModelGraph
        Without adapter regions.
    weights : mapping of TensorRef to float64
    tokenizer : Tokenizer or None
    """

    checkpoint: Checkpoint
    graph: ModelGraph
    weights: Weights
    tokenizer: text.Tokenizer | None


def open_base(model: ModelConfig, path: Path) -> Base:
    """Open the checkpoint at `path` as `model` says."""
    checkpoint = open_checkpoint(path)
    graph = import_model(checkpoint)
    tokenizer = text.load(model.tokenizer, path, graph.vocabulary) if graph.vocabulary else None
    return Base(checkpoint, graph, reference.load_weights(graph, checkpoint), tokenizer)


def regions(model: ModelConfig) -> Regions:
    """Adapter memory of the model's chip."""
    wanted = model.adapters
    return Regions(wanted.tensors, wanted.rank, wanted.bits, wanted.hidden_bits, wanted.slots)


def dataset(base: Base, adapter: LoraAdapter, settings: Data) -> data.Dataset:
    """Data of an adapter; ``generated`` ones are written by the adapted float model."""
    graph, weights = merge(base.graph, base.weights, adapter)
    return data.load(settings, graph, weights, base.checkpoint, base.tokenizer)


def trained(model: ModelConfig, name: str) -> Trained:
    """Entry of ``adapters.trained`` called `name`.

    Raises
    ------
    ConfigError
        If there is none.
    """
    found = [item for item in model.adapters.trained if item.name == name]
    if found:
        return found[0]
    known = ", ".join(item.name for item in model.adapters.trained) or "none"
    raise ConfigError(
        f"adapter {name!r}: {model.name} names no such adapter under adapters.trained (known: "
        f"{known}); pack one with `intaglio adapter pack {model.name} FOLDER`"
    )


@dataclass(frozen=True, slots=True)
class Known:
    """An adapter that the configuration names, with its data."""

    name: str
    adapter: LoraAdapter
    data: data.Dataset


def all_trained(model: ModelConfig, base: Base) -> list[Known]:
    """Every adapter under ``adapters.trained``."""
    found = []
    for item in model.adapters.trained:
        adapter = load_adapter(Path(item.path), base.graph, base.weights)
        found.append(Known(item.name, adapter, dataset(base, adapter, item.data)))
    return found


def with_regions(
    model: ModelConfig, base: Base, known: list[Known]
) -> tuple[ModelGraph, list[Part]]:
    """The network with its regions, and what calibration runs beside the base."""
    graph = insert(base.graph, regions(model))
    parts = [
        Part(beside(graph, base.weights, item.adapter), item.data.calibration) for item in known
    ]
    return graph, parts


def measured(
    base: Base, graph: IntegerGraph, adapter: LoraAdapter, packed: AdapterImage, examples: Examples
) -> dict[str, float]:
    """Quality of the integer chip with an adapter against the float model with it.

    ``quality__loss__base`` (or ``accuracy``) is the float model's without the adapter, on the
    adapter's data.
    """
    merged, weights = merge(base.graph, base.weights, adapter)
    found = quality(merged, weights, graph, examples, adapter=packed)
    alone = quality(base.graph, base.weights, graph, examples)
    for key in ("quality__loss", "quality__accuracy"):
        if f"{key}__float" in alone:
            found[f"{key}__base"] = alone[f"{key}__float"]
    return found


def pack_folder(
    model: ModelConfig, base: Base, graph: IntegerGraph, folder: Path, settings: Data
) -> tuple[AdapterImage, LoraAdapter, data.Dataset]:
    """Pack the PEFT adapter in `folder`; `settings` say what data it is meant for.

    Raises
    ------
    CheckpointError
        If `base` is not what `graph` was made from.
    """
    made, given = graph.origin.get("checkpoint", ""), base.checkpoint.digest
    if made != given:
        raise CheckpointError(
            f"{base.checkpoint.path}: the chip of {model.name} is of another checkpoint (digest "
            f"{made[:16]}…, this one {given[:16]}…); an adapter's integers fit one base only: give "
            "that checkpoint, or quantize this one"
        )
    adapter = load_adapter(folder, base.graph, base.weights)
    found = dataset(base, adapter, settings)
    return pack(graph, adapter, found.calibration), adapter, found


def image_file(results: Path, model: str, name: str) -> Path:
    """Where the image called `name` lies.

    Raises
    ------
    ConfigError
        If `name` would lie elsewhere.
    """
    if not re.fullmatch(r"[\w+ .-]+", name) or name.startswith("."):
        raise ConfigError(
            f"{name!r} is not a name for an image: expected letters, digits, spaces or any of "
            "+ . _ -, and no dot first; choose one with --name"
        )
    return results / model / "adapters" / f"{name}{image.SUFFIX}"


def save(path: Path, packed: AdapterImage, graph: IntegerGraph) -> None:
    """Write an image, atomically."""
    files.write(path, image.to_bytes(packed, graph))
