"""The wall of numbers: a chip against its peers, a C program on this processor, and its limits.

Run from the repository root, e.g. ``python -m benchmarks.wall stories260k ulx3s_85f`` after
``snakemake -c2 results/stories260k/ulx3s_85f/signoff.json``. Cycles come from the simulated RTL,
the clock from the routed design (without one, from ``--clock``), the C program
(``benchmarks/decoder.c``) is compiled and timed in the same run. Prints Markdown and writes
``results/benchmarks/wall_<model>.json``.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from flow import activity, config, ecp5, files
from flow.graph import read
from flow.simulate import Chip, Step, build
from flow.tools import verilator
from rtl_gen.checkpoint import open_checkpoint
from rtl_gen.checkpoint.reader import read_json
from rtl_gen.golden import sample
from rtl_gen.ir.integer import Attention, ConstMatVec, IntegerGraph, Sample

OUTPUT = Path("results/benchmarks")
SOURCE = Path(__file__).with_name("decoder.c")
COMPILER = ("gcc", "-O3", "-march=native", "-ffast-math")
GENERATED = 256
BLOCK_RAM_BITS = 36
"""Most bits that a block RAM of the ECP5 gives in a cycle (two ports of 18)."""
SHOWN = (1, 128, 256, 511)


def program_weights(folder: Path) -> bytes:
    """A Llama checkpoint in the form that ``decoder.c`` reads."""
    opened, c = open_checkpoint(folder), read_json(folder / "config.json")
    rope = c.get("rope_parameters") or {"rope_theta": c.get("rope_theta", 10000.0)}
    assert isinstance(rope, dict)
    sizes = [c[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers")]
    sizes += [c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]]
    sizes += [c["vocab_size"], c["max_position_embeddings"]]
    parts = [struct.pack("<8i2f", *sizes, c["rms_norm_eps"], rope["rope_theta"])]
    names = ["model.embed_tokens"]
    for layer in range(int(str(c["num_hidden_layers"]))):
        inside = ("input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                  "self_attn.o_proj", "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj",
                  "mlp.down_proj")  # fmt: skip
        names += [f"model.layers.{layer}.{name}" for name in inside]
    for name in [*names, "model.norm"]:
        parts.append(opened.tensor(f"{name}.weight").astype("<f4").tobytes())
    return b"".join(parts)


def program_rates(folder: Path, bos: int, tokens: int, repeats: int) -> dict[str, float]:
    """Tokens per second of the C program, the best of several repeats."""
    rates = {}
    with tempfile.TemporaryDirectory() as work:
        weights, binary = Path(work) / "model.bin", Path(work) / "decoder"
        weights.write_bytes(program_weights(folder))
        subprocess.run([*COMPILER, "-o", binary, SOURCE, "-lm"], check=True)
        for form in ("float", "int8"):
            line = [binary, weights, form, str(tokens), str(bos), str(repeats)]
            done = subprocess.run(line, check=True, capture_output=True, text=True).stdout
            rates[form] = tokens / min(map(float, done.splitlines()[1].split()))
    return rates


def chip_steps(
    name: str, graph: IntegerGraph, manifest: dict[str, Any], top_k: int
) -> dict[int, Step]:
    """One generation of `GENERATED` tokens at temperature 1, and a step at the last position."""
    folder = Path("results") / name
    node = next(item for item in graph.nodes if isinstance(item.op, Sample))
    assert isinstance(node.op, Sample)  # the line above, for the type checker
    beta = sample.beta(1.0, graph.value(node.inputs[0]).scale, node.op.shift)
    program = build(
        "rtl", folder / "rtl/chip.v", folder / "verify/simulator", OUTPUT / f"{name}.log",
        kind="token", adapters="adapters" in manifest, activity=True,
    )  # fmt: skip
    wanted = min(GENERATED, graph.context)
    longest: list[Step] = []
    places = manifest["plan"]["top_k"]
    with Chip(program, folder / "rtl", context=graph.context, top_k=places) as chip:
        chip.activity(True)
        for seed in range(20):
            steps = list(chip.generate(graph.bos, beta=beta, seed=seed, limit=wanted, top_k=top_k))
            longest = max(longest, steps, key=len)
            if len(longest) == wanted:
                break
        rng = np.random.default_rng(1)
        prompt = rng.integers(0, graph.vocabulary, graph.context - 1).tolist()
        # Of a first token only its own step is counted, from the last input on.
        end = next(iter(chip.generate(prompt, beta=beta, seed=1, limit=1, top_k=top_k)))
    found = dict(enumerate(longest, 1))
    return found | {graph.context - 1: end}


def limits(
    graph: IntegerGraph, manifest: dict[str, Any], device: str, position: float
) -> list[tuple[str, float]]:
    """Least cycles of a token if one resource alone were in the way."""
    products = [n.op for n in graph.nodes if isinstance(n.op, ConstMatVec)]
    weights = sum(graph.constants[op.weight].data.size for op in products)
    bits = sum(graph.constants[op.weight].data.size * graph.constants[op.weight].type.width
               for op in products)  # fmt: skip
    plan, room = manifest["plan"], ecp5.CAPACITY[device]
    rom = next(item for item in manifest["memories"] if item["name"] == "matvec_weight")
    caches = [item for item in manifest["memories"] if item["name"] in ("k_cache", "v_cache")]
    words = sum(item["depth"] for item in caches) / graph.context
    bits_kept = sum(item["depth"] * item["width"] * item["copies"] for item in caches)
    kept = bits_kept / graph.context
    heads = [item for item in manifest["products"] if item["a"] > 16]
    attention = sum(item["count"] for item in heads)
    macs = 2 * position * _attention_products(graph)
    return [
        (f"multipliers of the lanes: {weights:,} products, {plan['lanes'] * plan['elements']} a "
         "cycle", weights / (plan["lanes"] * plan["elements"])),
        (f"multipliers of attention: {macs:,.0f} products at that length, {attention} a cycle",
         macs / max(1, attention)),
        (f"weight ROM as built: {rom['width']:,} bits a cycle", bits / rom["width"]),
        (f"key and value caches as built, {words:.0f} words a position",
         position * words / 2),
        (f"all multipliers of the device, two narrow products each ({room.dsp})",
         (weights + macs) / (2 * room.dsp)),
        (f"all block RAMs of the device ({room.ebr} × {BLOCK_RAM_BITS} bits a cycle): weights, "
         "keys and values", (bits + position * kept) / (room.ebr * BLOCK_RAM_BITS)),
    ]  # fmt: skip


def _attention_products(graph: IntegerGraph) -> int:
    """Products per position of all layers' scores; as many again for the weighted sums."""
    ops = [node.op for node in graph.nodes if isinstance(node.op, Attention)]
    return sum(op.heads * op.head_dim for op in ops)


