"""From the graph's integers back to the checkpoint's weights, through the recorded scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_gen.checkpoint import Checkpoint, import_model
from rtl_gen.ir import integer as ir
from rtl_gen.ir import model as real
from rtl_gen.ir.types import IntType
from rtl_gen.quantize.latent import unfold
from rtl_gen.reference import load_weights

Array = NDArray[np.float64]

_Weighted = ir.ConstMatVec | ir.ExpertMatVec | ir.Conv2d | ir.Embedding

LARGEST_TENSOR_ERROR = 0.7
LARGEST_ROW_ERROR = 1.0
"""Relative. A row that belongs elsewhere is off by about the square root of 2."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A tensor as the chip's integers say it is, beside the checkpoint's.

    Parameters
    ----------
    name : str
        Of the graph's constant.
    tensor : str
        Of the checkpoint.
    error : float
        ``|restored - stored| / |stored|``.
    row : int
        Row with the largest relative error.
    row_error : float
    steps : float
        Largest difference of an element, in steps of its row.
    nearest : float
        ``error`` of the integers that are nearest: what no rounding goes below.
    """

    name: str
    tensor: str
    error: float
    row: int
    row_error: float
    steps: float
    nearest: float


def restored(graph: ir.IntegerGraph, checkpoint: Checkpoint) -> list[Restored]:
    """Every weight of a product, an expert or an embedding that is one tensor of the checkpoint.

    Notes
    -----
    A row's scale follows from its multiplier: ``multiplier * 2**-shift = weight scale * input scale
    / output scale``; channels of input and output may have factors, which the graph records. A
    rounding solver moves weights by whole steps so that the layer's outputs agree, so the error is
    reported, not bounded by half a step.
    """
    model = import_model(checkpoint)
    model, weights = unfold(model, load_weights(model, checkpoint))
    network = {node.name: node for node in model.nodes}
    found: dict[str, Restored] = {}
    for node in graph.nodes:
        refs, factor = _references(network.get(node.name))
        if not refs or not isinstance(node.op, _Weighted):
            continue
        name = node.op.table if isinstance(node.op, ir.Embedding) else node.op.weight
        constant = graph.constants[name]
        steps, column = _scales(graph, node)
        experts = isinstance(node.op, ir.ExpertMatVec)
        matrices = constant.data if experts else constant.data[None]
        for place, (ref, integers) in enumerate(zip(refs, matrices, strict=True)):
            part = f"{name}[{place}]" if experts else name
            if part not in found:  # the slots of a choice share their matrices
                stored = factor * weights[ref]
                flat = integers.reshape(len(integers), -1)
                # of a gate that the graph holds as a vector, every row is the stored one
                wanted = np.broadcast_to(stored.reshape(len(stored), -1), flat.shape)
                found[part] = _restored(
                    part, ref.name, wanted, flat, constant.type,
                    steps[place] if experts else steps, column,
                )  # fmt: skip
    return list(found.values())


def _restored(
    name: str, tensor: str, wanted: Array, integers: NDArray[np.int64], kind: IntType,
    step: Array, column: Array,
) -> Restored:  # fmt: skip
    """One matrix: its integers times the `step` of each row over the factor of each `column`."""
    back = integers * step[:, None] / column
    near = np.clip(np.round(wanted * column / step[:, None]), kind.min, kind.max)
    near = near * step[:, None] / column
    size = np.sqrt((wanted**2).sum(axis=1))
    off = np.sqrt(((back - wanted) ** 2).sum(axis=1)) / np.where(size > 0, size, 1)
    worst = int(off.argmax())
    whole = np.linalg.norm(wanted) or 1.0
    return Restored(
        name, tensor,
        float(np.linalg.norm(back - wanted) / whole),
        worst, float(off[worst]),
        float((abs((back - wanted) * column) / step[:, None]).max()),
        float(np.linalg.norm(near - wanted) / whole),
    )  # fmt: skip


def judged(items: list[Restored], stored: int) -> tuple[list[str], dict[str, Any]]:
    """Findings, and numbers over all tensors; the checkpoint has `stored`.

    Notes
    -----
    The bounds tell a wrong row or tensor, not a changed step: a solver that makes the layer's
    outputs agree may move weights far where inputs hardly vary. How far beyond the nearest integers
    it went is recorded; that exactly these integers follow from the checkpoint is shown by
    quantizing again (``intaglio signoff --again``).
    """
    findings = []
    for item in items:
        if item.error > LARGEST_TENSOR_ERROR:
            findings.append(f"{item.name} is not {item.tensor}: relative error {item.error:.2f}")
        elif item.row_error > LARGEST_ROW_ERROR:
            findings.append(
                f"{item.name}, row {item.row}, is not that row of {item.tensor}: relative error "
                f"{item.row_error:.2f}"
            )
    if not items:
        return findings, {"tensors": 0, "tensors of the checkpoint": stored}
    return findings, {
        "tensors": len(items),
        "tensors of the checkpoint": stored,
        "times the error of nearest rounding": round(
            max(item.error / max(item.nearest, 1e-9) for item in items), 2
        ),
        "largest relative error": round(max(item.error for item in items), 4),
        "of a row": round(max(item.row_error for item in items), 4),
        "steps at most": round(max(item.steps for item in items), 2),
    }


def _references(node: real.Node | None) -> tuple[tuple[real.TensorRef, ...], float]:
    """Tensors that a node multiplies with, and the factor on them; none if it is no product."""
    match node.op if node is not None else None:
        case real.Linear(weight=weight, scale=scale):
            return (weight,), scale
        case real.Embedding(table=table, scale=scale):
            return (table,), scale
        case real.Conv2d(weight=weight):
            return (weight,), 1.0
        case real.ExpertLinear(weights=weights):
            return weights, 1.0
    return (), 1.0


def _scales(graph: ir.IntegerGraph, node: ir.Node) -> tuple[Array, Array]:
    """Real step of every row (of every expert), and the factor of every column."""
    op = node.op
    assert isinstance(op, _Weighted)
    multiplier = graph.constants[op.multiplier].data * 2.0**-op.shift * node.value.scale
    if isinstance(op, ir.Embedding):
        return np.asarray(multiplier, np.float64), np.ones(1)
    source = graph.value(node.inputs[0])
    out = np.array(node.value.channel) if node.value.channel else np.ones(1)
    rows = multiplier.shape[-1]
    if out.size not in (1, rows):
        out = out.reshape(rows, -1)[:, 0]
    step = np.asarray(multiplier * out / source.scale, np.float64)
    column = np.array(source.channel) if source.channel else np.ones(1)
    return step, column[None, :]
