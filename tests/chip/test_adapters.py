"""Chips with adapter memory against golden: switched between sequences, loaded while generating."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, RisingEdge

from flow.evidence import provenance
from flow.testbench.stream import StreamSink, StreamSource, pauses, start
from rtl_gen import emit, reference
from rtl_gen.adapter.apply import beside
from rtl_gen.adapter.bypass import bypass
from rtl_gen.adapter.layout import host_words, lay_out
from rtl_gen.adapter.pack import pack, random_image
from rtl_gen.adapter.reader import load_adapter
from rtl_gen.adapter.region import Regions, insert
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import UnsupportedError
from rtl_gen.fabric.adapter_port import ADDRESS
from rtl_gen.golden import interpreter
from rtl_gen.golden.sample import initial_rng
from rtl_gen.ir import serialize
from rtl_gen.ir.integer import ConstMatVec
from rtl_gen.plan import Plan
from rtl_gen.quantize import Examples, Part, Recipe, quantize
from tests import checkpoints
from tests.adapter import peft_files
from tests.adapter.test_reader import ALL
from tests.flow.evidence import shapes
from tests.harness import parameters, run_cocotb, seed

BETA = 700
LIMIT = 6
LAST = 1 << 16
EVERY = ("*.attention.[qkv]", "*.output", "*.gate", "*.up", "*.down", "logits")


@dataclass(frozen=True)
class Built:
    graph: Any
    images: list[Any]
    plan: Plan


def build(folder: Path, make: Any, patterns: tuple[str, ...], rank: int, plan: Plan) -> Built:
    """A tiny chip, two trained images where the base is a Llama, and a hostile one."""
    checkpoint = open_checkpoint(make(folder / "base"))
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    rng = np.random.default_rng(seed())
    tokens = Examples(rng.integers(0, model.vocabulary, (8, model.context)))
    graph = insert(model, Regions(patterns, rank, slots=plan.slots))
    parts, adapters = [], []
    if make is checkpoints.tiny_llama:
        for number in (1, 2):
            path = peft_files.llama(folder / f"lora{number}", ALL, rank=rank, seed=number)
            adapters.append(load_adapter(path, model))
            parts.append(Part(beside(graph, weights, adapters[-1]), tokens))
    integer = quantize(graph, weights, Recipe(solver="nearest"), tokens, {}, parts)
    images = [pack(integer, adapter, tokens) for adapter in adapters]
    return Built(integer, [*images, random_image(integer, seed())], plan)


CASES = {
    "llama": (checkpoints.tiny_llama, EVERY[:-1], 2, Plan(4, slots=2)),
    "llama_beats": (checkpoints.tiny_llama, EVERY[:-1], 4, Plan(8, elements=2, slots=3)),
    "llama_high_rank": (checkpoints.tiny_llama, EVERY, 3, Plan(2, slots=1)),
    "llama_partly_in_space": (
        checkpoints.tiny_llama,
        EVERY[:-1],
        2,
        Plan(
            4,
            slots=2,
            styles=(
                ("layers.0.attention.q.weight", "serial"),
                ("layers.1.mlp.up.weight", "parallel"),
            ),
        ),
    ),
    "gpt2_one_kind": (checkpoints.tiny_gpt2, ("*.mlp.up", "layers.1.*.v"), 4, Plan(4, elements=4)),
}


@pytest.mark.cocotb
@pytest.mark.parametrize("name", CASES)
def test_a_chip_with_adapters_equals_golden(name: str, tmp_path: Path) -> None:
    make, patterns, rank, plan = CASES[name]
    built = build(tmp_path, make, patterns, rank, plan)
    graph = built.graph
    chip = emit.emit(graph, plan)
    assert Plan.told(chip.manifest["plan"]) == plan
    rng = np.random.default_rng(seed())
    cases, texts = [], set()
    # base, every image in turn through the same slot or the next one, base again
    order = [None, *range(len(built.images)), None]
    for number, which in enumerate(order):
        image = None if which is None else built.images[which]
        prompt = [*graph.bos, *rng.integers(0, graph.vocabulary, number % 3).tolist()]
        beta = (0, BETA)[number % 2]
        want = list(
            interpreter.generate(graph, prompt, beta=beta, seed=number, limit=LIMIT, adapter=image)
        )
        slot = 0 if which is None else which % plan.slots + 1
        words = None if image is None else host_words(graph, plan, image)
        cases.append({
            "prompt": prompt, "beta": beta, "rng": initial_rng(number), "want": want,
            "slot": slot, "words": words,
        })  # fmt: skip
        texts.add(tuple(want))
    assert len(texts) > 1
    run_cocotb(
        chip.verilog, module=__name__, build_dir=tmp_path / "run", testcase="sequences",
        parameters={"cases": cases, "base": serialize.digest(graph), "slots": plan.slots},
        files=chip.images, top="chip",
    )  # fmt: skip


async def write(dut: Any, name: str, value: int) -> None:
    dut.adapter_addr.value = ADDRESS[name]
    dut.adapter_write_data.value = value
    dut.adapter_write.value = 1
    await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.adapter_write.value = 0


async def read(dut: Any, name: str) -> int:
    dut.adapter_addr.value = ADDRESS[name]
    await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    return int(dut.adapter_read_data.value)


async def load(dut: Any, slot: int, base: str, words: list[int]) -> int:
    """Load an image and give the error code."""
    await write(dut, "OPEN", slot)
    digest = bytes.fromhex(base)
    for index in range(8):
        await write(dut, "IDENTITY", int.from_bytes(digest[4 * index : 4 * index + 4], "little"))
    for word in words:
        await write(dut, "DATA", word)
    await write(dut, "COMMIT", sum(words) & 0xFFFFFFFF)
    return await read(dut, "STATUS") >> 24


async def select(dut: Any, slot: int) -> int:
    await write(dut, "SELECT", slot)
    return await read(dut, "STATUS") >> 24


@cocotb.test()
async def sequences(dut: Any) -> None:
    given = parameters()
    rng = np.random.default_rng(seed())
    source = StreamSource(dut, "i", idle=pauses(rng, 0.2))
    sink = StreamSink(dut, "o", stall=pauses(rng, 0.2))
    for name in ("start", "id_addr", "limit", "adapter_write", "adapter_addr"):
        getattr(dut, name).value = 0
    dut.limit.value = LIMIT
    await start(dut, source, sink)
    cases = given["cases"]
    for number, case in enumerate(cases):
        if case["words"] is not None and given["slots"] == 1:
            # The one slot may be in use: the base goes first.
            assert await select(dut, 0) == 0
            await RisingEdge(dut.clk)
            assert await load(dut, 1, given["base"], case["words"]) == 0
        elif case["words"] is not None:
            assert await read(dut, "VALID") >> (case["slot"] - 1) & 1  # loaded meanwhile, below
        assert await select(dut, case["slot"]) == 0
        dut.beta.value, dut.seed.value = case["beta"], case["rng"]
        beats = [token | (LAST if last else 0) for token, last in marked(case["prompt"])]
        # A wrong base is refused, and the slot in use cannot be opened, while the chip runs.
        following = cases[number + 1] if number + 1 < len(cases) else None
        source.send(beats)
        if case["slot"]:
            for _ in range(100):
                await RisingEdge(dut.clk)
                if int(dut.busy.value):
                    break
            await FallingEdge(dut.clk)
            assert await load(dut, case["slot"], given["base"], [1]) in (2, 3)
        if following is not None and following["words"] and given["slots"] > 1:
            other = following["slot"]
            assert await load(dut, other, "00" * 32, following["words"]) == 4
            assert await select(dut, other) == 7
            assert await load(dut, other, given["base"], following["words"]) == 0
            assert await read(dut, "STATUS") & 0xFF == case["slot"]
        found = await sink.receive(len(case["want"]))
        assert [beat & 0xFFFF for beat in found] == case["want"], number
        assert [beat >= LAST for beat in found] == [*[False] * (len(found) - 1), True]
        for _ in range(100):
            await FallingEdge(dut.clk)
            if not int(dut.busy.value):
                break


def marked(tokens: list[int]) -> list[tuple[int, bool]]:
    return [(token, place == len(tokens) - 1) for place, token in enumerate(tokens)]


def test_new_weights_and_images_keep_the_verilog(tmp_path: Path) -> None:
    plan = Plan(4, slots=2)
    first = build(tmp_path / "a", checkpoints.tiny_llama, EVERY[:-1], 2, plan)
    other = build(
        tmp_path / "b", lambda path: checkpoints.tiny_llama(path, seed=9), EVERY[:-1], 2, plan
    )
    chips = [emit.emit(item.graph, plan) for item in (first, other)]
    assert chips[0].verilog == chips[1].verilog
    assert chips[0].manifest["adapters"]["base"] != chips[1].manifest["adapters"]["base"]


def test_the_manifest_counts_the_memory(tmp_path: Path) -> None:
    plan = Plan(4, slots=3)
    graph = build(tmp_path, checkpoints.tiny_llama, EVERY[:-1], 2, plan).graph
    manifest = emit.emit(graph, plan).manifest
    layout = lay_out(graph, plan)
    assert layout is not None
    found = [item for item in manifest["memories"] if item["class"] == "adapter"]
    assert sum(item["width"] * item["depth"] for item in found) == layout.geometry.bits
    # per layer q, k, v, output, gate, up, down: rank 2 of 8 bits over n_in and n_out (whole groups
    # of 4 lanes), and 16 bits for every row of both
    n_in, n_out = 6 * 8 + 12, 8 + 4 + 4 + 8 + 12 + 12 + 8
    assert layout.geometry.bits == 3 * 2 * (16 * (n_in + n_out) + 16 * (7 * 2 + n_out))
    assert manifest["adapters"]["slots"] == 3


def test_without_an_adapter_the_chip_runs_the_program_of_a_chip_without_regions(
    tmp_path: Path,
) -> None:
    plan = Plan(8, elements=2, slots=2)
    graph = build(tmp_path, checkpoints.tiny_llama, EVERY[:-1], 4, plan).graph
    chips = [emit.design(item, plan) for item in (graph, bypass(graph))]
    programs = [item.scheduled.program for item in chips]
    first, second = programs[0].part(adapted=False), programs[1].instructions
    assert [item.fields for item in first] == [item.fields for item in second]
    assert any("source" in item.fields and item.fields["source"] == 1
               for item in programs[0].part(adapted=True))  # fmt: skip
    # Both programs use the same words of the ROMs.
    for rom in ("matvec_weight", "matvec_row", "lookup", "norm_gain"):
        assert chips[0].contents.roms[rom].words == chips[1].contents.roms[rom].words
    given = emit.emit(graph, plan)
    made = shapes.Made(graph, given)
    found = provenance.compare(made.words, given.manifest, graph, given.verilog)
    assert found.differences == ()


def test_regions_of_a_chip_without_lanes_are_refused(tmp_path: Path) -> None:
    graph = build(tmp_path, checkpoints.tiny_llama, EVERY[:-1], 2, Plan(4, slots=2)).graph
    names = {node.op.weight for node in graph.nodes if isinstance(node.op, ConstMatVec)}
    styles = tuple((name, "serial") for name in sorted(names))
    with pytest.raises(UnsupportedError, match="leave one matrix there"):
        emit.emit(graph, Plan(4, slots=2, styles=styles))


def test_a_rank_that_is_no_whole_beat_is_refused(tmp_path: Path) -> None:
    graph = build(tmp_path, checkpoints.tiny_llama, EVERY[:-1], 3, Plan(4)).graph
    with pytest.raises(UnsupportedError, match="choose rank 4"):
        emit.emit(graph, Plan(4, elements=2))
