"""``intaglio run``: text (or labels) from the golden model, the simulated RTL or the netlist."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flow import adapter_driver, checkpoint, config, files, text
from flow.arrays import check_frames, read_npz
from flow.commands.adapter import find
from flow.config import ModelConfig
from flow.fpga import simulator
from flow.graph import read
from flow.simulate import Chip, build
from flow.verify import check_identity
from rtl_gen.adapter.layout import host_words
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import ConfigError, FlowError
from rtl_gen.golden import interpreter, sample
from rtl_gen.ir.adapter import AdapterImage
from rtl_gen.ir.integer import IntegerGraph, Sample
from rtl_gen.plan import Plan
from rtl_gen.quantize import frame_integers

RESULTS = Path("results")
LOGS = Path("logs")
TOP_K_MAX = 255
"""Of the register."""

EPILOG = """\
Generates with what `snakemake` built last; what is missing is built first. The text goes to
standard output as it comes, everything else to standard error.

examples:
  intaglio run names                                  the integer model, a name
  intaglio run names --engine rtl --prompt jo         the simulated Verilog goes on from "jo"
  intaglio run names --engine netlist --seed 7        the synthesized netlist, another name
  intaglio run names --temperature 0                  the likeliest token every time
  intaglio run names --top-k 5                        one of the five likeliest tokens
  intaglio run stories260k_lora --adapter shakespeare  with a LoRA adapter in its memory
  intaglio run names --tokens 0,12,5                  a prompt of token ids
  intaglio run digits_cnn --input digits.npz --count 5  labels and outputs of five frames
"""


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What one run uses.

    Parameters
    ----------
    model : ModelConfig
    engine : str
    target : str
        Whose netlist is simulated.
    graph : IntegerGraph
    checkpoint : Path
        For the tokenizer.
    adapter : AdapterImage or None
        What the adapter memory holds.
    """

    model: ModelConfig
    engine: str
    target: str
    graph: IntegerGraph
    checkpoint: Path
    adapter: AdapterImage | None = None


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``run``."""
    parser = subparsers.add_parser(
        "run",
        help="generate with the golden model, the simulated RTL or the netlist",
        description="Generate with the golden model, the simulated RTL or the netlist.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="name or file in configs/models")
    parser.add_argument(
        "--engine",
        choices=("golden", "rtl", "netlist"),
        default="golden",
        help="what computes (default: %(default)s)",
    )
    parser.add_argument("--target", help="whose netlist (default: the model's first)")
    parser.add_argument("--checkpoint", help="instead of the configured one, for its tokenizer")
    parser.add_argument("--adapter", metavar="NAME", help="use this adapter (`intaglio adapter`)")
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", help="text to go on from (default: generate.prompt)")
    prompt.add_argument("--tokens", help="token ids to go on from, e.g. 0,12,5")
    parser.add_argument("--seed", type=int, help="(default: generate.seed)")
    parser.add_argument("--temperature", type=float, help="0 is greedy (generate.temperature)")
    parser.add_argument(
        "--top-k", type=int, help="draw among this many largest logits, 0 for all (generate.top_k)"
    )
    parser.add_argument("--limit", type=int, help="most tokens, 0 for no limit (generate.limit)")
    parser.add_argument("--input", type=Path, metavar="FILE", help=".npz file with frames in in_x")
    parser.add_argument("--count", type=int, default=1, help="frames of the file (%(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Generate; always 0."""
    named = Path(args.model)
    path = named if named.suffix == ".yaml" else config.model_file(args.model)
    model = config.load_model(path)
    runs = config.read_runs()
    found = Artefacts(
        model,
        args.engine,
        args.target or runs.targets(model.name)[0],
        read(_built(RESULTS / model.name / "quantize/graph.safetensors")),
        checkpoint.locate(args.checkpoint or runs.checkpoint_of(model)),
    )
    if args.adapter is not None:
        image = find(model, found.graph, args.adapter, found.checkpoint)
        found = replace(found, adapter=image)
    with ExitStack() as stack:
        chip = None if args.engine == "golden" else stack.enter_context(_chip(found))
        if found.graph.vocabulary:
            _text(args, found, chip)
        else:
            _frames(args, found, chip)
    return 0


