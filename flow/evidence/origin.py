"""From the graph's integers back to the checkpoint's weights, through the recorded scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_gen.checkpoint import Checkpoint, import_model, load
from rtl_gen.ir import integer as ir
from rtl_gen.ir import model as real

Array = NDArray[np.float64]

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
    """Every weight of a product or an embedding that is one tensor of the checkpoint.

    Notes
    -----
    A row's scale follows from its multiplier: ``multiplier * 2**-shift = weight scale * input scale
    / output scale``; channels of input and output may have factors, which the graph records. A
    rounding solver moves weights by whole steps so that the layer's outputs agree, so the error is
    reported, not bounded by half a step.
    """
    network = {node.name: node for node in import_model(checkpoint).nodes}
    found = []
    for node in graph.nodes:
        ref = _reference(network.get(node.name))
        if ref is None or not isinstance(node.op, ir.ConstMatVec | ir.Conv2d | ir.Embedding):
            continue
        stored = load(checkpoint, ref).astype(np.float64)
        name = node.op.table if isinstance(node.op, ir.Embedding) else node.op.weight
        integers = graph.constants[name].data
        step, channel = _scales(graph, node)
        rows = len(integers)
        back = integers.reshape(rows, -1) * step[:, None] / channel
        wanted = stored.reshape(rows, -1)
        size = np.sqrt((wanted**2).sum(axis=1))
        kind = graph.constants[name].type
        near = np.clip(np.round(wanted * channel / step[:, None]), kind.min, kind.max)
        near = near * step[:, None] / channel
        off = np.sqrt(((back - wanted) ** 2).sum(axis=1)) / np.where(size > 0, size, 1)
        worst = int(off.argmax())
        found.append(
            Restored(
                name, ref.name,
                float(np.linalg.norm(back - wanted) / (np.linalg.norm(wanted) or 1.0)),
                worst, float(off[worst]),
                float((abs((back - wanted) * channel) / step[:, None]).max()),
                float(np.linalg.norm(near - wanted) / (np.linalg.norm(wanted) or 1.0)),
            )
        )  # fmt: skip
    return found


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


def _reference(node: real.Node | None) -> real.TensorRef | None:
    match node.op if node is not None else None:
        case real.Linear(weight=weight) | real.Conv2d(weight=weight):
            return weight
        case real.Embedding(table=table):
            return table
    return None


def _scales(graph: ir.IntegerGraph, node: ir.Node) -> tuple[Array, Array]:
    """Real step of every row, and the factor of every column."""
    op = node.op
    assert isinstance(op, ir.ConstMatVec | ir.Conv2d | ir.Embedding)
    multiplier = graph.constants[op.multiplier].data * 2.0**-op.shift * node.value.scale
    if isinstance(op, ir.Embedding):
        return np.asarray(multiplier, np.float64), np.ones(1)
    source = graph.value(node.inputs[0])
    out = np.array(node.value.channel) if node.value.channel else np.ones(1)
    rows = len(multiplier)
    if out.size not in (1, rows):
        out = out.reshape(rows, -1)[:, 0]
    step = np.asarray(multiplier * out / source.scale, np.float64)
    column = np.array(source.channel) if source.channel else np.ones(1)
    return step, column[None, :]
