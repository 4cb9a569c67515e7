"""Exact arithmetic on values that hold still: sums, constant factors, rounding, saturation.

Registers have no enable and no reset: they follow their inputs, which stay as they are once they
have arrived. Functions that add registers say how many cycles later the result is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import C, Cat, Elaboratable, Module, Mux, Signal, Value, signed, unsigned

from rtl_gen.fabric.adder import add_pairs
from rtl_gen.fabric.beat import cut
from rtl_gen.ir.types import IntType

LEVELS = 2
"""Adders between two registers of a sum."""

Timed = tuple[Value, int]
"""A value, and the cycles after which it is right."""


def held(m: Module, value: Value) -> Signal:
    """One register behind `value`."""
    stage = Signal(value.shape(), reset_less=True)
    m.d.sync += stage.eq(value)
    return stage


def numbers(word: Value, type_: IntType, count: int) -> list[Value]:
    """`count` numbers of `type_` that lie side by side, the first lowest."""
    shape = signed(type_.width) if type_.signed else unsigned(type_.width)
    return cut(word, shape, count)


def signed_value(value: Value) -> Value:
    """`value` as a signed one, a bit wider if it was not."""
    return value if value.shape().signed else Cat(value, C(0, 1)).as_signed()


def summed(m: Module, terms: Sequence[Value], levels: int = LEVELS) -> Timed:
    """Balanced sum, a register behind every `levels` adders and behind the last."""
    values = [signed_value(term) for term in terms]
    level = cycles = 0
    while len(values) > 1:
        values = add_pairs(m, values)
        level += 1
        if level % levels == 0 or len(values) == 1:
            values = [held(m, value) for value in values]
            cycles += 1
    return values[0], cycles


def sum_cycles(terms: int, levels: int = LEVELS) -> int:
    """Latency of `summed`."""
    return -(-(terms - 1).bit_length() // levels)


def digits(factor: int) -> list[tuple[int, int]]:
    """Signed digits of a positive number: (shift, sign), lowest first, none beside another."""
    found, shift = [], 0
    while factor:
        if factor & 1:
            sign = 2 - (factor & 3)
            found.append((shift, sign))
            factor -= sign
        factor >>= 1
        shift += 1
    return found


def multiples(value: Value, factor: int) -> list[Value]:
    """Terms whose sum is `value` times a positive constant."""
    return [value << shift if sign > 0 else -(value << shift) for shift, sign in digits(factor)]


def rounded(value: Value, shift: int) -> Value:
    """``(value + (1 << shift >> 1)) >> shift``, by an adder as short as the result."""
    if not shift:
        return value
    return (value >> shift) + (value[shift - 1] if shift <= len(value) else value[-1])


def rounded_negative(value: Value, shift: int) -> Value:
    """``(-value + (1 << shift >> 1)) >> shift``, by an adder as short as the result.

    With -v = ~v + 1 the bits of ~v below `shift` give a carry from half a step less one on.
    """
    if not shift:
        return -value
    inverse = ~Cat(value, value[-1].replicate(max(0, shift + 1 - len(value))))
    below = inverse[: shift - 1]
    carry = inverse[shift - 1] | (below.all() if shift > 1 else C(1, 1))
    return inverse[shift:].as_signed() + carry


class _Alike(Elaboratable):
    """Whether the bits of a word are all alike: in a module of its own.

    Synthesis would find this out again for every bit of a saturated value, as it is no slower.
    """

    def __init__(self, width: int) -> None:
        self.word = Signal(width)
        self.ones, self.zeros = Signal(), Signal()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += [self.ones.eq(self.word.all()), self.zeros.eq(~self.word.any())]
        return m


def clipped(m: Module, value: Value, type_: IntType) -> Value:
    """`value` saturated to `type_`, from the bits above it alone."""
    value = signed_value(value)
    width = type_.width
    if len(value) <= width + (not type_.signed):
        return value if type_.signed else Mux(value[-1], 0, value[:-1])
    alike = _Alike(len(value) - width + type_.signed)
    m.submodules += alike
    m.d.comb += alike.word.eq(value[width - type_.signed :])
    if type_.signed:
        extreme = Cat(~value[-1].replicate(width - 1), value[-1])
        return Mux(alike.ones | alike.zeros, value[:width], extreme).as_signed()
    return Mux(value[-1], 0, value[:width] | (~alike.zeros).replicate(width))


def requantize_cycles(factor: int) -> int:
    """Latency of `requantized`."""
    return 1 + sum_cycles(len(digits(abs(factor))))


def requantized(
    m: Module, value: Value, factor: int, shift: int, type_: IntType, offset: int = 0
) -> Value:
    """``sat((value * factor + offset + half) >> shift)``, `half` being half a step of the result.

    A factor, which may be negative but not 0, of one signed digit takes one cycle; others take
    `requantize_cycles`.
    """
    total = summed(m, multiples(signed_value(value), abs(factor)))[0]
    if not offset:
        result = rounded(total, shift) if factor > 0 else rounded_negative(total, shift)
        return held(m, clipped(m, result, type_))
    offset += 1 << shift >> 1
    total = offset - total if factor < 0 else total + offset
    return held(m, clipped(m, total >> shift, type_))
