"""A graph and its file are the same thing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from rtl_gen.ir.integer import Constant
from rtl_gen.ir.serialize import load, save, to_bytes
from rtl_gen.ir.types import IntType
from tests.graphs import image, language


@pytest.mark.parametrize("graph", [language(), image()], ids=["language", "image"])
def test_load_returns_what_was_saved(tmp_path, graph):
    save(graph, tmp_path / "graph.safetensors")
    loaded = load(tmp_path / "graph.safetensors")
    assert loaded == graph
    assert all(constant.data.dtype == np.int64 for constant in loaded.constants.values())
    assert to_bytes(loaded) == to_bytes(graph)


@pytest.mark.parametrize("type_", ["i1", "u1", "i8", "u8", "i9", "u16", "i17", "u32", "i33", "i48"])
def test_extremes_of_every_width_survive(tmp_path, type_):
    type_ = IntType.parse(type_)
    constant = Constant(type_, np.array([type_.min, type_.max]))
    graph = replace(image(), constants={"x": constant})
    save(graph, tmp_path / "graph.safetensors")
    assert load(tmp_path / "graph.safetensors").constants["x"] == constant


def test_bytes_do_not_depend_on_the_order_of_constants():
    graph = language()
    turned = replace(graph, constants=dict(reversed(graph.constants.items())))
    assert to_bytes(turned) == to_bytes(graph)


def test_a_changed_weight_changes_the_bytes():
    graph = language()
    data = graph.constants["q.weight"].data.copy()
    data[0, 0] ^= 1
    constants = {**graph.constants, "q.weight": replace(graph.constants["q.weight"], data=data)}
    assert to_bytes(replace(graph, constants=constants)) != to_bytes(graph)


def test_scales_return_as_the_same_float(tmp_path):
    graph = language()
    node = replace(graph.nodes[0], value=replace(graph.nodes[0].value, scale=0.1 + 0.2))
    save(replace(graph, nodes=(node, *graph.nodes[1:])), tmp_path / "g")
    assert load(tmp_path / "g").nodes[0].value.scale == 0.1 + 0.2


def test_save_leaves_one_whole_file(tmp_path):
    path = tmp_path / "graph.safetensors"
    save(language(), path)
    save(image(), path)
    assert load(path) == image()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "graph.safetensors"
    save(image(), path)
    broken = replace(image(), origin={"x": object()})
    with pytest.raises(TypeError):
        save(broken, path)
    assert load(path) == image()
    assert list(tmp_path.iterdir()) == [path]


def test_load_refuses_other_files(tmp_path):
    path = tmp_path / "graph.safetensors"
    path.write_bytes(to_bytes(image())[:-3])
    with pytest.raises(ValueError, match="not an integer graph"):
        load(path)
    path.write_bytes(
        to_bytes(image()).replace(b"intaglio-integer-graph-1", b"intaglio-integer-graph-0")
    )
    with pytest.raises(ValueError, match="expected format 'intaglio-integer-graph-1'"):
        load(path)
    path.write_bytes(to_bytes(image()).replace(b"MaxPool2d", b"MinPool2d"))
    with pytest.raises(ValueError, match=r"damaged description.*MinPool2d"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent")


def test_the_file_is_plain_safetensors(tmp_path):
    data = to_bytes(language())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    assert header["q.weight"]["dtype"] == "I8"
    assert header["q.multiplier"]["dtype"] == "U16"
    assert header["q.bias"]["dtype"] == "I32"
