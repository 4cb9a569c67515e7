"""Instructions of a chip, read back from its program ROM, and what they say of the graph.

Addresses are not taken from the generator: they are in the instructions. The manifest gives the
places of an instruction's fields and the nodes that it computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow.evidence import tensor
from flow.evidence.design import EvidenceError
from flow.evidence.layout import Reader, Tensor
from rtl_gen.ir import integer as ir


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number of a node as it was read from an instruction.

    Parameters
    ----------
    node, field : str
    where : str
    found, wanted : int
        In the chip, in the graph.
    """

    node: str
    field: str
    where: str
    found: int
    wanted: int


def instructions(reader: Reader) -> list[dict[str, int]]:
    """Fields of every instruction, from the program ROM; a folded field has its one value."""
    fields = reader.manifest["program"]["fields"]
    depth = len(reader.manifest["schedule"])
    rows: list[dict[str, int]] = [{} for _ in range(depth)]
    for name, place in fields.items():
        if "constant" in place:
            values = np.full(depth, place["constant"], np.int64)
        else:
            values = reader.numbers(
                "program", np.arange(depth), np.array(place["offset"]), place["width"],
                signed=place["signed"],
            )  # fmt: skip
        for row, value in zip(rows, values.tolist(), strict=True):
            row[name] = value
    return rows


def of_image(manifest: Mapping[str, Any], image: Path) -> list[dict[str, int]]:
    """Fields of every instruction, from the image of the program ROM."""
    words = [int(line, 16) for line in image.read_text().split()]
    rows: list[dict[str, int]] = []
    for word in words[: len(manifest["schedule"])]:
        row = {}
        for name, place in manifest["program"]["fields"].items():
            if "constant" in place:
                row[name] = int(place["constant"])
                continue
            value = word >> place["offset"] & (1 << place["width"]) - 1
            negative = place["signed"] and value >> place["width"] - 1
            row[name] = value - (1 << place["width"]) if negative else value
        rows.append(row)
    return rows


def read(reader: Reader) -> tuple[list[Tensor], list[Scalar]]:
    """Every tensor and number of the graph that the chip holds.

    A tensor that several instructions use is read for each of them.

    Raises
    ------
    EvidenceError
        If an instruction points outside a memory, or the manifest and the graph do not fit.
    """
    nodes = {node.name: node for node in reader.graph.nodes}
    samples = [name for name, node in nodes.items() if isinstance(node.op, ir.Sample)]
    left = {name for name, node in nodes.items() if not isinstance(node.op, ir.Reshape)}
    tensors: list[Tensor] = []
    scalars: list[Scalar] = []
    entries = reader.manifest["schedule"]
    rows = instructions(reader)
    for stack in tensor.stacks(entries, rows):
        tensors += tensor.of_stack(reader, stack, rows)
    for index, (entry, row) in enumerate(zip(entries, rows, strict=True)):
        names = [name for name in entry["nodes"] if name in nodes and name not in samples]
        # The sampler takes what an instruction sends there, which may have another name.
        names += samples if entry["sink"] == "sample" else []
        where = f"instruction {index}"
        for node in map(nodes.__getitem__, names):
            left.discard(node.name)
            tensors += tensor.of_node(reader, node, row, entry)
            for name, wanted in _scalars(node, entry, row):
                if name not in row:
                    raise EvidenceError(f"{where} computes {node.name} but has no field {name}")
                scalars.append(Scalar(node.name, name, where, row[name], wanted))
    if left:
        raise EvidenceError(f"no instruction of the chip computes {', '.join(sorted(left))}")
    return tensors, scalars


def _scalars(
    node: ir.Node, entry: Mapping[str, Any], row: Mapping[str, int]
) -> Sequence[tuple[str, int]]:
    """Fields that an instruction computing `node` must have, with their values."""
    head, op, type_ = entry["head"], node.op, node.value.type
    bounds = [("head_low", type_.min), ("head_high", type_.max)]
    match op:
        case ir.ConstMatVec() | ir.Conv2d() if head in {"matvec", "etched"}:
            return [("head_shift", op.shift), *bounds]
        case ir.Embedding() if head == "embedding":
            return [("head_shift", op.shift), *bounds]
        case ir.ExpertMatVec() if head in {"matvec", "etched"}:
            return [("head_shift", op.shift), ("expert", 1), ("slot", op.slot), *bounds]
        case ir.Gate(score=score) if head == "route" and score is not None:
            return [("gate_multiplier", score.multiplier), ("gate_shift", score.shift)]
        case ir.Weigh() if "weigh" in entry["tail"]:
            return [("mul_multiplier", op.scale.multiplier), ("mul_shift", op.scale.shift),
                    ("slot", op.slot), ("mul_low", type_.min), ("mul_high", type_.max)]  # fmt: skip
        case ir.Norm() if head == "norm":
            return [("head_shift", op.shift), ("eps", op.eps), ("fraction", op.fraction),
                    ("center", int(op.center)), *bounds]  # fmt: skip
        case ir.Rotary() if "rotary" in entry["tail"]:
            return [("rotary_shift", op.shift), ("rotary_low", type_.min),
                    ("rotary_high", type_.max)]  # fmt: skip
        case ir.LowRank() if row["source"] == 1:
            return [("head_shift", op.shift_a), ("head_low", op.hidden.min),
                    ("head_high", op.hidden.max)]  # fmt: skip
        case ir.LowRank():
            return [("head_shift", op.shift_b), *bounds, ("add_low", type_.min),
                    ("add_high", type_.max)]  # fmt: skip
        case ir.Attention() if head == "attend":
            found = [("head_shift", op.shift), ("score_multiplier", op.score.multiplier),
                     ("score_shift", op.score.shift), *bounds]  # fmt: skip
            # A chip without windows has no such field.
            reach = (op.window or op.context) - 1
            return [*found, ("reach", reach)] if op.window or "reach" in row else found
        case ir.Mul() if "mul" in entry["tail"]:
            return [("mul_multiplier", op.scale.multiplier), ("mul_shift", op.scale.shift),
                    ("mul_low", type_.min), ("mul_high", type_.max)]  # fmt: skip
        case ir.Add() if "add" in entry["tail"]:
            return [("add_low", type_.min), ("add_high", type_.max)]
        case ir.Sample():
            return [("sample_shift", op.shift)]
    return []
