"""The quantize stage: checkpoint to integer graph, its quality, and a sample of what it says."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from flow import adapters, data, files, text
from flow.config import ModelConfig
from rtl_gen.adapter.pack import pack
from rtl_gen.errors import ConfigError
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
    base = adapters.open_base(model, path)
    examples = data.load(model.data, base.graph, base.weights, base.checkpoint, base.tokenizer)
    known = adapters.all_trained(model, base)
    graph, parts = adapters.with_regions(model, base, known)
    settings = model.quantize
    recipe = Recipe(
        weights=settings.weights,
        activation_bits=settings.activation_bits,
        activations=settings.activations,
        attention_bits=settings.attention_bits,
        residual_bits=settings.residual_bits,
        solver=settings.solver,  # type: ignore[arg-type]  # the schema allows only these
        factors=settings.factors,  # type: ignore[arg-type]
        adapter_bits=model.adapters.bits,
        adapter_hidden_bits=model.adapters.hidden_bits,
    )
    origin = {"checkpoint": base.checkpoint.digest}
    integer = quantize(graph, base.weights, recipe, examples.calibration, origin, parts)
    integer = _with_replay(integer, model)
    numbers = quality(base.graph, base.weights, integer, examples.evaluation)
    routed = routing(base.graph, base.weights, integer, examples.evaluation)
    if routed is not None:
        numbers["quality__routing__disagreement"] = routed.disagreement
    adapted = {}
    for item in known:
        packed = pack(integer, item.adapter, item.data.calibration)
        adapted[item.name] = adapters.measured(
            base, integer, item.adapter, packed, item.data.evaluation
        )
    files.write(folder / "graph.safetensors", serialize.to_bytes(integer))
    files.write_json(
        folder / "metrics.json",
        {
            "quality": numbers,
            **({"routing": asdict(routed)} if routed is not None else {}),
            "data": examples.description,
            "samples": samples(integer, model, base.tokenizer),
            **({"adapters": adapted} if adapted else {}),
        },
    )
    shown = ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
    print(f"  {model.name}: {shown}", file=sys.stderr)
    for name, found in adapted.items():
        shown = ", ".join(f"{key} {value:.4f}" for key, value in found.items())
        print(f"  {model.name} with {name}: {shown}", file=sys.stderr)


def _with_replay(graph: IntegerGraph, model: ModelConfig) -> IntegerGraph:
    """`graph` with what it does when its context is full, as the model's YAML says."""
    count = model.generate.replay
    if count and not 2 <= count < graph.context:
        raise ConfigError(
            f"generate.replay: {count} tokens, but expected 0 or 2 to {graph.context - 1}, one "
            f"less than the context of {graph.context}"
        )
    return replace(graph, replay=count)


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
            interpreter.generate(
                graph, prompt, beta=beta, seed=seed, limit=settings.limit, top_k=settings.top_k
            )
        )
        said = tokenizer.decode([token for token in tokens if token not in graph.eos])
        drawn.append({"seed": seed, "tokens": len(tokens), "text": settings.prompt + said})
    return drawn
