"""The quantize stage: checkpoint to integer graph, its quality, and a sample of what it says."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flow import data, files, text
from flow.config import ModelConfig
from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.golden import interpreter, sample
from rtl_gen.ir import serialize
from rtl_gen.ir.integer import IntegerGraph, Sample
from rtl_gen.quantize import Recipe, quality, quantize, routing


def run(model: ModelConfig, path: Path, folder: Path) -> None:
    """Quantize the checkpoint at `path` as `model` says.

    `folder` receives ``graph.safetensors`` and ``metrics.json``.

    Raises
    ------
    CheckpointError, UnsupportedError, QuantizationError, ConfigError
        If the checkpoint, the recipe or the data cannot be used.
    """
    checkpoint = open_checkpoint(path)
    graph = import_model(checkpoint)
    weights = reference.load_weights(graph, checkpoint)
    tokenizer = text.load(model.tokenizer, path, graph.vocabulary) if graph.vocabulary else None
    examples = data.load(model.data, graph, weights, checkpoint, tokenizer)
    settings = model.quantize
    recipe = Recipe(
        weights=settings.weights,
        activation_bits=settings.activation_bits,
        activations=settings.activations,
        attention_bits=settings.attention_bits,
        solver=settings.solver,  # type: ignore[arg-type]  # the schema allows only these
    )
    integer = quantize(
        graph, weights, recipe, examples.calibration, origin={"checkpoint": checkpoint.digest}
    )
    numbers = quality(graph, weights, integer, examples.evaluation)
    routed = routing(graph, weights, integer, examples.evaluation)
    if routed is not None:
        numbers["quality__routing__disagreement"] = routed.disagreement
    files.write(folder / "graph.safetensors", serialize.to_bytes(integer))
    files.write_json(
        folder / "metrics.json",
        {
            "quality": numbers,
            **({"routing": asdict(routed)} if routed is not None else {}),
            "data": examples.description,
            "samples": samples(integer, model, tokenizer),
        },
    )
    shown = ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
    print(f"  {model.name}: {shown}", file=sys.stderr)


def samples(
    graph: IntegerGraph, model: ModelConfig, tokenizer: text.Tokenizer | None
) -> list[dict[str, Any]]:
    """Sequences that the golden model generates, with consecutive seeds; none for frames."""
    if tokenizer is None:
        return []
    settings = model.generate
    shift = next(node.op.shift for node in graph.nodes if isinstance(node.op, Sample))
    beta = sample.beta(settings.temperature, graph.value(graph.outputs["logits"]).scale, shift)
    prompt = text.prompt(tokenizer, settings.prompt, graph.bos)
    drawn = []
    for seed in range(settings.seed, settings.seed + settings.count):
        tokens = list(
            interpreter.generate(graph, prompt, beta=beta, seed=seed, limit=settings.limit)
        )
        said = tokenizer.decode([token for token in tokens if token not in graph.eos])
        drawn.append({"seed": seed, "tokens": len(tokens), "text": settings.prompt + said})
    return drawn