def collect(
    name: str, target: str, clock_mhz: float | None, repeats: int, top_k: int
) -> dict[str, Any]:
    """Measure everything."""
    model, aim = config.load_model(config.model_file(name)), config.target_file(target)
    folder = Path("results") / name
    graph = read(folder / "quantize/graph.safetensors")
    manifest = files.read_json(folder / "rtl/manifest.json")
    routed = folder / target / "metrics.json"
    clock = clock_mhz or files.read_json(routed)["metrics"]["timing__fmax"]["value"]
    steps = chip_steps(name, graph, manifest, top_k)
    generated = [step for position, step in steps.items() if position <= GENERATED]
    average = fmean(step.cycles for step in generated)
    mean_position = fmean(range(1, len(generated) + 1))
    parts = {
        str(position): activity.attribute(manifest["active"], steps[position].active)
        for position in SHOWN if position in steps
    }  # fmt: skip
    whole: dict[int, int] = {}
    for step in generated:
        for value, count in step.active.items():
            whole[value] = whole.get(value, 0) + count
    sums = activity.attribute(manifest["active"], whole)
    parts["average"] = {part: round(n / len(generated)) for part, n in sums.items()}
    return {
        "model": name, "target": target, "clock_mhz": clock, "tokens": len(generated),
        "routed": clock_mhz is None, "top_k": top_k, "cycles": round(average, 1),
        "tokens_per_second": round(1e6 * clock / average), "parts": parts,
        "limits": limits(graph, manifest, config.load_target(aim).device, mean_position),
        "program": program_rates(Path(model.checkpoint), graph.bos[0], GENERATED, repeats),
        "compiler": " ".join(COMPILER), "identity": manifest["identity"],
        "simulator": f"Verilator {verilator.version()}",
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    """Print the tables of ``docs/results.md``."""
    how = "routed" if found["routed"] else "assumed"
    rate = f"{found['tokens_per_second']:,} tokens/s at {found['clock_mhz']:.1f} MHz ({how})"
    print(f"{found['cycles']:,} cycles a token on average over {found['tokens']}; {rate}\n")
    columns = list(found["parts"])
    print("| part | " + " | ".join(columns) + " | % of average |")
    print("|---" * (len(columns) + 2) + "|")
    total = sum(found["parts"]["average"].values())
    for part, average in found["parts"]["average"].items():
        cells = [f"{found['parts'][column][part]:,}" for column in columns]
        print(f"| {activity.TITLES[part]} | {' | '.join(cells)} | {100 * average / total:.1f} |")
    sums = [f"{sum(found['parts'][column].values()):,}" for column in columns]
    print(f"| all | {' | '.join(sums)} | 100 |\n")
    print("| limit | cycles | chip ÷ limit |")
    print("|---|---|---|")
    for title, cycles in found["limits"]:
        print(f"| {title} | {cycles:,.0f} | {found['cycles'] / cycles:.1f} |")
    print(f"\n| C program, 1 thread, `{found['compiler']}` | tokens per second of processor time |")
    print("|---|---|")
    for form, rate in found["program"].items():
        print(f"| {form} | {rate:,.0f} |")


def main() -> int:
    """Run; the exit status is 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("target")
    parser.add_argument("--clock", type=float, help="MHz instead of the routed design's")
    parser.add_argument("--repeats", type=int, default=9, help="of the C program (%(default)s)")
    parser.add_argument(
        "--top-k", type=int, default=0, help="draw among this many largest logits; 0 is all"
    )
    args = parser.parse_args()
    found = collect(args.model, args.target, args.clock, args.repeats, args.top_k)
    files.write_json(OUTPUT / f"wall_{args.model}.json", found)
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
