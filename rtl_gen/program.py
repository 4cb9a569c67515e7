"""Microprogram: what the units of a chip do in one step, as words of a ROM.

A field that has one value wherever it is used costs nothing: it becomes a constant of the
hardware. Fields whose values come from the weights (shifts, multipliers) are never folded, so that
a chip whose weights change keeps its Verilog.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEADS = (
    "copy", "fill", "input", "embedding", "matvec", "norm", "attend", "pool", "route", "etched",
)  # fmt: skip
SINGLE = frozenset(HEADS) - {"copy", "fill", "input", "matvec"}
"""Heads that take an instruction when the one before has left them."""

SINKS = ("memory", "output", "sample", "key", "value", "gates")

DATA_FIELDS = {
    "head_shift": 6,
    "rotary_shift": 6,
    "mul_multiplier": 16,
    "mul_shift": 6,
    "score_multiplier": 16,
    "score_shift": 6,
    "gate_multiplier": 16,
    "gate_shift": 6,
    "eps": 40,
    "fraction": 4,
    "sample_shift": 5,
}
"""Width of the fields whose values depend on the weights."""

FLAGS = ("final", "prefill_stop")
"""Bits 0 and 1 of a word; see `rtl_gen.fabric.sequencer`."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One pass of data from a head unit through the tail to a sink.

    Parameters
    ----------
    nodes : tuple of str
        Names of the graph's nodes computed here, for reports.
    fields : dict of str to int
        Values of the fields it uses; every other field may have any value.
    """

    nodes: tuple[str, ...]
    fields: dict[str, int]


@dataclass(frozen=True, slots=True)
class Field:
    """Place of a field in the word, or its constant value."""

    name: str
    width: int
    signed: bool
    offset: int = 0
    constant: int | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions of a step and the encoding of their words.

    Parameters
    ----------
    instructions : tuple of Instruction
    fields : dict of str to Field
    width : int
    adapted : int
        First instruction of the second program, which a step with an active adapter runs; the
        first one begins at 0. 0 if there is one program only.
    """

    instructions: tuple[Instruction, ...]
    fields: dict[str, Field]
    width: int
    adapted: int = 0

    def part(self, *, adapted: bool) -> tuple[Instruction, ...]:
        """What a step with, or without, an active adapter runs."""
        if not self.adapted:
            return self.instructions
        return self.instructions[self.adapted :] if adapted else self.instructions[: self.adapted]

    def words(self) -> list[int]:
        """One integer of `width` bits per instruction."""
        return [self._word(instruction) for instruction in self.instructions]

    def _word(self, instruction: Instruction) -> int:
        word = 0
        for name, value in instruction.fields.items():
            field = self.fields[name]
            if field.constant is None:
                word |= (value & ((1 << field.width) - 1)) << field.offset
        return word


def _width(values: Sequence[int], signed: bool) -> int:
    if signed:
        return max(max((v if v >= 0 else ~v).bit_length() for v in values) + 1, 1)
    return max(1, max(values).bit_length())


def assemble(first: Sequence[Instruction], second: Sequence[Instruction] = ()) -> Program:
    """Choose widths and places of the fields.

    Parameters
    ----------
    first, second : sequence of Instruction
        Of a step; of a step with an active adapter, if there are adapter regions.

    Raises
    ------
    ValueError
        If a field that depends on the weights does not fit its fixed width.
    """
    instructions = (*first, *second)
    values: dict[str, list[int]] = {flag: [] for flag in FLAGS}
    for instruction in instructions:
        for name, value in instruction.fields.items():
            values.setdefault(name, []).append(value)
    fields: dict[str, Field] = {}
    offset = 0
    for name, used in values.items():
        if name in FLAGS:
            field = Field(name, 1, signed=False, offset=offset)
        elif name in DATA_FIELDS:
            width = DATA_FIELDS[name]
            if not 0 <= min(used) <= max(used) < 1 << width:
                raise ValueError(f"field {name} has {width} bits, its values reach {max(used)}")
            field = Field(name, width, signed=False, offset=offset)
        else:
            signed = min(used) < 0
            constant = used[0] if len(set(used)) == 1 else None
            field = Field(name, _width(used, signed), signed, offset, constant)
        fields[name] = field
        if field.constant is None:
            offset += field.width
    adapted = len(first) if second else 0
    return Program(instructions, fields, max(offset, len(FLAGS)), adapted)
