"""Thousands of tokens of a chip's RTL against the golden interpreter, beyond what `verify` runs.

Run from the repository root, e.g. ``python -m benchmarks.bitexact stories260k`` after
``snakemake -c2 results/stories260k/verify/metrics.json``. Prompts are beginnings of the evaluation
text at random places, greedy and at temperatures 1 and 2, each sequence with another seed and at
one of the paces of `flow.verify.PACES`; a chip with `plan.top_k` draws among all logits, among that
many, and among half that many in turn. Stops at the first difference. Writes
``results/benchmarks/bitexact_<model>.json`` and prints a Markdown row.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from flow import config, files, text
from flow.graph import read
from flow.simulate import Chip, build
from flow.tools import verilator
from flow.verify import PACES, check_identity
from rtl_gen.errors import FlowError
from rtl_gen.golden import interpreter, sample
from rtl_gen.ir.integer import IntegerGraph, Sample

OUTPUT = Path("results/benchmarks")
TEMPERATURES = (0.0, 1.0, 2.0)


def prompts(graph: IntegerGraph, tokens: list[int], count: int, longest: int) -> list[list[int]]:
    """Beginnings of 1 … `longest` tokens, cut from `tokens` at random places."""
    rng = np.random.default_rng(2)
    found = []
    for length in np.linspace(1, longest, count).round().astype(int).tolist():
        at = int(rng.integers(0, max(1, len(tokens) - length)))
        begin = [*graph.bos, *tokens[at : at + length]]
        found.append(begin[: graph.context // 2])
    return found


def words(model: config.ModelConfig, graph: IntegerGraph) -> list[int]:
    """Tokens of the evaluation text; random ones for models without text."""
    path = Path(model.data.path) if model.data.path else None
    if model.data.kind != "text" or path is None:
        return np.random.default_rng(3).integers(0, graph.vocabulary, 4096).tolist()
    source = next(iter(sorted(path.rglob("*.txt"))), path) if path.is_dir() else path
    tokenizer = text.load(model.tokenizer, Path(model.checkpoint), graph.vocabulary)
    return text.prompt(tokenizer, source.read_text()[:20_000], ())


def measure(name: str, tokens: int, count: int, limit: int) -> dict[str, Any]:
    """Compare at least `tokens` tokens over `count` prompts.

    Raises
    ------
    FlowError
        If a token differs: prompt, seed, temperature and place.
    """
    model = config.load_model(config.model_file(name))
    folder = Path("results") / name
    graph = read(folder / "quantize/graph.safetensors")
    manifest = files.read_json(folder / "rtl/manifest.json")
    node = next(item for item in graph.nodes if isinstance(item.op, Sample))
    assert isinstance(node.op, Sample)  # the line above, for the type checker
    scale = graph.value(node.inputs[0]).scale
    begins = prompts(graph, words(model, graph), count, max(1, graph.context // 16))
    program = build(
        "rtl", folder / "rtl/chip.v", folder / "verify/simulator", OUTPUT / f"{name}.log",
        kind="token", adapters="adapters" in manifest, activity=True,
    )  # fmt: skip
    seen: Counter[int] = Counter()
    used, seeds, cycles, seconds = set(), set(), 0, 0.0
    places = manifest["plan"]["top_k"]
    among = (0, places, places // 2)
    drawn: Counter[int] = Counter()
    with Chip(program, folder / "rtl", context=graph.context, top_k=places) as chip:
        check_identity(chip, manifest["identity"])
        sequence = 0
        while seen.total() < tokens or sequence < count:
            prompt = begins[sequence % count]
            temperature = TEMPERATURES[sequence % len(TEMPERATURES)]
            beta = sample.beta(temperature, scale, node.op.shift)
            # Off by one every round, so that each temperature meets each choice.
            turn = sequence % len(TEMPERATURES) + sequence // len(TEMPERATURES)
            top_k = among[turn % len(among)]
            pace = PACES[sequence % len(PACES)]
            chip.pace(pace)
            begin = time.monotonic()
            steps = list(chip.generate(prompt, beta=beta, seed=sequence, limit=limit, top_k=top_k))
            seconds += time.monotonic() - begin
            found = [step.token for step in steps]
            wanted = list(
                interpreter.generate(
                    graph, prompt, beta=beta, seed=sequence, limit=limit, top_k=top_k
                )
            )
            if found != wanted:
                at = next((i for i, pair in enumerate(zip(found, wanted, strict=False))
                           if pair[0] != pair[1]), min(len(found), len(wanted)))  # fmt: skip
                raise FlowError(f"{name}: token {at} differs after prompt {prompt}, seed "
                                f"{sequence}, temperature {temperature}, top_k {top_k}, {pace}"
                                )  # fmt: skip
            seen.update(found)
            drawn[top_k] += len(found)
            used.add(tuple(prompt))
            seeds.add(sequence)
            cycles += sum(step.cycles for step in steps)
            sequence += 1
            print(f"  {seen.total()} tokens equal", file=sys.stderr)
    verilog = (folder / "rtl/chip.v").read_bytes()
    return {
        "model": name, "tokens": seen.total(), "sequences": sequence, "prompts": len(used),
        "seeds": len(seeds), "distinct": len(seen), "cycles": cycles,
        "tokens_by_top_k": dict(sorted(drawn.items())),
        "simulated_cycles_per_second": round(cycles / seconds),
        "simulated_tokens_per_second": round(seen.total() / seconds, 1),
        "identity": manifest["identity"], "chip": hashlib.sha256(verilog).hexdigest(),
        "simulator": f"Verilator {verilator.version()}",
    }  # fmt: skip


def main() -> int:
    """Run; the exit status is 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--tokens", type=int, default=2000, help="least number (%(default)s)")
    parser.add_argument("--prompts", type=int, default=8, help="number of them (%(default)s)")
    parser.add_argument("--limit", type=int, default=128, help="tokens a sequence (%(default)s)")
    args = parser.parse_args()
    for name in args.models:
        found = measure(name, args.tokens, args.prompts, args.limit)
        files.write_json(OUTPUT / f"bitexact_{name}.json", found)
        print(
            f"| {name} | {found['tokens']:,} | {found['prompts']} | {found['seeds']} | "
            f"{found['distinct']} | {found['cycles']:,} | "
            f"{found['simulated_tokens_per_second']} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
