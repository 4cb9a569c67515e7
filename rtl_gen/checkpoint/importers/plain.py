"""Plain feed-forward networks: config.json lists the layers (the ``graph`` format).

``layers`` is a list of objects with a ``type``:

====================  ==============================================================================
linear                ``out_features``; ``in_features`` and ``bias`` optional
conv2d                ``out_ch``, ``kernel``; ``in_ch``, ``stride`` (1), ``padding`` (0), ``bias``
maxpool2d             ``k``; ``stride`` (= k)
flatten, reshape      reshape: ``shape``
relu, gelu, silu ...  the names of `rtl_gen.checkpoint.setting.ACTIVATIONS`
====================  ==============================================================================

Sizes are integers or pairs. ``input_shape`` is the shape of one frame; without it the first layer
must be linear with ``in_features``. A linear layer flattens what it reads. ``input_scale``
(``"pixel/255"``) says that integer data are divided by the number; see `frames`.

The tensors of a layer are ``<name>.weight`` and ``<name>.bias``. The name is the layer's ``name``
if it has one, else it follows a convention of `rtl_gen.checkpoint.naming` (``conv1``, ``fc1``,
``fc2``; ``fc`` alone; PyTorch's ``0``, ``net.2``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from rtl_gen.checkpoint import naming, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.registry import architecture_of
from rtl_gen.checkpoint.safetensors import shown
from rtl_gen.errors import CheckpointError, UnsupportedError
from rtl_gen.ir.model import (
    Activation,
    Conv2d,
    Input,
    Linear,
    MaxPool2d,
    ModelGraph,
    Reshape,
    TensorRef,
)

ARCHITECTURES = ("Graph", "DigitsMLP", "DigitsCNN", "MnistCNN", "MLPPolicy")

_SYNONYMS = {
    "in_channels": "in_ch",
    "out_channels": "out_ch",
    "kernel_size": "kernel",
    "k": "kernel",
}
_KEYS: dict[str, set[str]] = {
    "linear": {"in_features", "out_features", "bias"},
    "conv2d": {"in_ch", "out_ch", "kernel", "stride", "padding", "bias"},
    "maxpool2d": {"kernel", "stride"},
    "flatten": set(),
    "reshape": {"shape"},
    **{kind: set() for kind in setting.ACTIVATIONS},
}
_REMARKS = ("name", "note", "comment", "description")
"""Keys of any layer that change nothing of what it computes."""

_WEIGHTED = ("linear", "conv2d")

Layer = Mapping[str, object]


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a plain network; see `rtl_gen.checkpoint.registry.import_model`."""
    layers = _layers(checkpoint)
    names = _tensor_names(checkpoint, layers)
    draft = Draft(checkpoint, Input("x", "frame", _input_shape(checkpoint, layers)))
    value = "x"
    last = len(layers) - 1
    for index, layer in enumerate(layers):
        name = _value_name(draft, checkpoint, (index, layer), names[index])
        name = "logits" if index == last else name
        value = _append(draft, checkpoint, (index, layer), name, names[index], value)
    return draft.finish(architecture_of(checkpoint), {"logits": value}, context=1)


def frames(checkpoint: Checkpoint, data: NDArray[np.generic]) -> NDArray[np.float64]:
    """Frames as the network reads them, from stored data.

    Parameters
    ----------
    checkpoint : Checkpoint
    data : array, shape (n, ...)
        Real numbers are taken as they are. Integers are raw measurements and are divided by N if
        config.json has ``"input_scale": "<what>/N"``.

    Raises
    ------
    CheckpointError
        If ``input_scale`` has another form.
    """
    scale = checkpoint.config.get("input_scale")
    if scale is None or not np.issubdtype(data.dtype, np.integer):
        return data.astype(np.float64)
    found = re.fullmatch(r"\w+/(\d+(?:\.\d+)?)", scale) if isinstance(scale, str) else None
    if found is None or float(found[1]) == 0:
        raise setting.wrong(checkpoint, "input_scale", 'text like "pixel/255"', scale)
    return data.astype(np.float64) / float(found[1])


