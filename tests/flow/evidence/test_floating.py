"""The float side: errors per operator, and another implementation's logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flow.evidence import floating
from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.golden import interpreter
from rtl_gen.quantize import Examples, Recipe, quantize
from rtl_gen.quantize.calibrate import trace
from tests.harness import seed

ROOT = Path(__file__).parents[3]
ORACLES = ROOT / "../shared/oracles"


def _logits(path: Path):
    checkpoint = open_checkpoint(path)
    network = import_model(checkpoint)
    weights = reference.load_weights(network, checkpoint)
    return network, weights, lambda name, x: reference.run(network, weights, {name: x})["logits"]


@pytest.mark.parametrize("name", ["llama_gqa", "gpt2"])
def test_the_importer_against_hugging_face(name: str) -> None:
    path = ORACLES / name
    if not path.is_dir():
        pytest.skip(f"needs ../shared/oracles/{name}")
    _, _, logits = _logits(path)
    assert floating.stored_error(path / "reference.npz", logits) < 1e-5


def test_the_embedded_model_against_hugging_face() -> None:
    path = ROOT / "models/names"
    _, _, logits = _logits(path)
    error = floating.stored_error(path / floating.REFERENCE, logits)
    assert error < floating.REFERENCE_TOLERANCE

    def broken(name, x):
        return logits(name, np.roll(x, 1, axis=1))

    assert floating.stored_error(path / floating.REFERENCE, broken) > 0.1


def test_errors_of_operators() -> None:
    network, weights, _ = _logits(ROOT / "models/names")
    tokens = np.random.default_rng(seed()).integers(0, network.vocabulary, (16, 24))
    examples = Examples(tokens)
    graph = quantize(network, weights, Recipe(), examples, {})
    floats = trace(network, weights, examples)
    values = interpreter.sequences(graph, {"input_ids": tokens})
    integers = {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
    found = {item["node"]: item for item in floating.compare(graph, integers, floats)}
    assert len(found) == len(graph.nodes) - 1  # all but the sampler
    assert max(item["error"] for item in found.values()) < 0.2
    # A value of another node of the same shape is no match.
    names = [node.name for node in graph.nodes if node.name.endswith(".q")]
    assert len(names) == 2
    swapped = {**integers, names[0]: integers[names[1]]}
    wrong = {item["node"]: item for item in floating.compare(graph, swapped, floats)}
    assert wrong[names[0]]["error"] > floating.LARGEST_ERROR
