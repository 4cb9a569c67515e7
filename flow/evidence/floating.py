"""The float side: a wrong importer cannot hide behind a golden model that agrees with it.

The integer graph and the float network run on the same held-out inputs, and every operator's values
are compared. Where the checkpoint has a ``reference.npz``, outputs that another implementation
computed from the same files, the float network is compared with those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow import arrays, config, data, stored, text
from flow.evidence.artefact import REFERENCE
from rtl_gen import reference
from rtl_gen.checkpoint import Checkpoint, import_model, open_checkpoint
from rtl_gen.golden import interpreter
from rtl_gen.ir.integer import IntegerGraph, Sample
from rtl_gen.ir.model import ModelGraph
from rtl_gen.quantize import frame_integers
from rtl_gen.quantize.calibrate import trace
from rtl_gen.quantize.examples import Examples

Array = NDArray[np.float64]

LARGEST_ERROR = 0.7
"""Relative error above which more than half of an operator's energy is unexplained."""

REFERENCE_TOLERANCE = 1e-3
"""Of the largest logit: another implementation computes in float32."""

_EXAMPLES = 64


@dataclass(frozen=True, slots=True)
class Found:
    """Result of a comparison.

    Parameters
    ----------
    findings : tuple of str
    numbers : mapping
    operators : list of mapping
        ``node``, ``operator``, relative ``error``.
    """

    findings: tuple[str, ...]
    numbers: Mapping[str, Any]
    operators: list[dict[str, Any]]


def measure(model: str, checkpoint: Path, graph: IntegerGraph) -> Found:
    """Compare every operator of `graph` with the float network.

    Parameters
    ----------
    model : str
        Name of a model's configuration, which says what the inputs are.
    checkpoint : Path
    graph : IntegerGraph

    Raises
    ------
    FlowError
        If the checkpoint or its data cannot be read.
    """
    opened = open_checkpoint(checkpoint)
    network = import_model(opened)
    weights = reference.load_weights(network, opened)
    settings = config.load_model(config.model_file(model))
    tokens = bool(network.vocabulary)
    tokenizer = text.load(settings.tokenizer, checkpoint, network.vocabulary) if tokens else None
    examples = data.load(settings.data, network, weights, opened, tokenizer).evaluation
    some = Examples(examples.inputs[:_EXAMPLES])
    floats = trace(network, weights, some)
    operators = compare(graph, _integers(graph, some), floats)
    findings = [
        f"{item['node']} ({item['operator']}): relative error {item['error']}"
        for item in operators if item["error"] > LARGEST_ERROR
    ]  # fmt: skip
    numbers: dict[str, Any] = {"operators": len(operators), **_worst(operators)}
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if (folder / REFERENCE).is_file():
        error = stored_error(folder / REFERENCE, network, weights, opened)
        numbers["error against the stored reference"] = float(f"{error:.2g}")
        if error > REFERENCE_TOLERANCE:
            findings.append(f"outputs differ from {REFERENCE} by {error:.2g} of the largest one")
    else:
        numbers["stored reference"] = "none"
    return Found(tuple(findings), numbers, operators)


def compare(
    graph: IntegerGraph, integers: Mapping[str, NDArray[np.int64]], floats: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """Relative error of every node, errors of earlier nodes included.

    Parameters
    ----------
    graph : IntegerGraph
    integers : mapping of str to int64, shape (steps, *shape)
    floats : mapping of str to float64, shape (steps, *shape)

    Notes
    -----
    The error is ``|x - y| / |y|`` over all steps and elements, y the float value and x the integer
    times its recorded scale and channel factors.
    """
    found = []
    for node in graph.nodes:
        if isinstance(node.op, Sample) or node.name not in floats:
            continue
        wanted = floats[node.name].reshape(len(floats[node.name]), -1)
        if not node.value.type.signed:
            wanted = np.maximum(wanted, 0)  # saturation at 0 is the ReLU behind it
        step = node.value.scale * (np.array(node.value.channel) if node.value.channel else 1.0)
        values = integers[node.name].reshape(len(wanted), -1) * step
        # a gate that the graph holds as a vector has its one value in every element
        error = _relative(values, np.broadcast_to(wanted, values.shape))
        found.append(
            {"node": node.name, "operator": type(node.op).__name__, "error": round(error, 5)}
        )
    return found


def stored_error(
    path: Path, network: ModelGraph, weights: data.Weights, opened: Checkpoint
) -> float:
    """Largest difference from a stored reference's outputs, relative to the largest value of each.

    Parameters
    ----------
    path : Path
        An ``.npz`` with inputs ``in_<name>`` and outputs, as ``intaglio check`` reads it.

    Raises
    ------
    ConfigError
        If the file has another form or belongs to another network.
    """
    found = stored.differences(network, weights, opened, arrays.read_npz(path), path)
    return max(item.rel_err for item in found.values())


def _integers(graph: IntegerGraph, examples: Examples) -> dict[str, NDArray[np.int64]]:
    item = next(item for item in graph.inputs if item.kind != "position")
    x = examples.inputs
    if not examples.is_tokens:
        x = frame_integers(graph, np.asarray(x, np.float64))[:, None]
    values = interpreter.sequences(graph, {item.name: np.asarray(x, np.int64)})
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}


def _relative(x: NDArray[Any], wanted: Array) -> float:
    size = float(np.sqrt((wanted**2).sum()))
    return float(np.sqrt(((x - wanted) ** 2).sum())) / (size or 1.0)


def _worst(operators: list[dict[str, Any]]) -> dict[str, float]:
    """Largest error of each kind of operator."""
    worst: dict[str, float] = {}
    for item in operators:
        worst[item["operator"]] = max(worst.get(item["operator"], 0.0), item["error"])
    return {f"error of {name}": value for name, value in sorted(worst.items())}