def _text(args: argparse.Namespace, found: Artefacts, chip: Chip | None) -> None:
    if args.input is not None:
        raise ConfigError(f"--input: {found.model.name} reads tokens; use --prompt or --tokens")
    graph, settings = found.graph, found.model.generate
    tokenizer = text.load(found.model.tokenizer, found.checkpoint, graph.vocabulary)
    begin = settings.prompt if args.prompt is None else args.prompt
    if args.tokens is None:
        prompt = text.prompt(tokenizer, begin, graph.bos)
    else:
        prompt, begin = _ids(args.tokens, graph), ""
    _check_prompt(prompt, graph)
    temperature = settings.temperature if args.temperature is None else args.temperature
    seed = settings.seed if args.seed is None else args.seed
    limit = settings.limit if args.limit is None else args.limit
    if limit < 0 or limit > 0xFFFF:
        raise ConfigError(f"--limit: expected 0 to 65535, found {limit}")
    top_k = settings.top_k if args.top_k is None else args.top_k
    _check_top_k(top_k, chip)
    registers = {"beta": _beta(graph, temperature), "seed": seed, "limit": limit, "top_k": top_k}
    steps = _steps(found, chip, prompt, registers)
    shown = text.Stream(tokenizer, prompt)
    cycles: list[int] = []
    count = 0
    start = time.monotonic()
    print(begin, end="", flush=True)
    for token, taken in steps:
        count += 1
        cycles += [taken] if taken else []
        if token not in graph.eos:
            print(shown.push(token), end="", flush=True)
    print(shown.finish(), flush=True)
    _summary(found, "tokens", count, time.monotonic() - start, cycles)


def _frames(args: argparse.Namespace, found: Artefacts, chip: Chip | None) -> None:
    if args.input is None:
        raise ConfigError(f"{found.model.name} reads frames; give some with --input FILE.npz")
    arrays = read_npz(args.input)
    if "in_x" not in arrays:
        raise ConfigError(
            f"{args.input}: expected an array in_x, found {', '.join(arrays) or 'nothing'}"
        )
    opened = open_checkpoint(found.checkpoint)
    chosen = arrays["in_x"][: max(1, args.count)]
    frames = frame_integers(
        found.graph, check_frames(import_model(opened), opened, chosen, f"{args.input}: in_x")
    )
    name = found.graph.inputs[0].name
    cycles: list[int] = []
    start = time.monotonic()
    for frame in frames:
        if chip is None:
            state = interpreter.initial_state(found.graph, 1)
            values, _ = interpreter.step(found.graph, {name: frame[None]}, state, found.adapter)
            parts = [values[value].ravel() for value in found.graph.outputs.values()]
            outputs = np.concatenate(parts).tolist()
        else:
            outputs, taken = chip.frame(frame.ravel().tolist())
            cycles.append(taken)
        print(int(np.argmax(outputs)), *outputs, flush=True)
    _summary(found, "frames", len(frames), time.monotonic() - start, cycles)


def _steps(
    found: Artefacts, chip: Chip | None, prompt: Sequence[int], registers: Mapping[str, int]
) -> Iterator[tuple[int, int]]:
    """Tokens with their clock cycles, 0 where there is no clock."""
    if chip is None:
        tokens = interpreter.generate(found.graph, prompt, **registers, adapter=found.adapter)
        for token in tokens:
            yield token, 0
    else:
        for step in chip.generate(prompt, **registers):
            yield step.token, step.cycles


