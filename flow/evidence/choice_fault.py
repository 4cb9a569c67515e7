"""Kinds of faults in what chooses constants: experts, their slots, regions of adapters.

Each changes the program ROM or the places of weights, so that right numbers are used at the wrong
time. A chip has those for which it has the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flow.evidence.fault import Change
from flow.evidence.instruction import instructions
from flow.evidence.layout import Reader
from flow.evidence.plant import Chip
from rtl_gen.ir.integer import ExpertMatVec


def of_chip(chip: Chip) -> Mapping[str, Change]:
    """Changes of memories' words that only some chips have a place for."""
    schedule = chip.manifest["schedule"]
    fields = chip.manifest["program"]["fields"]
    stored = {name for name, place in fields.items() if "offset" in place}
    found: dict[str, Change] = {}
    if "weight_stride" in fields:
        found["exchanged experts"] = _exchanged_experts(chip)
    if "slot" in stored and any("expert" in row for row in schedule) | ("expert" in fields):
        found["wrong slot of the choice"] = _other_value(chip, "slot", "expert")
    if chip.manifest.get("adapters") and "weight_base" in stored:
        found["wrong region of the adapter"] = _exchanged_regions(chip)
    return found


def _rows(chip: Chip, words: Any) -> list[dict[str, int]]:
    return instructions(Reader(words, chip.manifest, chip.graph))


def _with_field(chip: Chip, words: Any, index: int, name: str, value: int) -> Any:
    """Words of the program with another value in a field of one instruction."""
    place = chip.manifest["program"]["fields"][name]
    bits = np.arange(place["width"])
    program = words["program"].copy()
    program[index, place["offset"] + bits] = value >> bits & 1
    return program


def _exchanged_experts(chip: Chip) -> Change:
    """The matrices of two experts, one in the other's place."""

    def change(words: Any, stale: Any, rng: Any) -> Any:
        rows = _rows(chip, words)
        index = int(rng.choice([k for k, row in enumerate(rows) if row.get("expert", 0)]))
        stride, base = rows[index]["weight_stride"], rows[index]["weight_base"]
        chosen = rng.choice(_experts(chip, index), 2, replace=False)
        a, b = (base + int(k) * stride for k in chosen)
        bits = words["matvec_weight"]
        changed = bits.copy()
        changed[a : a + stride], changed[b : b + stride] = (
            bits[b : b + stride],
            bits[a : a + stride],
        )
        if (changed == bits).all():
            return None
        return "matvec_weight", f"instruction {index}, words {a} and {b} on", changed

    return change


def _experts(chip: Chip, index: int) -> int:
    """Experts that an instruction chooses from."""
    names = chip.manifest["schedule"][index]["nodes"]
    ops = [node.op for node in chip.graph.nodes if node.name in names]
    op = next(op for op in ops if isinstance(op, ExpertMatVec))
    return len(chip.graph.constants[op.weight].data)


def _other_value(chip: Chip, name: str, where: str) -> Change:
    """A field of one instruction with another of its values."""

    def change(words: Any, stale: Any, rng: Any) -> Any:
        rows = _rows(chip, words)
        index = int(rng.choice([k for k, row in enumerate(rows) if row.get(where, 0)]))
        value = rows[index][name]
        others = sorted({row[name] for row in rows} - {value})
        if not others:
            return None
        other = int(rng.choice(others))
        place = f"instruction {index}, {name} {other} for {value}"
        return "program", place, _with_field(chip, words, index, name, other)

    return change


def _exchanged_regions(chip: Chip) -> Change:
    """An instruction that reads another region's part of the adapter memory."""

    def change(words: Any, stale: Any, rng: Any) -> Any:
        rows = _rows(chip, words)
        source = int(rng.choice([1, 2]))
        of_source = [k for k, row in enumerate(rows) if row.get("source", 0) == source]
        bases = {rows[k]["weight_base"] for k in of_source}
        if len(bases) < 2:
            return None
        index = int(rng.choice(of_source))
        other = int(rng.choice(sorted(bases - {rows[index]["weight_base"]})))
        place = f"instruction {index} reads from {other}"
        return "program", place, _with_field(chip, words, index, "weight_base", other)

    return change
