"""The verify stage: a simulated chip against the golden model, in numbers."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow import data, digest, files, text
from flow.config import ModelConfig
from flow.fpga import simulator
from flow.graph import read
from flow.simulate import Chip, Engine, build
from flow.tools import verilator
from flow.verify import Result, check_identity, compare_frames, compare_tokens, edge_frames
from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.quantize import frame_integers

FRAME_SEED = 1


@dataclass(frozen=True, slots=True)
class Design:
    """What is compared.

    Parameters
    ----------
    engine : {"rtl", "netlist"}
    verilog : Path
        ``chip.v`` with ``rom/`` beside it, or ``netlist.v``.
    graph : Path
        The integer graph it was made from.
    manifest : Path
        Its manifest.
    """

    engine: Engine
    verilog: Path
    graph: Path
    manifest: Path


def run(model: ModelConfig, checkpoint: Path, design: Design, metrics: Path, log: Path) -> None:
    """Compare `design` with the golden model and write `metrics`.

    A difference is recorded, not raised: the checks judge it. When `metrics` already holds the
    answer for the same inputs, nothing runs.

    Raises
    ------
    FlowError
        If a file is absent or the design and the manifest belong to different runs.
    ToolError, ToolNotFoundError
        If the simulator cannot be built or dies.
    """
    inputs = _digest(model, checkpoint, design)
    if metrics.is_file() and files.read_json(metrics).get("inputs") == inputs:
        print(f"  {metrics}: nothing to do, same inputs as last time", file=sys.stderr)
        return
    manifest = files.read_json(design.manifest)
    graph = read(design.graph)
    folder = (
        simulator(metrics.parent) if design.engine == "netlist" else metrics.parent / "simulator"
    )
    print(f"  building the simulator of {design.verilog}", file=sys.stderr)
    program = build(design.engine, design.verilog, folder, log, kind=manifest["kind"])
    with Chip(program, design.verilog.parent, context=graph.context) as chip:
        check_identity(chip, manifest["identity"])
        least = model.verify.tokens if design.engine == "rtl" else model.verify.netlist_tokens
        print(f"  comparing at least {least} outputs", file=sys.stderr)
        # The RTL has shown the longest steps; a netlist of the same cycles is slow to simulate.
        result = _compare(model, checkpoint, graph, chip, least, fill=design.engine == "rtl")
    files.write_json(
        metrics,
        {
            **_numbers(result),
            "least": least,
            "engine": design.engine,
            "simulator": f"Verilator {verilator.version()}",
            "inputs": inputs,
        },
    )
    print(
        f"  {design.engine}: {result.compared} outputs compared, {len(result.mismatches)} "
        f"sequences differ",
        file=sys.stderr,
    )


def _compare(
    model: ModelConfig,
    checkpoint: Path,
    graph: IntegerGraph,
    chip: Chip,
    least: int,
    *,
    fill: bool,
) -> Result:
    if not graph.vocabulary:
        return compare_frames(graph, chip, _frames(model, checkpoint, graph, least))
    tokenizer = text.load(model.tokenizer, checkpoint, graph.vocabulary)
    return compare_tokens(
        graph,
        chip,
        prompts=[text.prompt(tokenizer, prompt, graph.bos) for prompt in model.verify.prompts],
        seeds=model.verify.seeds,
        tokens=least,
        fill=fill,
    )


def _frames(
    model: ModelConfig, checkpoint: Path, graph: IntegerGraph, least: int
) -> NDArray[np.int64]:
    """Extremes and random elements, and as many frames of the evaluation data."""
    made = edge_frames(graph, least - least // 2, FRAME_SEED)
    opened = open_checkpoint(checkpoint)
    network = import_model(opened)
    weights = reference.load_weights(network, opened)
    examples = data.load(model.data, network, weights, opened, None).evaluation.inputs
    real = np.resize(np.asarray(examples, np.float64), (least // 2, *examples.shape[1:]))
    return np.concatenate([made, frame_integers(graph, real).reshape(-1, *made.shape[1:])])


def _numbers(result: Result) -> dict[str, Any]:
    values = asdict(result)
    return {**values, "mismatches": len(result.mismatches), "differences": result.mismatches}


def _digest(model: ModelConfig, checkpoint: Path, design: Design) -> str:
    rom = design.verilog.parent / "rom"
    images = digest.tree(rom, rom.iterdir()) if design.engine == "rtl" and rom.is_dir() else ""
    tokenizer = (checkpoint if checkpoint.is_dir() else checkpoint.parent) / "tokenizer.json"
    return digest.text([
        digest.file(design.verilog), digest.file(design.graph), digest.file(design.manifest),
        images, asdict(model.verify), asdict(model.data), model.tokenizer,
        digest.file(tokenizer) if tokenizer.is_file() else "", verilator.version(),
        digest.sources("flow/verify.py", "flow/simulate.py", "flow/compare.py", "flow/testbench"),
    ])  # fmt: skip
