"""The bounds of the project on real checkpoints, and what the metrics mean."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import QuantizationError
from rtl_gen.golden import interpreter
from rtl_gen.quantize import Examples, Recipe, quality, quantize
from tests import checkpoints

SHARED = Path(__file__).parents[3] / "shared"
ENDS = {"embedding": "int8", "logits": "int8"}


def shared(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs ../shared/{'/'.join(parts)}")
    return path


@cache
def model_of(path: Path):
    checkpoint = open_checkpoint(path)
    model = import_model(checkpoint)
    return model, reference.load_weights(model, checkpoint)


def names(start: int, stop: int) -> Examples:
    words = shared("data", "names", "names.txt").read_text().split()
    words = [words[i] for i in np.random.default_rng(0).permutation(len(words))[start:stop]]
    shape = (len(words), 1 + max(map(len, words)))
    inputs, targets, mask = np.zeros(shape, int), np.zeros(shape, int), np.zeros(shape, bool)
    for row, word in enumerate(words):
        inputs[row, 1 : len(word) + 1] = targets[row, : len(word)] = [ord(c) - 96 for c in word]
        mask[row, : len(word) + 1] = True
    return Examples(inputs, targets, mask)


@cache
def story_tokens() -> np.ndarray:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(
        str(shared("models", "stories260K", "tokenizer.json"))
    )
    text = shared("data", "stories_selfgen", "selfgen.txt").read_text()
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids)


def stories(start: int, stop: int) -> Examples:
    rows = story_tokens()[start * 256 : stop * 256].reshape(-1, 256)
    whole = np.concatenate([np.ones((len(rows), 1), np.int64), rows], axis=1)
    return Examples(whole[:, :-1], whole[:, 1:])


@pytest.mark.parametrize("solver", ["gptq", "nearest"])
@pytest.mark.parametrize("name", ["names-llama-h16", "names-gpt2-h16"])
def test_int8_costs_names_at_most_a_hundredth_of_the_loss(name, solver):
    model, weights = model_of(shared("models", name))
    graph = quantize(model, weights, Recipe(solver=solver), names(0, 128), {})
    found = quality(model, weights, graph, names(128, 628))
    assert found["quality__loss__float"] < 2.3
    assert found["quality__loss__integer"] <= 1.01 * found["quality__loss__float"]
    assert found["quality__greedy_agreement"] > 0.97


def test_gptq_at_int4_costs_names_half_of_nearest():
    model, weights = model_of(shared("models", "names-llama-h16"))
    found = {}
    for solver in ("gptq", "nearest"):
        graph = quantize(model, weights, Recipe({"*": "int4"}, solver=solver), names(0, 256), {})
        found[solver] = quality(model, weights, graph, names(256, 756))["quality__kl"]
    assert found["gptq"] < 0.5 * found["nearest"]


def test_int8_costs_stories_at_most_5_millinats():
    model, weights = model_of(shared("models", "stories260K"))
    recipe = Recipe(solver="nearest", activations={"*.product": 12}, attention_bits=9)
    graph = quantize(model, weights, recipe, stories(0, 8), {})
    # 16 windows, 4,096 tokens: 2 millinats are the standard error of the difference there, so the
    # divergence, which has hardly any, is bounded too
    found = quality(model, weights, graph, stories(600, 616))
    assert found["quality__steps"] == 4096
    assert found["quality__loss__delta"] <= 0.005 + 0.002
    assert found["quality__kl"] <= 0.005


@pytest.mark.slow
def test_int4_costs_stories_at_most_90_millinats():
    model, weights = model_of(shared("models", "stories260K"))
    graph = quantize(model, weights, Recipe({"*": "int4", **ENDS}), stories(0, 48), {})
    found = quality(model, weights, graph, stories(600, 616))
    assert found["quality__loss__delta"] <= 0.09


def tiny(tmp_path):
    return model_of(checkpoints.write(tmp_path / "tiny", *checkpoints.llama()))


def test_metrics_are_those_of_the_logits(tmp_path):
    model, weights = tiny(tmp_path)
    ids = np.random.default_rng(2).integers(0, 16, (6, 11))
    mask = np.random.default_rng(3).random((6, 10)) < 0.7
    examples = Examples(ids[:, :-1], ids[:, 1:], mask)
    graph = quantize(model, weights, Recipe({"*": "int3"}), examples, {})
    found = quality(model, weights, graph, examples)
    real = reference.run(model, weights, {"input_ids": ids[:, :-1]})["logits"]
    steps = interpreter.sequences(graph, {"input_ids": ids[:, :-1]})["logits"]
    losses, divergence, agreed = {"float": [], "integer": []}, [], []
    for row, step in zip(*np.nonzero(mask), strict=True):
        p, q = (
            np.exp(x) / np.exp(x).sum()
            for x in (real[row, step], steps[row, step] * graph.value("logits").scale)
        )
        losses["float"].append(-np.log(p[ids[row, step + 1]]))
        losses["integer"].append(-np.log(q[ids[row, step + 1]]))
        divergence.append((p * np.log(p / q)).sum())
        agreed.append(p.argmax() == q.argmax())
    assert found["quality__steps"] == mask.sum()
    assert found["quality__loss__float"] == pytest.approx(np.mean(losses["float"]))
    assert found["quality__loss__integer"] == pytest.approx(np.mean(losses["integer"]))
    assert found["quality__perplexity__float"] == pytest.approx(np.exp(np.mean(losses["float"])))
    assert found["quality__kl"] == pytest.approx(np.mean(divergence))
    assert found["quality__greedy_agreement"] == np.mean(agreed)
    assert found["quality__loss__delta"] == pytest.approx(
        np.mean(losses["integer"]) - np.mean(losses["float"])
    )


def test_limit_bounds_the_steps(tmp_path):
    model, weights = tiny(tmp_path)
    ids = np.random.default_rng(2).integers(0, 16, (6, 10))
    graph = quantize(model, weights, Recipe(), Examples(ids), {})
    assert quality(model, weights, graph, Examples(ids), limit=25)["quality__steps"] == 20
    assert quality(model, weights, graph, Examples(ids), limit=1)["quality__steps"] == 10


def test_without_targets_there_is_no_loss(tmp_path):
    model, weights = tiny(tmp_path)
    examples = Examples(np.random.default_rng(2).integers(0, 16, (2, 10)))
    graph = quantize(model, weights, Recipe(), examples, {})
    assert set(quality(model, weights, graph, examples)) == {
        "quality__steps", "quality__kl", "quality__greedy_agreement",
    }  # fmt: skip


def test_an_all_false_mask_is_refused(tmp_path):
    model, weights = tiny(tmp_path)
    ids = np.random.default_rng(2).integers(0, 16, (2, 10))
    graph = quantize(model, weights, Recipe(), Examples(ids), {})
    with pytest.raises(QuantizationError, match="no step that counts"):
        quality(model, weights, graph, Examples(ids, None, np.zeros(ids.shape, bool)))
