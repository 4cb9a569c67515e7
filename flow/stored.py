"""Outputs that another implementation computed from a checkpoint, in an .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow.arrays import check_block, check_frames, check_tokens
from flow.data import Weights
from rtl_gen import reference
from rtl_gen.checkpoint import Checkpoint
from rtl_gen.errors import ConfigError
from rtl_gen.ir.model import ModelGraph


@dataclass(frozen=True, slots=True)
class Difference:
    """Largest error of one output, absolute and relative to the largest reference value."""

    max_abs_err: float
    rel_err: float


def differences(
    graph: ModelGraph,
    weights: Weights,
    checkpoint: Checkpoint,
    arrays: Mapping[str, NDArray[np.generic]],
    file: Path,
) -> dict[str, Difference]:
    """Run the float network on the stored inputs and compare every stored output.

    Parameters
    ----------
    graph, weights, checkpoint
        The network.
    arrays : mapping
        Content of the file: ``in_<input>``, outputs by name, ``<output>_f64`` preferred.
    file : Path
        For messages.

    Raises
    ------
    ConfigError
        If inputs or outputs are those of another network.
    """
    found = reference.run(graph, weights, model_inputs(graph, checkpoint, arrays, file))
    return {
        name: difference(found[name], expected, f"{file}: {name}")
        for name, expected in expected_outputs(graph, arrays, file).items()
    }


def model_inputs(
    graph: ModelGraph, checkpoint: Checkpoint, arrays: Mapping[str, NDArray[np.generic]], file: Path
) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
    """Take the inputs of the graph from the arrays ``in_*``.

    Raises
    ------
    ConfigError
        If one is missing, unknown, misshapen or too long.
    """
    given = {name[3:]: array for name, array in arrays.items() if name.startswith("in_")}
    mask = given.pop("attention_mask", np.ones(1))
    graphs = [part for part in (graph.encoder, graph) if part is not None]
    wanted = [
        (part, item) for part in graphs for item in part.inputs if item.kind in ("token", "frame")
    ]
    names = sorted(item.name for _, item in wanted)
    if sorted(given) != names or not np.all(mask == np.ones_like(mask)):
        raise ConfigError(
            f"{file}: expected the input {' and '.join(f'in_{name}' for name in names)} (and no "
            "padding), found "
            f"{', '.join(name for name in arrays if name.startswith('in_')) or 'no in_* array'}"
        )
    found: dict[str, NDArray[np.int64] | NDArray[np.float64]] = {}
    for part, item in wanted:
        where = f"{file}: in_{item.name}"
        if item.kind == "frame" and reference.whole(part):
            found[item.name] = check_block(part, given[item.name], where)
            continue
        if item.kind == "frame":
            found[item.name] = check_frames(part, checkpoint, given[item.name], where)
            continue
        ids = check_tokens(part, given[item.name], where)
        if ids.shape[1] > part.context:
            raise ConfigError(
                f"{where}: {ids.shape[1]} tokens exceed the model's context of {part.context}"
            )
        found[item.name] = ids
    return found


def expected_outputs(
    graph: ModelGraph, arrays: Mapping[str, NDArray[np.generic]], file: Path
) -> dict[str, NDArray[np.float64]]:
    """Take the stored outputs that the graph computes, in float64 where stored so.

    Raises
    ------
    ConfigError
        If there is none, or one is not finite.
    """
    found = {}
    for name in graph.outputs:
        array = arrays.get(f"{name}_f64", arrays.get(name))
        if array is None:
            continue
        found[name] = array.astype(np.float64)
        if not np.isfinite(found[name]).all():
            raise ConfigError(f"{file}: {name} holds NaN or infinity; compute the reference again")
    if not found:
        raise ConfigError(
            f"{file}: none of the model's outputs ({', '.join(graph.outputs)}) is stored; found "
            f"{', '.join(arrays) or 'nothing'}"
        )
    return found


def difference(found: NDArray[np.float64], expected: NDArray[np.float64], where: str) -> Difference:
    """Compare one output.

    Raises
    ------
    ConfigError
        If the shapes differ.
    """
    if found.shape != expected.shape:
        raise ConfigError(
            f"{where} has shape {expected.shape}, but the model computes {found.shape}; the file "
            "belongs to another model or input"
        )
    error = float(np.abs(found - expected).max()) if found.size else 0.0
    error = error if np.isfinite(error) else float("inf")
    largest = float(np.abs(expected).max()) if found.size else 0.0
    return Difference(error, error / largest if largest else error)