def _chip(found: Artefacts) -> Chip:
    """Start the simulation that `found` asks for."""
    folder = RESULTS / found.model.name
    manifest = files.read_json(_built(folder / "rtl/manifest.json"))
    if found.engine == "rtl":
        verilog, job = _built(folder / "rtl/chip.v"), folder / "verify/simulator"
    else:
        verilog = _built(folder / found.target / "netlist.v")
        job = simulator(folder / found.target)
    log = LOGS / found.model.name / f"run.{found.engine}.log"
    print(f"  simulating {verilog}", file=sys.stderr)
    program = build(
        "rtl" if found.engine == "rtl" else "netlist", verilog, job, log,
        kind=manifest["kind"], adapters="adapters" in manifest,
        # The same program as the comparison's, which is built already.
        activity=found.engine == "rtl" and manifest["kind"] == "token",
    )  # fmt: skip
    top_k = manifest.get("plan", {}).get("top_k", 0)
    chip = Chip(program, verilog.parent, context=found.graph.context, top_k=top_k)
    try:
        check_identity(chip, manifest["identity"])
        if found.adapter is not None:
            words = host_words(found.graph, Plan.told(manifest["plan"]), found.adapter)
            adapter_driver.load(chip, 1, found.adapter.base, words)
            adapter_driver.select(chip, 1)
    except FlowError:
        chip.close()
        raise
    return chip


def _built(path: Path) -> Path:
    """Give `path`, built by Snakemake if it is not there."""
    if path.exists():
        return path
    if not Path("Snakefile").is_file():
        raise FlowError(f"{path}: no such file, and no Snakefile to build it with in {Path.cwd()}; "
                        "run from the root of the repository")  # fmt: skip
    print(f"  {path} is not there yet: building it", file=sys.stderr)
    line = [sys.executable, "-m", "snakemake", "--cores", "2", str(path)]
    status = subprocess.run(line, stdout=sys.stderr.fileno(), check=False).returncode
    if status or not path.exists():
        raise FlowError(f"{path} could not be built; see above, or run `snakemake -c2 {path}`")
    return path


def _ids(given: str, graph: IntegerGraph) -> list[int]:
    words = given.replace(",", " ").split()
    wrong = [word for word in words if not (word.isdecimal() and int(word) < graph.vocabulary)]
    if wrong:
        raise ConfigError(
            f"--tokens: expected numbers from 0 to {graph.vocabulary - 1}, found {wrong[0]!r}"
        )
    return [int(word) for word in words]


def _check_prompt(prompt: Sequence[int], graph: IntegerGraph) -> None:
    if not prompt and not graph.bos:
        raise ConfigError("--prompt: the model has no bos token; give at least one token")
    if len(prompt) > graph.context:
        raise ConfigError(
            f"--prompt: {len(prompt)} tokens do not fit the context of {graph.context}; "
            "give a shorter prompt"
        )


def _check_top_k(top_k: int, chip: Chip | None) -> None:
    """The golden model draws among any number; a chip has places for some."""
    most = TOP_K_MAX if chip is None else chip.top_k
    if not 0 <= top_k <= most:
        raise ConfigError(
            f"--top-k: expected 0 (all) to {most}, found {top_k}"
            + ("; the chip has no more places: raise plan.top_k" if most < TOP_K_MAX else "")
        )


def _beta(graph: IntegerGraph, temperature: float) -> int:
    node = next(node for node in graph.nodes if isinstance(node.op, Sample))
    assert isinstance(node.op, Sample)  # the line above, for the type checker
    try:
        return sample.beta(temperature, graph.value(node.inputs[0]).scale, node.op.shift)
    except ValueError as error:
        raise ConfigError(f"--temperature: {error}") from error


def _summary(
    found: Artefacts, unit: str, count: int, seconds: float, cycles: Sequence[int]
) -> None:
    rate = count / seconds if seconds else 0.0
    lines = [f"{found.engine}: {count} {unit} in {seconds:.2f} s, {rate:.1f} {unit}/s here"]
    if cycles:
        average = sum(cycles[1:] or cycles) / len(cycles[1:] or cycles)
        clock = config.load_target(config.target_file(found.target)).clock_mhz
        lines.append(
            f"cycles: {cycles[0]} to the first, then {average:.1f} on average; "
            f"{1e6 * clock / average:,.0f} {unit}/s at the {clock:g} MHz of {found.target}"
        )
    print("".join(f"  {line}\n" for line in lines), end="", file=sys.stderr)
