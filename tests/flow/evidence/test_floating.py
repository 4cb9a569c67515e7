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
SHARED = ROOT / "../shared"


def _network(path: Path):
    checkpoint = open_checkpoint(path)
    network = import_model(checkpoint)
    return network, reference.load_weights(network, checkpoint), checkpoint


def _folder(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"needs ../shared/{name}")
    return SHARED / name


@pytest.mark.parametrize(
    "name",
    ["oracles/llama_gqa", "oracles/gpt2", "oracles/mixtral_top2", "oracles/switch_top1",
     "oracles/expert_choice_moe_layer", "models/digits-mlp", "models/digits-cnn",
     "models/mnist-cnn"],
)  # fmt: skip
def test_the_importer_against_another_implementation(name: str) -> None:
    path = _folder(name)
    assert floating.stored_error(path / "reference.npz", *_network(path)) < 1e-5


def test_the_embedded_model_against_hugging_face(tmp_path: Path) -> None:
    path = ROOT / "models/names"
    network = _network(path)
    error = floating.stored_error(path / floating.REFERENCE, *network)
    assert error < floating.REFERENCE_TOLERANCE
    with np.load(path / floating.REFERENCE) as stored:
        arrays = dict(stored)
    arrays["in_input_ids"] = np.roll(arrays["in_input_ids"], 1, axis=1)
    np.savez(tmp_path / "rolled.npz", **arrays)
    assert floating.stored_error(tmp_path / "rolled.npz", *network) > 0.1


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("oracles/llama_gqa", 0.05), ("oracles/gpt2", 0.05), ("oracles/mixtral_top2", 0.6)],
)
def test_every_operator_of_an_oracle(name: str, allowed: float) -> None:
    """A token that a router sends elsewhere than the float network makes its experts' errors."""
    network, weights, _ = _network(_folder(name))
    found, graph = _operators(network, weights)
    assert len(found) == len(graph.nodes) - 1  # all but the sampler
    assert max(item["error"] for item in found) < allowed


def _operators(network, weights):
    """Errors of the operators of a network in integers, and its graph."""
    tokens = np.random.default_rng(seed()).integers(0, network.vocabulary, (8, 24))
    examples = Examples(tokens)
    graph = quantize(network, weights, Recipe(), examples, {})
    values = interpreter.sequences(graph, {"input_ids": tokens})
    integers = {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
    return floating.compare(graph, integers, trace(network, weights, examples)), graph


def test_errors_of_operators() -> None:
    network, weights, _ = _network(ROOT / "models/names")
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
