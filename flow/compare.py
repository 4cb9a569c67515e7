"""The verify stage: a simulated chip against the golden model, in numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow import activity, adapter_driver, adapters, data, digest, files, text
from flow.config import ModelConfig
from flow.evidence import carry
from flow.fpga import simulator
from flow.graph import read
from flow.simulate import CELLS, Chip, Engine, build
from flow.tools import verilator
from flow.verify import (
    MismatchError,
    Result,
    check_identity,
    compare_frames,
    compare_tokens,
    edge_frames,
)
from rtl_gen import reference
from rtl_gen.adapter.layout import host_words
from rtl_gen.adapter.pack import pack, random_image
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.ir.adapter import AdapterImage
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.plan import Plan
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
    cells : Path, optional
        Models of the standard cells of a netlist; without them it is one of ECP5 cells.
    """

    engine: Engine
    verilog: Path
    graph: Path
    manifest: Path
    cells: Path | None = None


def run(model: ModelConfig, checkpoint: Path, design: Design, metrics: Path, log: Path) -> None:
    """Compare `design` with the golden model and write `metrics`.

    A difference is recorded, not raised: the checks judge it. When `metrics` already holds the
    answer for the same inputs, nothing runs; when it holds one that counts for these constants,
    too (`flow.evidence.carry`), it is carried over unless the model's configuration says otherwise.

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
    # Weights are logic in a netlist of standard cells: nothing is carried over to other weights.
    about = {} if design.cells else carry.subject(
        design.engine, design.verilog, design.manifest, manifest, graph, _trial(model, checkpoint)
    )  # fmt: skip
    if model.verify.carry and about and metrics.is_file():
        known = files.read_json(metrics)
        why = carry.condition(
            known, about, graph, design.manifest.with_name("chip.v"),
            metrics.with_name(f"{metrics.stem}.elaborated"),
        )  # fmt: skip
        if why is not None:
            files.write_json(metrics, {**known, "inputs": inputs, "carried": why})
            print(f"  {design.engine}: carried over; {why['condition']}", file=sys.stderr)
            return
    shared = design.engine == "netlist" and design.cells is None
    folder = simulator(metrics.parent) if shared else metrics.parent / "simulator"
    print(f"  building the simulator of {design.verilog}", file=sys.stderr)
    watched = design.engine == "rtl" and manifest["kind"] == "token"
    program = build(
        design.engine, design.verilog, folder, log, kind=manifest["kind"],
        adapters="adapters" in manifest, activity=watched,
        trace=design.cells is not None,  # `flow.silicon.toggles` runs the same program
        cells=design.cells or CELLS,
    )  # fmt: skip
    top_k = manifest.get("plan", {}).get("top_k", 0)
    with Chip(program, design.verilog.parent, context=graph.context, top_k=top_k) as chip:
        check_identity(chip, manifest["identity"])
        if watched:
            chip.activity(True)
        least = model.verify.tokens if design.engine == "rtl" else model.verify.netlist_tokens
        print(f"  comparing at least {least} outputs", file=sys.stderr)
        # The RTL has shown the longest steps; a netlist of the same cycles is slow to simulate.
        result = _compare(
            model, checkpoint, graph, chip, least, seeds=model.verify.seeds,
            fill=design.engine == "rtl",
        )  # fmt: skip
        if watched:
            chip.activity(False)
        adapted = _adapted(model, checkpoint, graph, chip, manifest, least // 4)
    files.write_json(
        metrics,
        {
            **_numbers(result, manifest.get("active", [])),
            **({"adapters": adapted} if adapted else {}),
            "least": least,
            "engine": design.engine,
            "simulator": f"Verilator {verilator.version()}",
            "identity": manifest["identity"],
            "about": about,
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
    seeds: Sequence[int],
    fill: bool,
    adapter: AdapterImage | None = None,
) -> Result:
    if not graph.vocabulary:
        return compare_frames(graph, chip, _frames(model, checkpoint, graph, least), adapter)
    tokenizer = text.load(model.tokenizer, checkpoint, graph.vocabulary)
    return compare_tokens(
        graph,
        chip,
        prompts=[text.prompt(tokenizer, prompt, graph.bos) for prompt in model.verify.prompts],
        seeds=seeds,
        tokens=least,
        fill=fill,
        adapter=adapter,
    )


def _adapted(
    model: ModelConfig, checkpoint: Path, graph: IntegerGraph, chip: Chip,
    manifest: dict[str, Any], least: int,
) -> dict[str, Any]:  # fmt: skip
    """Compare again with adapters in turn: random contents first, those of the configuration next.

    Slots are used one after the other and overwritten, each loaded while the chip generates with
    the one before, if there are several; the base comes last, once more.

    Raises
    ------
    MismatchError
        If a sequence differs.
    """
    if "adapters" not in manifest:
        return {}
    plan = Plan.told(manifest["plan"])
    images = [random_image(graph, FRAME_SEED)]
    if model.adapters.trained:
        base = adapters.open_base(model, checkpoint)
        for item in adapters.all_trained(model, base):
            packed = pack(graph, item.adapter, item.data.calibration)
            images.append(replace(packed, name=item.name))
    numbers = {}
    slots = [index % plan.slots + 1 for index in range(len(images))]
    writes = [
        adapter_driver.commands(slot, image.base, host_words(graph, plan, image))
        for slot, image in zip(slots, images, strict=True)
    ]
    for index, image in enumerate([*images, None]):
        slot = 0 if image is None else slots[index]
        if image is not None and slot not in adapter_driver.valid_slots(chip):
            adapter_driver.select(chip, 0)
            adapter_driver.load(chip, slot, image.base, host_words(graph, plan, image))
        adapter_driver.select(chip, slot)
        following = writes[index + 1] if plan.slots > 1 and index + 1 < len(images) else []
        chip.during(following)
        result = _compare(
            model, checkpoint, graph, chip, least, seeds=model.verify.seeds[:1], fill=False,
            adapter=image,
        )  # fmt: skip
        left = chip.waiting()
        chip.during([])
        for write in following[len(following) - left :]:
            chip.write(*write)
        name = "base" if image is None else image.name
        numbers[name] = {
            "slot": slot,
            "written meanwhile": len(following) - left,
            **_numbers(result, []),
        }
        if result.mismatches:
            raise MismatchError(
                f"with adapter {name} in slot {slot} the chip differs from the golden model:\n  "
                + "\n  ".join(result.mismatches)
            )
    return numbers


def _frames(
    model: ModelConfig, checkpoint: Path, graph: IntegerGraph, least: int
) -> NDArray[np.int64]:
    """Extremes and random elements, and as many frames of the evaluation data."""
    made = edge_frames(graph, least - least // 2, FRAME_SEED)
    real = evaluation_frames(model, checkpoint, graph, least // 2)
    return np.concatenate([made, real.reshape(-1, *made.shape[1:])])


def evaluation_frames(
    model: ModelConfig, checkpoint: Path, graph: IntegerGraph, count: int
) -> NDArray[np.int64]:
    """Frames of the evaluation data, the first ones again if there are fewer than `count`."""
    opened = open_checkpoint(checkpoint)
    network = import_model(opened)
    weights = reference.load_weights(network, opened)
    examples = data.load(model.data, network, weights, opened, None).evaluation.inputs
    real = np.resize(np.asarray(examples, np.float64), (count, *examples.shape[1:]))
    return frame_integers(graph, real)


def _numbers(result: Result, parts: Sequence[str]) -> dict[str, Any]:
    values = asdict(result)
    if result.activity:
        counts, steps = result.activity["average"]
        average = activity.attribute(parts, counts)
        values["activity"] = {
            "average": {part: round(cycles / max(steps, 1), 2) for part, cycles in average.items()},
            "positions": {
                position: activity.attribute(parts, counts)
                for position, counts in result.activity["positions"].items()
            },
        }
    return {**values, "mismatches": len(result.mismatches), "differences": result.mismatches}


def _digest(model: ModelConfig, checkpoint: Path, design: Design) -> str:
    rom = design.verilog.parent / "rom"
    images = digest.tree(rom, rom.iterdir()) if design.engine == "rtl" and rom.is_dir() else ""
    return digest.text([
        digest.file(design.verilog), digest.file(design.graph), digest.file(design.manifest),
        images, digest.file(design.cells) if design.cells else "", _trial(model, checkpoint),
    ])  # fmt: skip


def _trial(model: ModelConfig, checkpoint: Path) -> str:
    """Digest of how a comparison is made: settings, words, simulator, testbench."""
    tokenizer = (checkpoint if checkpoint.is_dir() else checkpoint.parent) / "tokenizer.json"
    return digest.text([
        asdict(model.verify), asdict(model.data), model.tokenizer,
        asdict(model.adapters),
        digest.file(tokenizer) if tokenizer.is_file() else "", verilator.version(),
        digest.sources(
            "flow/verify.py", "flow/simulate.py", "flow/compare.py", "flow/activity.py",
            "flow/testbench",
        ),
    ])  # fmt: skip
