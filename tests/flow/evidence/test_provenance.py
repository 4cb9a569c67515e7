"""The reader finds every number of a graph in a chip's memories, and every change of one."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from flow.evidence import design, memories, provenance
from flow.evidence.adders import Cores
from flow.tools import base, yosys
from rtl_gen.emit import emit
from rtl_gen.ir.integer import ConstMatVec
from rtl_gen.plan import Plan
from tests.flow.evidence import shapes
from tests.harness import seed


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> shapes.Made:
    return shapes.make("llama", tmp_path_factory.mktemp("llama"))


def compared(made: shapes.Made, words: memories.Words) -> provenance.Comparison:
    return provenance.compare(words, made.emitted.manifest, made.graph, made.emitted.verilog)


@pytest.mark.parametrize("name", shapes.NAMES)
def test_every_constant_of_every_shape_is_found(name: str, tmp_path: Path) -> None:
    made = shapes.make(name, tmp_path)
    found = compared(made, made.words)
    assert found.differences == ()
    assert found.tensors == len(made.graph.constants)
    assert found.numbers >= sum(item.data.size for item in made.graph.constants.values())


@pytest.mark.parametrize("name", shapes.ETCHED)
def test_a_matrix_wired_in_space_is_not_claimed_without_its_adder_graph(
    name: str, tmp_path: Path
) -> None:
    made = shapes.make(name, tmp_path)
    found = compared(made, made.words)
    etched = made.emitted.manifest["weights_in_logic"]
    assert etched
    assert len(found.differences) == len(etched)
    assert all("was not read back" in difference for difference in found.differences)


@pytest.mark.parametrize("name", shapes.ETCHED)
def test_a_matrix_wired_in_space_is_read_back(name: str, tmp_path: Path) -> None:
    made = shapes.make(name, tmp_path / "checkpoint")
    made.write(tmp_path)
    base.run(
        yosys.adders(tmp_path / "chip.v", tmp_path / "rom"), tmp_path / "job", tmp_path / "log"
    )
    cores = Cores(*(design.read(tmp_path / f"job/{part}.json") for part in ("words", "gates")))
    found = provenance.compare(
        made.words, made.emitted.manifest, made.graph, made.emitted.verilog, cores
    )
    assert found.differences == ()
    assert found.tensors == len(made.graph.constants)


def test_yosys_reads_the_same_words(llama: shapes.Made, tmp_path: Path) -> None:
    llama.write(tmp_path)
    base.run(
        yosys.elaborate(tmp_path / "chip.v", tmp_path / "rom"), tmp_path / "job", tmp_path / "log"
    )
    found = memories.of_rtl(design.read(tmp_path / "job/rtl.json"), llama.emitted.manifest)
    assert found.keys() == llama.words.keys()
    for name, words in llama.words.items():
        assert np.array_equal(found[name], words)


def test_every_flipped_bit_is_noticed(llama: shapes.Made) -> None:
    """A bit anywhere, identity and instructions included; a tensor's is named."""
    rng = np.random.default_rng(seed())
    for name, words in llama.words.items():
        changed = words.copy()
        word, bit = rng.integers(words.shape[0]), rng.integers(words.shape[1])
        changed[word, bit] ^= 1
        assert compared(llama, {**llama.words, name: changed}).differences, (name, word, bit)


def test_a_wrong_weight_is_named_by_tensor_and_place(llama: shapes.Made) -> None:
    node = next(node for node in llama.graph.nodes if isinstance(node.op, ConstMatVec))
    weight = llama.graph.constants[node.op.weight].data
    changed = llama.words["matvec_weight"].copy()
    changed[0, 0] ^= 1  # the lowest bit of row 0, column 0 of the matrix placed first
    first, *_ = compared(llama, {**llama.words, "matvec_weight": changed}).differences
    assert first.startswith(f"{node.op.weight}[0, 0]: {weight[0, 0] ^ 1} in matvec_weight, word 0")


def test_exchanged_rows_are_noticed(llama: shapes.Made) -> None:
    words = llama.words["matvec_weight"]
    other = next(k for k in range(1, len(words)) if (words[k] != words[0]).any())
    changed = words.copy()
    changed[[0, other]] = words[[other, 0]]
    assert compared(llama, {**llama.words, "matvec_weight": changed}).differences


def test_a_wrong_address_is_noticed(llama: shapes.Made) -> None:
    """An instruction that starts a matrix one word late, in a manifest that says it is right."""
    manifest = copy.deepcopy(llama.emitted.manifest)
    place = manifest["program"]["fields"]["weight_base"]
    program = llama.words["program"].copy()
    row = next(k for k, entry in enumerate(manifest["schedule"]) if entry["head"] == "matvec")
    program[row, place["offset"]] ^= 1
    assert any(
        "weight" in line
        for line in compared(llama, {**llama.words, "program": program}).differences
    )


def test_a_shift_is_read_from_the_program(llama: shapes.Made) -> None:
    place = llama.emitted.manifest["program"]["fields"]["head_shift"]
    program = llama.words["program"].copy()
    row = next(
        k for k, entry in enumerate(llama.emitted.manifest["schedule"]) if entry["head"] == "norm"
    )
    program[row, place["offset"]] ^= 1
    differences = compared(llama, {**llama.words, "program": program}).differences
    assert any("head_shift" in line and f"instruction {row}" in line for line in differences)


def test_bits_that_belong_to_nothing_are_noticed(llama: shapes.Made) -> None:
    longer = {
        name: np.vstack([words, np.ones((1, words.shape[1]), np.uint8)])
        for name, words in llama.words.items()
    }
    for name in ("matvec_weight", "norm_gain", "rotary", "lookup", "embedding_row"):
        differences = compared(llama, {**llama.words, name: longer[name]}).differences
        assert any(line.startswith(f"{name}: ") and "no constant" in line for line in differences)


def test_an_image_of_another_chip_is_noticed(llama: shapes.Made, tmp_path: Path) -> None:
    other = {name: np.roll(words, 1, axis=0) for name, words in llama.words.items()}
    for name in ("matvec_weight", "matvec_row", "embedding_table", "norm_gain", "identity"):
        assert compared(llama, {**llama.words, name: other[name]}).differences, name


def test_weights_wired_in_space_are_not_claimed(llama: shapes.Made) -> None:
    """Rows' constants are read; the weights themselves are named as not read back."""
    name = next(
        node.op.weight for node in llama.graph.nodes
        if isinstance(node.op, ConstMatVec) and node.name.endswith(".down")
    )  # fmt: skip
    emitted = emit(llama.graph, Plan(4, styles=((name, "parallel"),)))
    assert emitted.manifest["weights_in_logic"] == [name]
    made = shapes.Made(llama.graph, emitted)
    assert compared(made, made.words).differences == (
        f"{name}: wired in space as an adder graph, which was not read back",
    )
