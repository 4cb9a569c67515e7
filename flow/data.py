"""Calibration and evaluation data of a model, as arrays.

Calibration data choose ranges and guide the solver; quality is measured on evaluation data. The
two never overlap, and both depend on nothing but the configuration and the files it names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import names
import numpy as np
from numpy.typing import NDArray

from flow.arrays import check_frames, check_tokens, read_npz
from flow.config import Data
from flow.text import Tokenizer
from rtl_gen import reference
from rtl_gen.checkpoint import Checkpoint
from rtl_gen.errors import ConfigError
from rtl_gen.ir.model import ModelGraph, TensorRef
from rtl_gen.quantize.examples import Examples

Weights = Mapping[TensorRef, NDArray[np.float64]]

SEED = 20240229
"""Seed of generated data."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples for quantization.

    Parameters
    ----------
    calibration, evaluation : Examples
    description : str
        One line for reports: what the data are and how many.
    """

    calibration: Examples
    evaluation: Examples
    description: str


def load(
    config: Data,
    graph: ModelGraph,
    weights: Weights,
    checkpoint: Checkpoint,
    tokenizer: Tokenizer | None,
) -> Dataset:
    """Read or generate the data that `config` asks for.

    Parameters
    ----------
    config : Data
        Section ``data`` of a model configuration; paths are relative to the working folder.
    graph, weights
        The float model; ``generated`` data are sampled from it.
    checkpoint : Checkpoint
    tokenizer : Tokenizer or None
        None for networks that read frames.

    Raises
    ------
    ConfigError
        If the kind does not suit the network or a file is absent, damaged or too short.
    """
    length = config.length or graph.context
    if graph.vocabulary and length > graph.context:
        raise ConfigError(
            f"data.length: {length} tokens exceed the model's context of {graph.context}"
        )
    if config.kind == "npz":
        return _npz(config, graph, checkpoint, length)
    if not graph.vocabulary or tokenizer is None:
        raise ConfigError(
            f"data.kind: {config.kind} gives tokens, but the network reads frames; set kind: npz "
            "and path to a file with in_x (and labels)"
        )
    match config.kind:
        case "names":
            return _names(config, graph, tokenizer, length)
        case "text":
            return _text(config, graph, tokenizer, length)
        case "generated":
            return generated(config, graph, weights, length)
    raise ConfigError(f"data.kind: expected names, text, npz or generated, found {config.kind!r}")


def sequences(tokens: Sequence[Sequence[int]], ends: Sequence[int], length: int) -> Examples:
    """Examples of whole sequences of different length.

    Parameters
    ----------
    tokens : sequence of token sequences
        What the network reads, ``bos`` included.
    ends : sequence of int
        The token that follows each sequence.
    length : int
        Longer sequences are cut; shorter ones are padded with their end and masked.
    """
    width = min(length, max(map(len, tokens)))
    inputs = np.zeros((len(tokens), width), np.int64)
    targets = np.zeros_like(inputs)
    mask = np.zeros(inputs.shape, np.bool_)
    for row, (sequence, end) in enumerate(zip(tokens, ends, strict=True)):
        whole = np.array([*sequence, *[end] * (width + 1)], np.int64)
        inputs[row], targets[row] = whole[:width], whole[1 : width + 1]
        mask[row, : len(sequence)] = True
    return Examples(inputs, targets, mask)


def _names(config: Data, graph: ModelGraph, tokenizer: Tokenizer, length: int) -> Dataset:
    """First names of the US census, lower case; a tenth, chosen by digest, is for evaluation."""
    words = set()
    for key in ("first:female", "first:male"):
        lines = Path(names.FILES[key]).read_text(encoding="utf-8").splitlines()
        words |= {line.split()[0].lower() for line in lines}
    digests = {word: hashlib.sha256(word.encode()).digest() for word in words}
    order = sorted(words, key=digests.__getitem__)
    if not graph.eos:
        raise ConfigError("data.kind: names needs a model with an eos token that ends a name")

    def examples(chosen: list[str]) -> Examples:
        tokens = [[*graph.bos, *tokenizer.encode(word)] for word in chosen]
        return sequences(tokens, [graph.eos[0]] * len(tokens), length)

    held_out = [word for word in order if digests[word][0] % 10 == 0]
    seen = [word for word in order if digests[word][0] % 10]
    calibration, evaluation = seen[: config.calibration], held_out[: config.evaluation]
    return Dataset(
        examples(calibration),
        examples(evaluation),
        f"US census first names: {len(calibration)} for calibration, "
        f"{len(evaluation)} others for evaluation",
    )


def _text(config: Data, graph: ModelGraph, tokenizer: Tokenizer, length: int) -> Dataset:
    """Windows of a text, each after ``bos``; evaluation takes its windows from the end."""
    path = _existing(config)
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"data.path: {path} holds no .txt file")
    try:
        text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    except UnicodeDecodeError as error:
        raise ConfigError(f"data.path: {path}: not UTF-8 text ({error}); convert it") from error
    ids = np.array(tokenizer.encode(text), np.int64)
    fresh = length - len(graph.bos)  # tokens of text that one window reads
    count = (len(ids) - 1) // fresh if fresh > 0 else 0
    if count < 2:
        raise ConfigError(
            f"data.path: {path} has {len(ids)} tokens, too few for a window of {length} for "
            "calibration and another for evaluation; give a longer text or a smaller data.length"
        )
    starts = np.arange(count) * fresh
    inputs = ids[starts[:, None] + np.arange(fresh)]
    if graph.bos:
        inputs = np.concatenate([np.full((count, 1), graph.bos[0]), inputs], 1)
    targets = ids[starts[:, None] + np.arange(length) + 1 - len(graph.bos)]
    calibration, evaluation = _split(count, config)
    return Dataset(
        Examples(inputs[calibration], targets[calibration]),
        Examples(inputs[evaluation], targets[evaluation]),
        f"windows of {length} tokens of {path.name}: {len(calibration)} for calibration, "
        f"{len(evaluation)} later ones for evaluation",
    )


def generated(config: Data, graph: ModelGraph, weights: Weights, length: int) -> Dataset:
    """Sequences that the float model samples at temperature 1 from ``bos`` (or a random token)."""
    total = config.calibration + config.evaluation
    rng = np.random.default_rng(SEED)
    first = graph.bos[0] if graph.bos else rng.integers(graph.vocabulary, size=total)
    tokens = np.zeros((total, length + 1), np.int64)
    tokens[:, 0] = first
    state = reference.initial_state(graph, total, length)
    for t in range(length):
        values, state = reference.step(graph, weights, {"input_ids": tokens[:, t]}, state)
        logits = values[graph.outputs["logits"]]
        tokens[:, t + 1] = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    # A sequence ends with its first eos after the first token; what follows does not count.
    ended = np.isin(tokens[:, 1:-1], graph.eos).cumsum(1) > 0
    mask = np.concatenate([np.ones((total, 1), np.bool_), ~ended], 1)
    parts = [slice(0, config.calibration), slice(config.calibration, total)]
    calibration, evaluation = (
        Examples(tokens[part, :-1], tokens[part, 1:], mask[part]) for part in parts
    )
    return Dataset(
        calibration,
        evaluation,
        f"sequences of at most {length} tokens sampled from the float model: "
        f"{config.calibration} for calibration, {config.evaluation} others for evaluation",
    )


def _npz(config: Data, graph: ModelGraph, checkpoint: Checkpoint, length: int) -> Dataset:
    """Arrays of a file: ``in_x`` and ``labels``, or ``in_input_ids``; or train and test parts."""
    path = _existing(config)
    arrays = read_npz(path)
    if {"x_train", "x_test"} <= arrays.keys():
        parts = [
            _examples(graph, checkpoint, path, arrays[f"x_{p}"][:n], arrays.get(f"y_{p}"), length)
            for p, n in (("train", config.calibration), ("test", config.evaluation))
        ]
    else:
        key = "in_input_ids" if graph.vocabulary else "in_x"
        if key not in arrays:
            raise ConfigError(
                f"{path}: expected an array {key}, found {', '.join(sorted(arrays)) or 'none'}"
            )
        data, labels = arrays[key], arrays.get("labels")
        if data.ndim < 2 or len(data) < 2:
            raise ConfigError(f"{path}: {key} of shape {data.shape} has fewer than two examples")
        parts = [
            _examples(
                graph,
                checkpoint,
                path,
                data[rows],
                None if labels is None else labels[rows],
                length,
            )
            for rows in _split(len(data), config)
        ]
    calibration, evaluation = parts
    return Dataset(
        calibration,
        evaluation,
        f"{path.name}: {len(calibration.inputs)} examples for calibration, "
        f"{len(evaluation.inputs)} others for evaluation",
    )


def _examples(
    graph: ModelGraph,
    checkpoint: Checkpoint,
    path: Path,
    data: NDArray[np.generic],
    labels: NDArray[np.generic] | None,
    length: int,
) -> Examples:
    if graph.vocabulary:
        ids = check_tokens(graph, data, str(path))
        if ids.shape[1] < 2:
            raise ConfigError(f"{path}: sequences of {ids.shape[1]} token; two are the least")
        return Examples(ids[:, :length][:, :-1], ids[:, :length][:, 1:])
    targets = None if labels is None else labels[: len(data)].astype(np.int64)
    return Examples(check_frames(graph, checkpoint, data, str(path)), targets)


def _existing(config: Data) -> Path:
    if not config.path:
        raise ConfigError(f"data.path: kind {config.kind} needs a path")
    path = Path(config.path)
    if not path.exists():
        raise ConfigError(
            f"data.path: {path} does not exist (paths are relative to {Path.cwd()}); correct it"
        )
    return path


def _split(count: int, config: Data) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Evenly spaced indices for calibration from the start, for evaluation from the rest.

    With fewer examples than asked for, both shares shrink alike.
    """
    share = config.calibration / (config.calibration + config.evaluation)
    cut = min(max(round(count * share), 1), count - 1)

    def spread(start: int, stop: int, wanted: int) -> NDArray[np.int64]:
        found = min(wanted, stop - start)
        return start + np.arange(found, dtype=np.int64) * (stop - start) // found

    return spread(0, cut, config.calibration), spread(cut, count, config.evaluation)