def _layers(checkpoint: Checkpoint) -> list[Layer]:
    """Layers with synonyms resolved and keys checked."""
    listed = checkpoint.config.get("layers")
    if not isinstance(listed, list) or not listed:
        raise setting.wrong(checkpoint, "layers", "a list of layers", listed)
    layers: list[Layer] = []
    for index, layer in enumerate(listed):
        where = f"layers[{index}]"
        if not isinstance(layer, Mapping):
            raise setting.wrong(checkpoint, where, 'an object with a "type"', layer)
        kind = layer.get("type")
        if not isinstance(kind, str) or kind not in _KEYS:
            raise UnsupportedError(
                f"{checkpoint.config_file}: {where}: there is no layer type {shown(kind)} "
                f"(known: {', '.join(_KEYS)})"
            )
        renamed = {_SYNONYMS.get(key, key): layer[key] for key in map(str, layer)}
        unknown = sorted(renamed.keys() - _KEYS[kind] - {"type", *_REMARKS})
        if unknown:
            known = ", ".join(sorted(_KEYS[kind] | set(_REMARKS)))
            raise UnsupportedError(
                f"{checkpoint.config_file}: {where} ({kind}): key {shown(unknown[0])} has no "
                f"meaning here (known: {known}); remove it"
            )
        layers.append(renamed)
    return layers


def _input_shape(checkpoint: Checkpoint, layers: list[Layer]) -> tuple[int, ...]:
    shape = checkpoint.config.get("input_shape")
    if shape is None and layers[0]["type"] == "linear":
        shape = [layers[0].get("in_features")]
    if not isinstance(shape, list) or not shape or not all(_positive(item) for item in shape):
        raise setting.wrong(checkpoint, "input_shape", "a list of positive integers", shape)
    return tuple(shape)


def _positive(value: object) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def _tensor_names(checkpoint: Checkpoint, layers: list[Layer]) -> list[str | None]:
    """Name of each layer's tensors, None for layers without any."""
    kinds = {i: str(layer["type"]) for i, layer in enumerate(layers) if layer["type"] in _WEIGHTED}
    given = {i: str(layers[i]["name"]) for i in kinds if "name" in layers[i]}
    names, tried = naming.match(kinds, given, checkpoint.entries)
    if names is None:
        raise CheckpointError(
            f"{checkpoint.path}: the {len(kinds)} layers with weights cannot be matched with the "
            f"tensors {', '.join(map(shown, checkpoint.names()[:8]))}; tried the names "
            f"{' | '.join(tried)}; rename the tensors or give the layers a name in config.json"
        )
    return [names.get(index) for index in range(len(layers))]


def _value_name(
    draft: Draft, checkpoint: Checkpoint, place: tuple[int, Layer], tensor_name: str | None
) -> str:
    """Name of the value of a layer: its tensors', its own, or type and index."""
    index, layer = place
    name = tensor_name or layer.get("name") or f"{layer['type']}{index}"
    if (
        not isinstance(name, str)
        or name == "logits"
        or any(draft.defines(value) for value in (name, f"{name}.input"))
    ):
        raise setting.wrong(checkpoint, f"layers[{index}].name", "text no other layer has", name)
    return name


def _append(
    draft: Draft,
    checkpoint: Checkpoint,
    place: tuple[int, Layer],
    name: str,
    tensor_name: str | None,
    x: str,
) -> str:
    """Append one layer that reads `x`; give back the name of its value."""
    index, layer = place
    shape = draft.shape(x)
    where = f"layers[{index}]"
    kind = str(layer["type"])
    match kind:
        case "linear":
            x = _flat(draft, name, x)
            return _linear(draft, checkpoint, where, layer, name, str(tensor_name), x)
        case "conv2d" | "maxpool2d":
            if len(shape) != 3:
                raise CheckpointError(
                    f"{checkpoint.config_file}: {where} ({kind}) reads {list(shape)}, expected "
                    "(channels, height, width); give input_shape or a reshape layer"
                )
            append = _conv2d if kind == "conv2d" else _maxpool2d
            return append(draft, checkpoint, where, layer, name, str(tensor_name), x)
        case "flatten":
            return draft.node(name, Reshape(), (x,), (prod(shape),))
        case "reshape":
            target = layer.get("shape")
            if not isinstance(target, list) or not all(_positive(item) for item in target):
                raise setting.wrong(checkpoint, f"{where}.shape", "positive integers", target)
            if prod(target) != prod(shape):
                raise setting.wrong(
                    checkpoint, f"{where}.shape", f"{prod(shape)} elements in all", target
                )
            return draft.node(name, Reshape(), (x,), tuple(target))
        case _:
            return draft.node(name, Activation(setting.ACTIVATIONS[kind]), (x,), shape)


