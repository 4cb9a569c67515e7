"""Quality of integer graphs over weight widths and solvers: the frontier of `docs/quantization.md`.

Run from the repository root, e.g. ``python -m benchmarks.quantization names stories260k``. Prints
a Markdown table and writes ``results/benchmarks/quantization.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow import config, data, files, text
from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.quantize import Recipe, quality, quantize

OUTPUT = Path("results/benchmarks/quantization.json")
WIDTHS = (8, 6, 5, 4, 3, 2)
ENDS = {"embedding": "int8", "embedding.*": "int8", "logits": "int8"}
"""The tables at both ends of a language model: no int4 there costs a third of int4's loss."""


def recipes(widths: tuple[int, ...]) -> Iterator[tuple[str, Recipe]]:
    """Name and recipe of every point of the frontier."""
    for bits in widths:
        for solver in ("nearest", "gptq"):
            everywhere = {"*": f"int{bits}"}
            yield f"int{bits}", Recipe(everywhere, solver=solver)  # type: ignore[arg-type]
        if bits < 8:
            yield f"int{bits}, ends int8", Recipe({**everywhere, **ENDS})
        if bits in (8, 4):
            wide = Recipe({**everywhere, **ENDS}, activations={"*.product": 12}, attention_bits=9)
            yield f"int{bits}, ends int8, product 12 bit, attention 9 bit", wide


def measure(name: str, widths: tuple[int, ...], calibration: int, evaluation: int) -> list[Any]:
    """Metrics of every recipe on the model of ``configs/models/<name>.yaml``."""
    model = config.load_model(config.model_file(name))
    path = Path(model.checkpoint)
    checkpoint = open_checkpoint(path)
    graph = import_model(checkpoint)
    weights = reference.load_weights(graph, checkpoint)
    tokenizer = text.load(model.tokenizer, path, graph.vocabulary)
    asked = replace(model.data, calibration=calibration, evaluation=evaluation)
    examples = data.load(asked, graph, weights, checkpoint, tokenizer)
    rows = []
    for title, recipe in recipes(widths):
        start = time.monotonic()
        integer = quantize(graph, weights, recipe, examples.calibration, origin={})
        seconds = time.monotonic() - start
        found = quality(graph, weights, integer, examples.evaluation)
        rows.append({"model": name, "recipe": title, "solver": recipe.solver, **found})
        print(f"{name} {title} {recipe.solver}: {seconds:.0f} s", file=sys.stderr)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown table, one row a recipe."""
    lines = [
        "| model | recipe | solver | loss float | loss integer | delta | KL | greedy agreement |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['recipe']} | {row['solver']} "
            f"| {row['quality__loss__float']:.4f} | {row['quality__loss__integer']:.4f} "
            f"| {row['quality__loss__delta']:+.4f} | {row['quality__kl']:.4f} "
            f"| {row['quality__greedy_agreement']:.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure the models named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="names of configs/models/<name>.yaml")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--calibration", type=int, default=64, help="sequences")
    parser.add_argument("--evaluation", type=int, default=64, help="sequences")
    given = parser.parse_args()
    rows = []
    for name in given.models:
        rows += measure(name, tuple(given.widths), given.calibration, given.evaluation)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    files.write(OUTPUT, (json.dumps(rows, indent=1) + "\n").encode())
    print(table(rows))


if __name__ == "__main__":
    main()
