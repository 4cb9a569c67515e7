"""What integers cost: the integer graph against the float model on held-out examples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rtl_gen import reference
from rtl_gen.errors import QuantizationError
from rtl_gen.golden import interpreter
from rtl_gen.ir.adapter import AdapterImage
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.ir.model import ModelGraph, TensorRef
from rtl_gen.quantize.examples import Examples

Array = NDArray[np.float64]

_BLOCK_STEPS = 8192
"""Steps evaluated at once; bounds the memory of all values of the graph."""


def quality(
    model: ModelGraph,
    weights: Mapping[TensorRef, Array],
    graph: IntegerGraph,
    examples: Examples,
    *,
    limit: int = 20_000,
    adapter: AdapterImage | None = None,
) -> dict[str, float]:
    """Metrics of the integer graph beside those of the float model.

    Parameters
    ----------
    model : ModelGraph
    weights : mapping of TensorRef to float64
    graph : IntegerGraph
        Lowered from `model`.
    examples : Examples
        Not used in calibration. Without targets only the comparison of both is measured.
    limit : int
        Largest number of steps evaluated, padding included; whole examples from the first on, at
        least one.
    adapter : AdapterImage or None
        Contents of the adapter memory; `model` and `weights` are then the adapted ones.

    Returns
    -------
    dict of str to float
        ``quality__steps`` that count; ``quality__kl`` in nats per step, of the integer from the
        float distribution; ``quality__greedy_agreement`` from 0 to 1. With targets, for tokens
        ``quality__loss__float``, ``__integer``, ``__delta`` in nats per token and
        ``quality__perplexity__float``, ``__integer``; for frames
        ``quality__accuracy__float``, ``__integer``, ``__delta`` from 0 to 1.

    Raises
    ------
    QuantizationError
        If the model has no output ``logits`` or no step counts.
    """
    if "logits" not in graph.outputs or "logits" not in model.outputs:
        raise QuantizationError(
            f"quality: expected an output 'logits', found {sorted(model.outputs)}"
        )
    count = max(1, limit // examples.steps)
    per_block = max(1, _BLOCK_STEPS // examples.steps)
    parts = []
    for start in range(0, min(count, len(examples.inputs)), per_block):
        rows = _rows(examples, start, per_block, count)
        parts.append(_block(model, weights, graph, rows, adapter))
    kept = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    if not len(kept["kl"]):
        raise QuantizationError("quality: the mask leaves no step that counts")
    metrics = {
        "quality__steps": float(len(kept["kl"])),
        "quality__kl": float(kept["kl"].mean()),
        "quality__greedy_agreement": float(kept["agree"].mean()),
    }
    if examples.targets is None:
        return metrics
    for engine in ("float", "integer"):
        if examples.is_tokens:
            loss = float(kept[f"{engine}_loss"].mean())
            metrics[f"quality__loss__{engine}"] = loss
            metrics[f"quality__perplexity__{engine}"] = float(np.exp(loss))
        else:
            metrics[f"quality__accuracy__{engine}"] = float(kept[f"{engine}_right"].mean())
    measure = "loss" if examples.is_tokens else "accuracy"
    metrics[f"quality__{measure}__delta"] = (
        metrics[f"quality__{measure}__integer"] - metrics[f"quality__{measure}__float"]
    )
    return metrics


def _rows(examples: Examples, start: int, length: int, stop: int) -> Examples:
    rows = slice(start, min(start + length, stop))
    targets = None if examples.targets is None else examples.targets[rows]
    mask = None if examples.mask is None else examples.mask[rows]
    return Examples(examples.inputs[rows], targets, mask)


def _block(
    model: ModelGraph,
    weights: Mapping[TensorRef, Array],
    graph: IntegerGraph,
    examples: Examples,
    adapter: AdapterImage | None,
) -> dict[str, Array]:
    """Per counted step: divergence, agreement, and losses and hits if there are targets."""
    counted = examples.counted()
    expected = _log_softmax(_float_logits(model, weights, examples)[counted])
    found = _log_softmax(_integer_logits(graph, examples, adapter)[counted])
    kept = {
        "kl": (np.exp(expected) * (expected - found)).sum(axis=1),
        "agree": (expected.argmax(axis=1) == found.argmax(axis=1)).astype(np.float64),
    }
    if examples.targets is not None:
        targets = examples.targets.reshape(-1)[counted]
        rows = np.arange(len(targets))
        for engine, logs in (("float", expected), ("integer", found)):
            kept[f"{engine}_loss"] = -logs[rows, targets]
            kept[f"{engine}_right"] = (logs.argmax(axis=1) == targets).astype(np.float64)
    return kept


def score(logits: Array, examples: Examples) -> tuple[str, float] | None:
    """How well float logits tell the targets, over the steps that count.

    Parameters
    ----------
    logits : float64, shape (batch, steps, vocabulary) or (batch, classes)
    examples : Examples

    Returns
    -------
    tuple of str and float, or None
        ``loss`` in nats per token, or for frames ``accuracy`` from 0 to 1; None without targets.
    """
    if examples.targets is None:
        return None
    counted = examples.counted()
    logs = _log_softmax(logits.reshape(-1, logits.shape[-1])[counted])
    targets = examples.targets.reshape(-1)[counted]
    if examples.is_tokens:
        return "loss", float(-logs[np.arange(len(targets)), targets].mean())
    return "accuracy", float((logs.argmax(axis=1) == targets).mean())


def _float_logits(
    model: ModelGraph, weights: Mapping[TensorRef, Array], examples: Examples
) -> Array:
    name = next(item.name for item in model.inputs if item.kind != "position")
    logits = reference.run(model, weights, {name: examples.inputs})["logits"]
    return logits.reshape(-1, logits.shape[-1])


def _integer_logits(graph: IntegerGraph, examples: Examples, adapter: AdapterImage | None) -> Array:
    item = next(item for item in graph.inputs if item.kind != "position")
    x = examples.inputs
    if not examples.is_tokens:
        x = frame_integers(graph, np.asarray(x, np.float64))[:, None]
    values = interpreter.sequences(graph, {item.name: np.asarray(x, np.int64)}, adapter)
    logits = values[graph.outputs["logits"]]
    scale = graph.value(graph.outputs["logits"]).scale
    return np.asarray(logits.reshape(-1, logits.shape[-1]) * scale, np.float64)


def frame_integers(graph: IntegerGraph, frames: Array) -> NDArray[np.int64]:
    """Frames as the chip reads them: divided by the input's scale, rounded, saturated.

    Parameters
    ----------
    graph : IntegerGraph
        With a frame input.
    frames : float64, shape (batch, *shape)

    Returns
    -------
    int64, shape (batch, *shape)
    """
    value = next(item.value for item in graph.inputs if item.kind == "frame")
    rounded = np.rint(frames / value.scale).clip(value.type.min, value.type.max)
    return np.asarray(rounded, np.int64)


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float64)
