"""The ``graph`` format: layers of a plain network, tensor names, shapes, input scale."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.checkpoint.importers.plain import frames
from rtl_gen.errors import CheckpointError, UnsupportedError
from rtl_gen.ir.model import Conv2d, MaxPool2d, Reshape
from tests.checkpoints import cnn, mlp, write


def imported(tmp_path, config, tensors):
    return import_model(open_checkpoint(write(tmp_path, config, tensors)))


def renamed(tensors, **names):
    return {
        names[name.split(".")[0]] + "." + name.split(".")[1]: array
        for name, array in tensors.items()
    }


def layer(config, index, **changes):
    layers = [dict(item) for item in config["layers"]]
    layers[index] = {k: v for k, v in (layers[index] | changes).items() if v is not None}
    return config | {"layers": layers}


def test_shapes_follow_from_the_layers(tmp_path):
    graph = imported(tmp_path, *cnn())
    assert [(node.name, node.shape) for node in graph.nodes] == [
        ("conv1", (2, 6, 6)),
        ("relu1", (2, 6, 6)),
        ("maxpool2d2", (2, 3, 3)),
        ("conv2", (3, 2, 1)),
        ("relu4", (3, 2, 1)),
        ("flatten5", (6,)),
        ("logits", (4,)),
    ]
    assert (graph.context, graph.vocabulary) == (1, 0)
    pool, conv = graph.nodes[2].op, graph.nodes[3].op
    assert pool == MaxPool2d((2, 2), (2, 2))
    assert isinstance(conv, Conv2d)
    assert (conv.stride, conv.padding) == ((1, 2), (0, 0))


def test_linear_flattens_what_it_reads(tmp_path):
    graph = imported(tmp_path, *mlp())
    assert graph.inputs[0].shape == (1, 2, 3)
    assert graph.nodes[0].op == Reshape()
    assert [node.name for node in graph.nodes] == ["fc1.input", "fc1", "relu1", "logits"]


def test_input_shape_may_come_from_the_first_layer(tmp_path):
    graph = imported(tmp_path, *mlp(input_shape=None))
    assert graph.inputs[0].shape == (6,)
    assert [node.name for node in graph.nodes] == ["fc1", "relu1", "logits"]


def test_convolution_needs_an_input_shape(tmp_path):
    with pytest.raises(CheckpointError, match="input_shape: expected a list"):
        imported(tmp_path, *cnn(input_shape=None))


@pytest.mark.parametrize(
    "names",
    [
        {"fc1": "fc0", "fc2": "fc1"},
        {"fc1": "linear1", "fc2": "linear2"},
        {"fc1": "0", "fc2": "2"},
        {"fc1": "layers.0", "fc2": "layers.2"},
        {"fc1": "net.0", "fc2": "net.2"},
    ],
)
def test_naming_conventions(tmp_path, names):
    config, tensors = mlp()
    graph = imported(tmp_path, config, renamed(tensors, **names))
    assert graph.nodes[1].op.weight.name == f"{names['fc1']}.weight"
    assert graph.nodes[1].op.bias.name == f"{names['fc1']}.bias"


def test_layers_may_be_named(tmp_path):
    config, tensors = mlp()
    config = layer(layer(config, 0, name="encoder"), 2, name="head")
    graph = imported(tmp_path, config, renamed(tensors, fc1="encoder", fc2="head"))
    assert [node.name for node in graph.nodes][1:] == ["encoder", "relu1", "logits"]


@pytest.mark.parametrize(
    ("index", "name"), [(1, "x"), (1, "fc1"), (1, "fc1.input"), (1, "logits"), (1, 7)]
)
def test_layer_name_that_is_taken(tmp_path, index, name):
    config, tensors = mlp()
    with pytest.raises(CheckpointError, match=rf"layers\[{index}\]\.name: expected text no other"):
        imported(tmp_path, layer(config, index, name=name), tensors)


def test_names_that_match_no_convention(tmp_path):
    config, tensors = mlp()
    with pytest.raises(CheckpointError, match=r"cannot be matched .*'enc.*tried .*fc1, fc2"):
        imported(tmp_path, config, renamed(tensors, fc1="encoder", fc2="head"))


@pytest.mark.parametrize("names", [["AnyName"], None, []])
def test_any_config_with_layers_is_read(tmp_path, names):
    graph = imported(tmp_path, *mlp(architectures=names))
    assert graph.architecture == (names[0] if names else "Graph")


def test_pytorch_key_names(tmp_path):
    config, tensors = cnn()
    conv = {"type": "conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 3, "padding": 1}
    config["layers"][0] = conv
    assert imported(tmp_path, config, tensors).nodes[0].shape == (2, 6, 6)


def test_bias_is_optional(tmp_path):
    config, tensors = mlp()
    rest = {name: array for name, array in tensors.items() if name != "fc2.bias"}
    assert imported(tmp_path, config, rest).nodes[-1].op.bias is None
    with pytest.raises(CheckpointError, match=r"tensor 'fc2\.bias' of shape \[3\] is missing"):
        imported(tmp_path, layer(config, 2, bias=True), rest)
    with pytest.raises(CheckpointError, match=r"no place in DigitsMLP.*'fc2\.bias'"):
        imported(tmp_path, layer(config, 2, bias=False), tensors)


@pytest.mark.parametrize(
    ("index", "changes", "kind", "message"),
    [
        (0, {"type": "conv3d"}, UnsupportedError, r"layers\[0\]: there is no layer type 'conv3d'"),
        (0, {"type": None}, UnsupportedError, r"layers\[0\]: there is no layer type None"),
        (0, {"dilation": 2}, UnsupportedError, r"layers\[0\] \(conv2d\): key 'dilation'"),
        (0, {"groups": 1}, UnsupportedError, "key 'groups'"),
        (0, {"in_ch": 3}, CheckpointError, r"layers\[0\]\.in_ch: expected 1"),
        (0, {"out_ch": 0}, CheckpointError, r"layers\[0\]\.out_ch: expected a positive integer"),
        (0, {"kernel": [3]}, CheckpointError, r"layers\[0\]\.kernel: expected one or two"),
        (0, {"kernel": 9, "padding": 0}, CheckpointError, "kernel: expected at most 6"),
        (0, {"stride": 0}, CheckpointError, r"layers\[0\]\.stride: expected one or two"),
        (0, {"padding": -1}, CheckpointError, r"layers\[0\]\.padding: expected one or two"),
        (0, {"bias": 1}, CheckpointError, r"layers\[0\]\.bias: expected true or false"),
        (0, {"kernel": 5}, CheckpointError, r"config\.json asks for \[2, 1, 5, 5\]"),
        (2, {"padding": 1}, UnsupportedError, r"layers\[2\] \(maxpool2d\): key 'padding'"),
        (5, {"type": "reshape", "shape": [5]}, CheckpointError, "expected 6 elements in all"),
        (5, {"type": "reshape", "shape": "x"}, CheckpointError, "expected positive integers"),
        (6, {"in_features": 7}, CheckpointError, r"layers\[6\]\.in_features: expected 6"),
    ],
)
def test_layer_that_cannot_be_used(tmp_path, index, changes, kind, message):
    config, tensors = cnn()
    with pytest.raises(kind, match=message):
        imported(tmp_path, layer(config, index, **changes), tensors)


def test_a_remark_changes_nothing(tmp_path):
    config, tensors = cnn()
    plain = imported(tmp_path / "a", config, tensors)
    noted = imported(tmp_path / "b", layer(config, 0, note="3x3, padded"), tensors)
    assert noted.nodes == plain.nodes


def test_convolution_of_a_vector(tmp_path):
    config, tensors = cnn(input_shape=[36])
    with pytest.raises(CheckpointError, match=r"layers\[0\] \(conv2d\) reads \[36\]"):
        imported(tmp_path, config, tensors)


def test_reshape_gives_a_vector_planes(tmp_path):
    config, tensors = cnn(input_shape=[36])
    config["layers"].insert(0, {"type": "reshape", "shape": [1, 6, 6]})
    assert imported(tmp_path, config, tensors).nodes[1].shape == (2, 6, 6)


def test_only_integers_are_scaled(tmp_path):
    checkpoint = open_checkpoint(write(tmp_path, *mlp()))
    pixels = np.array([[0, 8, 16]], np.uint8)
    assert (frames(checkpoint, pixels) == [[0, 0.5, 1]]).all()
    assert (frames(checkpoint, pixels.astype("f4")) == [[0, 8, 16]]).all()


def test_integers_without_scale_stay(tmp_path):
    checkpoint = open_checkpoint(write(tmp_path, *mlp(input_scale=None)))
    assert (frames(checkpoint, np.array([[3]])) == [[3]]).all()


@pytest.mark.parametrize("scale", ["pixel*16", "pixel/0", 16, "1/x"])
def test_input_scale_that_cannot_be_read(tmp_path, scale):
    checkpoint = open_checkpoint(write(tmp_path, *mlp(input_scale=scale)))
    with pytest.raises(CheckpointError, match="input_scale: expected text like"):
        frames(checkpoint, np.array([[3]]))
