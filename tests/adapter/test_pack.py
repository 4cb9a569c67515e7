"""Integer images: what they compute, whom they belong to, and that no contents can overflow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.adapter import image
from rtl_gen.adapter.apply import beside, merge
from rtl_gen.adapter.bypass import bypass
from rtl_gen.adapter.pack import pack, random_image
from rtl_gen.adapter.reader import load_adapter
from rtl_gen.adapter.region import Regions, insert
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import CheckpointError, UnsupportedError
from rtl_gen.golden import interpreter
from rtl_gen.golden.low_rank import low_rank
from rtl_gen.ir import serialize
from rtl_gen.ir.adapter import AdapterImage, Factors, empty, regions, shapes, types
from rtl_gen.ir.integer import LowRank
from rtl_gen.ir.range import low_rank_bounds
from rtl_gen.ir.types import IntType
from rtl_gen.quantize import Examples, Part, Recipe, frame_integers, quantize
from tests import checkpoints
from tests.adapter import peft_files
from tests.adapter.test_reader import ALL, REGIONS
from tests.harness import seed


@pytest.fixture(scope="module")
def chip(tmp_path_factory):
    """Float base, adapter, integer graph with regions, calibration tokens."""
    folder = tmp_path_factory.mktemp("lora")
    checkpoint = open_checkpoint(checkpoints.tiny_llama(folder / "base"))
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    adapter = load_adapter(peft_files.llama(folder / "lora", ALL), model)
    tokens = Examples(np.random.default_rng(1).integers(0, 16, (12, 16)))
    graph = insert(model, REGIONS)
    part = Part(beside(graph, weights, adapter), tokens)
    integer = quantize(graph, weights, Recipe(solver="nearest"), tokens, {}, [part])
    return model, weights, adapter, integer, tokens


def logits(graph, tokens, adapter=None):
    name = graph.outputs["logits"]
    values = interpreter.sequences(graph, {"input_ids": tokens}, adapter)
    return values[name] * graph.value(name).scale


def test_the_integers_follow_the_float_adapter(chip) -> None:
    model, weights, adapter, graph, tokens = chip
    packed = pack(graph, adapter, tokens)
    ids = {"input_ids": tokens.inputs}
    base = reference.run(model, weights, ids)["logits"]
    adapted = reference.run(*merge(model, weights, adapter), ids)["logits"]
    change = float(np.sqrt(((adapted - base) ** 2).mean()))
    error = float(np.sqrt(((logits(graph, tokens.inputs, packed) - adapted) ** 2).mean()))
    plain = float(np.sqrt(((logits(graph, tokens.inputs) - base) ** 2).mean()))
    assert plain < 0.1 * change
    assert error < 0.1 * change


def test_zeros_are_the_base_to_the_bit(chip) -> None:
    graph, tokens = chip[3], chip[4].inputs
    zeros = {node.name: empty(graph, node, op) for node, op in regions(graph)}
    off = interpreter.sequences(graph, {"input_ids": tokens})
    on = interpreter.sequences(graph, {"input_ids": tokens}, AdapterImage("zero", "", zeros))
    for name, value in off.items():
        np.testing.assert_array_equal(on[name], value)


def test_steps_and_whole_sequences_agree_with_an_adapter(chip) -> None:
    _, _, adapter, graph, tokens = chip
    packed = pack(graph, adapter, tokens)
    ids = tokens.inputs[:2, :5]
    whole = interpreter.sequences(graph, {"input_ids": ids}, packed)
    state = interpreter.initial_state(graph, 2)
    for t in range(5):
        values, state = interpreter.step(graph, {"input_ids": ids[:, t]}, state, packed)
        for name, value in values.items():
            np.testing.assert_array_equal(value, whole[name][:, t], name)


def test_no_image_leaves_the_proved_bounds(chip) -> None:
    graph = chip[3]
    rng = np.random.default_rng(seed())
    for node, op in regions(graph):
        x = graph.value(node.inputs[0])
        bounds = low_rank_bounds(op, x)
        kinds, made = types(op), shapes(graph, node, op)
        worst = Factors(**{k: np.full(shape, kinds[k].min or kinds[k].max, np.int64)
                           for k, shape in made.items()})  # fmt: skip
        low = np.full((1, *x.shape), x.type.min, np.int64)
        assert int((low @ worst.a.T).max()) <= bounds[0]
        for factors in (worst, random_image(graph, seed()).factors[node.name]):
            y = rng.integers(-100, 100, (1, *node.value.shape))
            out = low_rank(low, y, factors, op, node.value.type)
            assert node.value.type.min <= out.min() <= out.max() <= node.value.type.max
        assert bounds[0] * 65535 < 1 << 62
        assert bounds[1] * 65535 < 1 << 62


def test_low_rank_by_hand() -> None:
    op = LowRank(1, IntType(8), IntType(8), 4, 2)
    factors = Factors(*(np.array(x) for x in ([[3, -2]], [[5], [-128]], [8], [1, 65535])))
    x, y = np.array([[10, 4], [-100, 100]]), np.array([[7, 100], [7, 100]])
    # a @ x = 22, -500; t = (22*8 + 8) >> 4 = 11, sat(-250) = -128
    # u = (55 + 2) >> 2 = 14 and sat(-91000…); then (-640 + 2) >> 2 = sat(-160) and a large one
    expected = [[7 + 14, -128 + 100], [7 - 128, 127]]
    np.testing.assert_array_equal(low_rank(x, y, factors, op, IntType(8)), expected)


def test_an_image_is_read_as_it_was_written(chip, tmp_path: Path) -> None:
    _, _, adapter, graph, tokens = chip
    packed = pack(graph, adapter, tokens)
    file = tmp_path / "lora.adapter.safetensors"
    file.write_bytes(image.to_bytes(packed, graph))
    found = image.load(file, graph)
    assert (found.name, found.base, found.origin) == (packed.name, packed.base, packed.origin)
    for name, factors in packed.factors.items():
        for key, array in factors.arrays().items():
            np.testing.assert_array_equal(found.factors[name].arrays()[key], array)
    assert image.to_bytes(found, graph) == file.read_bytes()


def test_an_image_of_another_base_is_refused(chip, tmp_path: Path) -> None:
    _, _, adapter, graph, tokens = chip
    file = tmp_path / "lora.adapter.safetensors"
    file.write_bytes(image.to_bytes(pack(graph, adapter, tokens), graph))
    other = replace(graph, origin={"checkpoint": "another"})
    with pytest.raises(CheckpointError, match="bound to the base"):
        image.load(file, other)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="not an adapter image"):
        image.load(file, graph)
    with pytest.raises(CheckpointError, match="no such file"):
        image.load(tmp_path / "nothing", graph)


@pytest.mark.parametrize(("dtype", "width"), [("BF16", 2), ("F16", 2), ("U16", 2), ("F8_E4M3", 1)])
def test_an_image_of_other_numbers_is_refused(chip, tmp_path: Path, dtype: str, width: int) -> None:
    _, _, adapter, graph, tokens = chip
    file = tmp_path / "lora.adapter.safetensors"
    data = image.to_bytes(pack(graph, adapter, tokens), graph)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(key for key in header if key.endswith(".a"))
    rows, columns = header[name]["shape"]
    header[name] |= {"dtype": dtype, "shape": [rows, columns // width]}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(CheckpointError, match=f"expected I8, found {dtype}"):
        image.load(file, graph)


def test_an_embedding_is_merged_before_etching(chip, tmp_path: Path) -> None:
    model, weights, _, graph, tokens = chip
    rng = np.random.default_rng(4)
    tensors = {
        "model.embed_tokens.lora_embedding_A": rng.normal(0, 1, (2, 16)),
        "model.embed_tokens.lora_embedding_B": rng.normal(0, 1, (8, 2)),
    }
    path = peft_files.save(tmp_path / "lora", peft_files.config(["embed_tokens"], 2), tensors)
    adapter = load_adapter(path, model)
    regions_ = insert(model, REGIONS)
    for use in (lambda: pack(graph, adapter, tokens), lambda: beside(regions_, weights, adapter)):
        with pytest.raises(UnsupportedError, match=r"embedding, which .* table.* merge it into"):
            use()


def test_regions_beside_convolutions(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoints.tiny_cnn(tmp_path / "base"))
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    rng = np.random.default_rng(4)
    tensors = {
        "conv1.lora_A.weight": rng.normal(0, 0.3, (2, 1, 3, 3)),
        "conv1.lora_B.weight": rng.normal(0, 0.3, (2, 2, 1, 1)),
        "conv2.lora_A.weight": rng.normal(0, 0.3, (2, 2, 2, 3)),
        "conv2.lora_B.weight": rng.normal(0, 0.3, (3, 2, 1, 1)),
    }
    path = peft_files.save(tmp_path / "lora", peft_files.config(["conv1", "conv2"], 2), tensors)
    adapter = load_adapter(path, model)
    graph = insert(model, Regions(("*",), 2))
    frames = Examples(rng.normal(size=(40, 1, 6, 6)))
    ids = {"x": frames.inputs}
    beside_it = beside(graph, weights, adapter)
    wanted = reference.run(*merge(model, weights, adapter), ids)["logits"]
    base = reference.run(model, weights, ids)["logits"]
    np.testing.assert_allclose(reference.run(graph, beside_it, ids)["logits"], wanted, atol=1e-12)
    integer = quantize(
        graph, weights, Recipe(solver="nearest"), frames, {}, [Part(beside_it, frames)]
    )
    assert [op.kernel for _, op in regions(integer)] == [(3, 3), (2, 3), ()]
    output = integer.outputs["logits"]
    state = interpreter.initial_state(integer, 40)
    x = {integer.inputs[0].name: frame_integers(integer, frames.inputs)}
    plain, _ = interpreter.step(integer, x, state)
    adapted, _ = interpreter.step(integer, x, state, pack(integer, adapter, frames))
    scale = integer.value(output).scale
    change = float(np.abs(wanted - base).mean())
    assert float(np.abs(plain[output] * scale - base).mean()) < 0.1 * change
    assert float(np.abs(adapted[output] * scale - wanted).mean()) < 0.1 * change
    serialize.save(integer, tmp_path / "graph.safetensors")
    assert serialize.load(tmp_path / "graph.safetensors") == integer


def test_an_adapter_without_a_place_is_refused(chip, tmp_path: Path) -> None:
    model, _, _, graph, tokens = chip
    big = load_adapter(peft_files.llama(tmp_path / "big", ["q_proj"], rank=4), model)
    with pytest.raises(UnsupportedError, match="has rank 4"):
        pack(graph, big, tokens)
    rng = np.random.default_rng(1)
    head = peft_files.save(
        tmp_path / "head", peft_files.config(["lm_head"], 2),
        peft_files.factors(rng, "lm_head", 16, 8, 2),
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match="no adapter region"):
        pack(graph, load_adapter(head, model), tokens)


def test_a_graph_with_regions_is_read_as_it_was_written(chip, tmp_path: Path) -> None:
    graph = chip[3]
    serialize.save(graph, tmp_path / "graph.safetensors")
    assert serialize.load(tmp_path / "graph.safetensors") == graph
    assert any(value.value.channel for value in graph.nodes)


def test_a_region_before_a_relu(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoints.tiny_mlp(tmp_path / "base"))
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    rng = np.random.default_rng(7)
    tensors = peft_files.factors(rng, "fc1", 5, 6, 2) | peft_files.factors(rng, "fc2", 3, 5, 2)
    path = peft_files.save(tmp_path / "lora", peft_files.config(["fc1", "fc2"], 2), tensors)
    adapter = load_adapter(path, model)
    frames = Examples(rng.normal(size=(40, 1, 2, 3)))
    graph = insert(model, Regions(("*",), 2))
    part = Part(beside(graph, weights, adapter), frames)
    recipe = Recipe(weights={"*": "int8"}, solver="nearest")
    integer = quantize(graph, weights, recipe, frames, {}, [part])
    assert len(regions(integer)) == 2
    name = next(item.name for item in integer.inputs)
    ids = {name: frame_integers(integer, frames.inputs)}
    output = integer.outputs["logits"]
    found, wanted = {}, {}
    for kind, image_, network in (
        ("base", None, (model, weights)),
        ("adapted", pack(integer, adapter, frames), merge(model, weights, adapter)),
    ):
        values, _ = interpreter.step(integer, ids, interpreter.initial_state(integer, 40), image_)
        found[kind] = values[output] * integer.value(output).scale
        wanted[kind] = reference.run(*network, {name: frames.inputs})["logits"]
    change = float(np.abs(wanted["adapted"] - wanted["base"]).mean())
    for kind, value in found.items():
        assert float(np.abs(value - wanted[kind]).mean()) < 0.05 * change
    # without an adapter, a graph without the regions computes the same
    plain, _ = interpreter.step(bypass(integer), ids, interpreter.initial_state(integer, 40))
    np.testing.assert_array_equal(
        plain[bypass(integer).outputs["logits"]] * integer.value(output).scale, found["base"]
    )


def test_a_region_on_one_matrix_only(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoints.tiny_gpt2(tmp_path / "base"))
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    tokens = Examples(np.random.default_rng(2).integers(0, 16, (6, 16)))
    for pattern in ("layers.0.attention.q", "layers.1.attention.v", "*.mlp.up", "logits"):
        graph = insert(model, Regions((pattern,), 2))
        integer = quantize(graph, weights, Recipe(solver="nearest"), tokens, {})
        assert len(regions(integer)) == sum(isinstance(n.op, LowRank) for n in integer.nodes) > 0
