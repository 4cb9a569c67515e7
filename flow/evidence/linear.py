"""Proof that an adder graph in word-level RTL is its matrix: exact linear forms with intervals.

A tile without saturation computes a linear form of its inputs if no adder overflows. Every word of
the RTL is given its form, coefficient by coefficient, and the interval of its values over all
inputs; a word narrower than its interval ends the proof. Registers delay, and words that meet in an
adder must be equally late. SAT and SMT fail on such products from 4×4 on; this takes time linear in
the number of adders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow.evidence.design import Bit, Cell, EvidenceError, Module
from rtl_gen.ir.types import IntType

Integers = NDArray[np.int64]

MOST_FINDINGS = 5


@dataclass(frozen=True, slots=True)
class Form:
    """A linear form of the inputs some cycles ago.

    Parameters
    ----------
    coefficients : int64, shape (n_in,)
    delay : int or None
        Cycles; None for a constant, which is never late.
    """

    coefficients: Integers
    delay: int | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix as it was read from an adder graph.

    Parameters
    ----------
    data : int64, shape (n_out, n_in)
    latency : int
        Cycles from the vector to the first bits of the sums.
    nodes : int
        Words, or nodes of a bit-serial graph, that have a proof.
    """

    data: Integers
    latency: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof found.

    Parameters
    ----------
    findings : tuple of str
        Rows and columns that differ, or why there is no proof; empty if the RTL is the matrix.
    words : int
        Adders, negations and registers that have a form.
    latency : int
        Cycles from ``x`` to ``y``.
    """

    findings: tuple[str, ...]
    words: int
    latency: int


def prove(module: Module, weight: Integers, x: IntType, width: int) -> Proof:
    """Prove that ``y = weight @ x`` for all x, a fixed number of enabled cycles later.

    Parameters
    ----------
    module : Module
        Word-level cells (``$add``, ``$sub``, ``$neg``, ``$dffe``); ports ``x`` (n_in elements, the
        first in the low bits), ``y`` (n_out sums of `width` bits), ``clk`` and ``en``.
    weight : int64, shape (n_out, n_in)
    x : IntType
        Signed type of an element.
    width : int
        Bits of a sum.
    """
    try:
        found = read(module, x, width)
    except EvidenceError as error:
        return Proof((str(error),), 0, 0)
    findings = [
        f"row {row}, column {column}: {found.data[row, column]} in the RTL, "
        f"{weight[row, column]} in the matrix"
        for row, column in np.argwhere(found.data != weight).tolist()
    ]
    return Proof(tuple(findings[:MOST_FINDINGS]), found.nodes, found.latency)


def read(module: Module, x: IntType, width: int) -> Matrix:
    """The matrix that an adder graph is; arguments as in `prove`.

    Raises
    ------
    EvidenceError
        If a word is no linear form, can overflow, or comes too early or late.
    """
    forms = _Forms(module, x)
    y = module.ports["y"]
    rows = [forms.word(y[first : first + width]) for first in range(0, len(y), width)]
    delays = {form.delay for form in rows if form.delay is not None}
    if len(delays) > 1:
        raise EvidenceError(f"rows leave after different numbers of cycles: {sorted(delays)}")
    data = np.array([form.coefficients for form in rows])
    return Matrix(data, delays.pop() if delays else 0, len(forms.known))


class _Forms:
    """Forms of the words of a module."""

    def __init__(self, module: Module, x: IntType) -> None:
        self.module = module
        self.x = x
        bits = module.ports["x"]
        self.inputs = [tuple(bits[k : k + x.width]) for k in range(0, len(bits), x.width)]
        self.first = {element[0]: index for index, element in enumerate(self.inputs)}
        self.known: dict[str, Form] = {}

    def word(self, bits: Sequence[Bit]) -> Form:
        """Form of a two's-complement word.

        Raises
        ------
        EvidenceError
            If the bits are not one whole value, shifted and extended, or cannot hold it.
        """
        left = list(bits)
        shift = 0
        while left and left[0] == "0":
            left.pop(0)
            shift += 1
        if not left:
            return Form(np.zeros(len(self.inputs), np.int64), None)
        while len(left) > 1 and left[-1] == left[-2]:
            left.pop()
        form = self._value(left)
        low, high = self._interval(form.coefficients)
        holds = IntType(len(left))
        if low < holds.min or high > holds.max:
            raise EvidenceError(
                f"{self._name(left[0])}: values from {low} to {high} in {len(left)} bits"
            )
        return Form(form.coefficients << shift, form.delay)

    def _value(self, bits: list[Bit]) -> Form:
        if bits[0] in self.first:
            index = self.first[bits[0]]
            if tuple(bits) != self.inputs[index]:
                raise EvidenceError(f"a part of input {index} is read")
            coefficients = np.zeros(len(self.inputs), np.int64)
            coefficients[index] = 1
            return Form(coefficients, 0)
        if bits[0] not in self.module.drivers:
            raise EvidenceError(f"{self._name(bits[0])} is driven by nothing that is linear")
        name, pin, place = self.module.drivers[bits[0]]
        output = self.module.cells[name].pins[pin]
        if place or list(output[: len(bits)]) != bits:
            raise EvidenceError(f"{self._name(bits[0])}: a word mixes several values")
        if name not in self.known:
            self.known[name] = self._cell(self.module.cells[name])
        return self.known[name]

    def _cell(self, cell: Cell) -> Form:
        if cell.type in {"$dff", "$dffe"}:
            enable = cell.pins.get("EN", ())
            if tuple(enable) != tuple(self.module.ports["en"]):
                raise EvidenceError("a register does not obey `en`")
            held = self.word(cell.pins["D"])
            return Form(held.coefficients, None if held.delay is None else held.delay + 1)
        if cell.type not in {"$add", "$sub", "$neg"}:
            raise EvidenceError(f"a {cell.type} is not linear")
        operands = [self.word(cell.pins[pin]) for pin in ("A", "B") if pin in cell.pins]
        if any(cell.number(f"{pin}_SIGNED") != 1 for pin in ("A", "B") if pin in cell.pins):
            raise EvidenceError(f"a {cell.type} takes a word as unsigned")
        delays = {form.delay for form in operands if form.delay is not None}
        if len(delays) > 1:
            raise EvidenceError(f"words of different age meet in a {cell.type}: {sorted(delays)}")
        first = operands[0].coefficients
        match cell.type:
            case "$neg":
                total = -first
            case "$add":
                total = first + operands[1].coefficients
            case _:
                total = first - operands[1].coefficients
        return Form(total, delays.pop() if delays else None)

    def _interval(self, coefficients: Integers) -> tuple[int, int]:
        """Smallest and largest value: every element takes the end its sign wants."""
        positive = int(np.maximum(coefficients, 0).sum())
        negative = int(np.minimum(coefficients, 0).sum())
        return (
            positive * self.x.min + negative * self.x.max,
            positive * self.x.max + negative * self.x.min,
        )

    def _name(self, bit: Bit) -> str:
        return next((name for name, bits in self.module.nets.items() if bit in bits), f"bit {bit}")
