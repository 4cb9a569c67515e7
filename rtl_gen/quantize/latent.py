"""Latent attention (DeepSeek) as ordinary attention, with matrices made from the checkpoint's.

Every head's key is a part of the expanded latent beside a rotated part that all heads share. Here
it is the sum of two products, with rows of zeros where the other has its part, and the whole head
is rotated, by nothing where it was not. Values are filled up with zeros to the length of a key. The
network computes the same; what a cache of latents saves is given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir import model as real

Array = NDArray[np.float64]
Weights = Mapping[real.TensorRef, Array]

_SUFFIX = "unfolded"


@dataclass(frozen=True, slots=True)
class _Parts:
    """The nodes of one latent attention."""

    attention: real.Node
    output: real.Node
    q: real.Node
    q_rotary: real.Node
    keys: real.Node
    values: real.Node
    expanded: real.Node
    turned: real.Node
    k_rotary: real.Node


def unfold(
    model: real.ModelGraph, weights: Weights
) -> tuple[real.ModelGraph, dict[real.TensorRef, Array]]:
    """Replace latent attention; a network without any is returned as it is.

    Parameters
    ----------
    model : ModelGraph
    weights : mapping of TensorRef to float64

    Returns
    -------
    model : ModelGraph
        Nodes that changed have names of their own, ending in ``.unfolded``.
    weights : dict of TensorRef to float64
        With the matrices made.

    Notes
    -----
    DeepSeek-AI 2024, "DeepSeek-V2", section 2.1.
    """
    made = dict(weights)
    for node in model.nodes:
        parts = _parts(model, node)
        if parts is not None:
            model = _replaced(model, parts, made)
    return model, made


def _parts(model: real.ModelGraph, attention: real.Node) -> _Parts | None:
    """The nodes around `attention` if its keys and values are gathered from a latent."""
    if not isinstance(attention.op, real.Attention):
        return None
    of = {node.name: node for node in model.nodes}

    def source(node: real.Node | None, place: int, kind: type) -> real.Node | None:
        found = of.get(node.inputs[place]) if node is not None else None
        return found if found is not None and isinstance(found.op, kind) else None

    q_rotary, keys, values = (
        source(attention, place, kind)
        for place, kind in enumerate((real.Rotary, real.Gather, real.Gather))
    )
    q, expanded = source(q_rotary, 0, real.Linear), source(keys, 0, real.Linear)
    k_rotary = source(keys, 1, real.Rotary) if keys and len(keys.inputs) == 2 else None
    turned = source(k_rotary, 0, real.Linear)
    readers = [node for node in model.nodes if attention.name in node.inputs]
    output = readers[0] if len(readers) == 1 and isinstance(readers[0].op, real.Linear) else None
    if values is not None and (expanded is None or values.inputs != (expanded.name,)):
        return None
    nodes = (attention, output, q, q_rotary, keys, values, expanded, turned, k_rotary)
    found = [node for node in nodes if node is not None]
    return _Parts(*found) if len(found) == len(nodes) else None


def _replaced(
    model: real.ModelGraph, parts: _Parts, weights: dict[real.TensorRef, Array]
) -> real.ModelGraph:
    old, turn = parts.attention.op, parts.q_rotary.op
    assert isinstance(old, real.Attention)
    assert isinstance(turn, real.Rotary)
    heads, plain = old.heads, turn.first
    pairs = len(turn.frequencies)
    half = max(-(-(plain + 2 * pairs) // 2), -(-old.value_size // 2))
    places = _places(old.head_dim, plain, half, interleaved=turn.interleaved)
    size = heads * 2 * half
    width = len(_bound(weights, parts.expanded))

    # where every element of the new vectors comes from; -1: nowhere
    from_q = [h * old.head_dim + p if p >= 0 else -1 for h in range(heads) for p in places]
    keys, values = parts.keys.op, parts.values.op
    assert isinstance(keys, real.Gather)
    assert isinstance(values, real.Gather)
    from_key = [keys.index[p] if p >= 0 else -1 for p in from_q]
    from_latent = [row if row < width else -1 for row in from_key]
    from_turned = [row - width if row >= width else -1 for row in from_key]
    in_head = [i if i < old.value_size else -1 for i in range(2 * half)]
    from_mixed = [h * old.value_size + i if i >= 0 else -1 for h in range(heads) for i in in_head]
    from_value = [values.index[i] if i >= 0 else -1 for i in from_mixed]
    # what is rotated is scaled, too; the rows are, so that the others need not be
    q_factor = np.array([turn.scale if p >= plain else 1.0 for p in places] * heads)

    q = _rows(weights, parts.q, from_q, q_factor)
    k_latent = _rows(weights, parts.expanded, from_latent, None, "k_latent")
    k_turned = _rows(weights, parts.turned, from_turned, np.full(size, turn.scale))
    v = _rows(weights, parts.expanded, from_value, None, "v")
    out = _columns(weights, parts.output, from_mixed)
    rotary = real.Rotary(heads, 2 * half, (*turn.frequencies, *[0.0] * (half - pairs)))
    position = parts.q_rotary.inputs[1]
    prefix = parts.keys.name
    total = real.Node(f"{prefix}.{_SUFFIX}", real.Add(), (k_latent.name, k_turned.name), (size,))
    rotated = [
        real.Node(f"{name}.{_SUFFIX}", rotary, (x, position), (size,))
        for name, x in ((parts.q_rotary.name, q.name), (f"{prefix}_rotary", total.name))
    ]
    attention = real.Node(
        f"{parts.attention.name}.{_SUFFIX}",
        replace(old, head_dim=2 * half, value_dim=0),
        (rotated[0].name, rotated[1].name, v.name, *parts.attention.inputs[3:]),
        (size,),
    )
    out = replace(out, inputs=(attention.name,))
    new = {
        parts.q.name: [q],
        parts.q_rotary.name: [rotated[0]],
        parts.expanded.name: [k_latent, v],
        parts.keys.name: [k_turned, total, rotated[1]],
        parts.attention.name: [attention],
        parts.output.name: [out],
    }
    gone = {n.name for n in (parts.turned, parts.k_rotary, parts.values)}
    nodes = [n for node in model.nodes if node.name not in gone for n in new.get(node.name, [node])]
    renamed = {parts.output.name: out.name}
    nodes = [replace(n, inputs=tuple(renamed.get(x, x) for x in n.inputs)) for n in nodes]
    return replace(model, nodes=tuple(nodes))


def _places(head: int, plain: int, half: int, *, interleaved: bool) -> list[int]:
    """Element of a head for every place of the new one: pairs that turn first in both halves."""
    pairs = (head - plain) // 2
    first = [plain + (2 * j if interleaved else j) for j in range(pairs)]
    second = [plain + (2 * j + 1 if interleaved else j + pairs) for j in range(pairs)]
    rest = [*range(plain), *[-1] * (2 * half - head)]
    return [*first, *rest[: half - pairs], *second, *rest[half - pairs :]]


def _bound(weights: Weights, node: real.Node) -> Array:
    assert isinstance(node.op, real.Linear)
    return node.op.scale * weights[node.op.weight]


def _rows(
    weights: dict[real.TensorRef, Array], node: real.Node, rows: Sequence[int],
    factor: Array | None, name: str = "",
) -> real.Node:  # fmt: skip
    """The product with these rows of its matrix, times `factor`; of -1, zeros."""
    assert isinstance(node.op, real.Linear)
    name = f"{node.name}.{name}.{_SUFFIX}" if name else f"{node.name}.{_SUFFIX}"
    index, scale = np.array(rows), np.ones(len(rows)) if factor is None else factor
    scale = np.where(index >= 0, scale, 0.0)
    weight, bias = real.TensorRef(f"{name}.weight"), None
    weights[weight] = _bound(weights, node)[index] * scale[:, None]
    if node.op.bias is not None:
        bias = real.TensorRef(f"{name}.bias")
        weights[bias] = weights[node.op.bias][index] * scale
    return real.Node(name, real.Linear(weight, bias), node.inputs, (len(rows),))


def _columns(
    weights: dict[real.TensorRef, Array], node: real.Node, columns: Sequence[int]
) -> real.Node:
    """The product with these columns of its matrix; of -1, zeros."""
    assert isinstance(node.op, real.Linear)
    name, index = f"{node.name}.{_SUFFIX}", np.array(columns)
    weight = real.TensorRef(f"{name}.weight")
    weights[weight] = np.where(index >= 0, _bound(weights, node)[:, index], 0.0)
    return real.Node(name, real.Linear(weight, node.op.bias), node.inputs, node.shape)