def _flat(draft: Draft, name: str, x: str) -> str:
    shape = draft.shape(x)
    if len(shape) == 1:
        return x
    return draft.node(f"{name}.input", Reshape(), (x,), (prod(shape),))


def _linear(
    draft: Draft, checkpoint: Checkpoint, where: str, layer: Layer, name: str, module: str, x: str
) -> str:
    (n_in,) = draft.shape(x)
    _expect(checkpoint, where, layer, "in_features", n_in)
    n_out = _size(checkpoint, where, layer, "out_features")
    weight = draft.tensor(f"{module}.weight", (n_out, n_in))
    bias = _bias(draft, checkpoint, where, layer, module, n_out)
    return draft.node(name, Linear(weight, bias), (x,), (n_out,))


def _conv2d(
    draft: Draft, checkpoint: Checkpoint, where: str, layer: Layer, name: str, module: str, x: str
) -> str:
    channels, height, width = draft.shape(x)
    _expect(checkpoint, where, layer, "in_ch", channels)
    out = _size(checkpoint, where, layer, "out_ch")
    kernel = _pair(checkpoint, where, layer, "kernel")
    stride = _pair(checkpoint, where, layer, "stride", (1, 1))
    padding = _pair(checkpoint, where, layer, "padding", (0, 0), minimum=0)
    rows = _windows(checkpoint, where, height + 2 * padding[0], kernel[0], stride[0])
    columns = _windows(checkpoint, where, width + 2 * padding[1], kernel[1], stride[1])
    weight = draft.tensor(f"{module}.weight", (out, channels, *kernel))
    bias = _bias(draft, checkpoint, where, layer, module, out)
    op = Conv2d(weight, bias, stride, padding)
    return draft.node(name, op, (x,), (out, rows, columns))


def _maxpool2d(
    draft: Draft, checkpoint: Checkpoint, where: str, layer: Layer, name: str, _module: str, x: str
) -> str:
    channels, height, width = draft.shape(x)
    kernel = _pair(checkpoint, where, layer, "kernel")
    stride = _pair(checkpoint, where, layer, "stride", kernel)
    rows = _windows(checkpoint, where, height, kernel[0], stride[0])
    columns = _windows(checkpoint, where, width, kernel[1], stride[1])
    return draft.node(name, MaxPool2d(kernel, stride), (x,), (channels, rows, columns))


def _windows(checkpoint: Checkpoint, where: str, size: int, kernel: int, stride: int) -> int:
    if kernel > size:
        raise setting.wrong(checkpoint, f"{where}.kernel", f"at most {size} elements", kernel)
    return (size - kernel) // stride + 1


def _size(checkpoint: Checkpoint, where: str, layer: Layer, key: str) -> int:
    value = layer.get(key)
    if not _positive(value):
        raise setting.wrong(checkpoint, f"{where}.{key}", "a positive integer", value)
    assert isinstance(value, int)  # for the type checker; `_positive` saw it
    return value


def _expect(checkpoint: Checkpoint, where: str, layer: Layer, key: str, size: int) -> None:
    found = layer.get(key)
    if found is not None and found != size:
        raise setting.wrong(checkpoint, f"{where}.{key}", f"{size}, what it reads", found)


def _pair(
    checkpoint: Checkpoint,
    where: str,
    layer: Layer,
    key: str,
    default: tuple[int, int] | None = None,
    minimum: int = 1,
) -> tuple[int, int]:
    value = layer.get(key, default)
    pair = [value, value] if type(value) is int else value
    if isinstance(pair, list | tuple) and len(pair) == 2:
        a, b = pair
        if type(a) is int and type(b) is int and minimum <= min(a, b) and max(a, b) < 1 << 31:
            return a, b
    raise setting.wrong(
        checkpoint, f"{where}.{key}", f"one or two integers of at least {minimum}", value
    )


def _bias(
    draft: Draft, checkpoint: Checkpoint, where: str, layer: Layer, module: str, size: int
) -> TensorRef | None:
    """Bias of a layer: as config.json says, or if the tensor is there when it is silent."""
    wanted = layer.get("bias", draft.has(f"{module}.bias"))
    if not isinstance(wanted, bool):
        raise setting.wrong(checkpoint, f"{where}.bias", "true or false", wanted)
    return draft.tensor(f"{module}.bias", (size,)) if wanted else None
