"""Planted faults: verification of a chip finds them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from flow import mutate, simulate, verify
from flow.simulate import Chip
from flow.tools import base, yosys
from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.emit import Emitted, emit
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.plan import Plan
from rtl_gen.quantize import Examples, Recipe, quantize
from tests.harness import require_tool, seed
from tests.testbench import toy

ROOT = Path(__file__).parents[2]
LANES = 16
WEIGHT_BITS = 8
TOKENS = 2000


def write(folder: Path, verilog: str, images: Mapping[str, str]) -> Path:
    for name, text in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "chip.v").write_text(verilog)
    return folder


def build(engine: simulate.Engine, verilog: Path) -> Path:
    folder = verilog.parent
    return simulate.build(engine, verilog, folder / "sim", folder / "sim.log", kind="token")


@pytest.fixture(scope="module")
def graph() -> IntegerGraph:
    """The names model; which data calibrate it does not matter here."""
    checkpoint = open_checkpoint(ROOT / "models/names")
    model = import_model(checkpoint)
    tokens = np.random.default_rng(seed()).integers(0, model.vocabulary, (16, 24))
    weights = reference.load_weights(model, checkpoint)
    return quantize(model, weights, Recipe(), Examples(tokens), {"checkpoint": checkpoint.digest})


@pytest.fixture(scope="module")
def emitted(graph) -> Emitted:
    return emit(graph, Plan(LANES))


@pytest.fixture(scope="module")
def good(emitted, tmp_path_factory) -> tuple[Path, Path]:
    for tool in ("g++", "make"):
        require_tool(tool, "install the Debian package build-essential")
    folder = write(tmp_path_factory.mktemp("good"), emitted.verilog, emitted.images)
    return build("rtl", folder / "chip.v"), folder


def test_the_chip_without_a_fault_passes(graph, emitted, good) -> None:
    program, folder = good
    with Chip(program, folder) as chip:
        verify.check_identity(chip, emitted.manifest["identity"])
        assert mutate.caught(graph, chip, tokens=TOKENS) == ""


@pytest.mark.parametrize("part", range(4))
def test_flipped_weight_is_caught(graph, emitted, good, tmp_path, part: int) -> None:
    """The top bit of one weight; the program stays, only its ROM image changes."""
    (name,) = mutate.weight_images(emitted.images)
    words = len(emitted.images[name].splitlines())
    mutant = mutate.flip_image(emitted.images[name], words * (2 * part + 1) // 8, WEIGHT_BITS - 1)
    folder = write(tmp_path, "", {**emitted.images, name: mutant.text})
    with Chip(good[0], folder) as chip:
        found = mutate.caught(graph, chip, tokens=TOKENS)
    assert "expected" in found, f"{mutant.place} was not caught"


def test_off_by_one_is_caught(graph, emitted, tmp_path) -> None:
    body = emitted.verilog[emitted.verilog.index("module \\chip.sequencer") :]
    added = re.findall(r"= (\S+)\s+\+ 1'h1;", body[: body.index("endmodule")])
    mutant = mutate.off_by_one(emitted.verilog, "chip.sequencer", added.index("position"))
    folder = write(tmp_path, mutant.text, emitted.images)
    with Chip(build("rtl", folder / "chip.v"), folder, watchdog_cycles=50_000) as chip:
        assert mutate.caught(graph, chip, tokens=TOKENS), f"{mutant.place} was not caught"


def test_flipped_weight_of_a_netlist_is_caught(tmp_path) -> None:
    toy.write_images(tmp_path)
    job = yosys.synthesize_chip(toy.VERILOG, tmp_path / "rom")
    base.run(job, tmp_path / "synthesis", tmp_path / "synthesis.log")
    netlist = (tmp_path / "synthesis/netlist.v").read_text()
    table = toy.graph().constants["table"].data
    best = int(table[toy.BOS].argmax())
    words = [int(value) & 0xFFFF for value in table.ravel()[:16]]
    mutant = mutate.flip_initial(netlist, words, toy.BOS * toy.VOCABULARY + best, bit=15)
    (tmp_path / "netlist.v").write_text(mutant.text)
    with Chip(build("netlist", tmp_path / "netlist.v"), tmp_path) as chip:
        found = mutate.caught(toy.graph(), chip, tokens=300)
    assert "expected" in found, f"{mutant.place} was not caught"


def test_texts_are_changed_in_one_place() -> None:
    assert mutate.flip_image("00f\n100\n", 1, 0) == mutate.Mutant("bit 0 of word 1", "00f\n101\n")
    with pytest.raises(ValueError, match="no bit 12 of word 1 in an image of 2 words"):
        mutate.flip_image("00f\n100\n", 1, 12)
    text = "module a(x);\n  y = x + 4'h1;\nendmodule\nmodule b(x);\n  z = x + 1'h1;\nendmodule\n"
    mutant = mutate.off_by_one(text, "b", 0)
    assert mutant == mutate.Mutant("b, line 5: 1'h1 becomes 2'h2", text.replace("1'h1", "2'h2"))
    with pytest.raises(ValueError, match="module b adds 1 constants, there is no number 1"):
        mutate.off_by_one(text, "b", 1)
    with pytest.raises(ValueError, match="no module c"):
        mutate.off_by_one(text, "c", 0)
    with pytest.raises(ValueError, match="0 block RAMs start with"):
        mutate.flip_initial(text, [1, 2], 0, 0)
