"""Pipeline stages shared by the blocks: delay, multiply, round-shift-saturate.

Every function adds registers to `m` that move only while `en` is high, and returns the delayed
value. Data registers have no reset: their valid bits do.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed

MULTIPLY = 2
"""Latency of `multiply` in cycles."""

ROUND_SHIFT = 3
"""Latency of `round_shift` in cycles."""

DSP_BITS = 18
"""Signed width of one hardware multiplier."""


def register(m: Module, en: Value, value: Value, *, reset: bool = False) -> Signal:
    """One stage: `value` of the previous enabled cycle."""
    stage = Signal(value.shape(), reset_less=not reset)
    with m.If(en):
        m.d.sync += stage.eq(value)
    return stage


def delay(m: Module, en: Value, value: Value, cycles: int, *, reset: bool = False) -> Value:
    """`cycles` stages."""
    for _ in range(cycles):
        value = register(m, en, value, reset=reset)
    return value


def _as_signed(value: Value) -> Value:
    shape = value.shape()
    return value if shape.signed else Cat(value, Const(0, 1)).as_signed()


def multiply(m: Module, en: Value, a: Value, b: Value) -> Value:
    """Signed product of `a` and `b`, `MULTIPLY` stages.

    `b` must fit one multiplier operand (18 bits signed); a wider `a` is cut into 17-bit digits,
    one multiplier each, summed in the second stage.

    Raises
    ------
    ValueError
        If `b` is wider than 18 bits.
    """
    a, b = _as_signed(a), _as_signed(b)
    if len(b) > DSP_BITS:
        raise ValueError(f"multiplier operand of {len(b)} bits, at most {DSP_BITS}")
    digits = []
    step = DSP_BITS - 1
    start = 0
    while len(a) - start > DSP_BITS:
        digits.append((start, register(m, en, a[start : start + step] * b)))
        start += step
    digits.append((start, register(m, en, a[start:].as_signed() * b)))
    total = Signal(signed(len(a) + len(b)), reset_less=True)
    with m.If(en):
        m.d.sync += total.eq(sum((part << low for low, part in digits[1:]), digits[0][1]))
    return total


def saturate(value: Value, low: Value, high: Value) -> Value:
    """`value` clipped to ``[low, high]``."""
    return Mux(value > high, high, Mux(value < low, low, value))


def round_shift(m: Module, en: Value, value: Value, shift: Value, low: Value, high: Value) -> Value:
    """``clip((value + (1 << shift >> 1)) >> shift, low, high)``, `ROUND_SHIFT` stages.

    `shift` (6 bits), `low` and `high` must be stable while values are in flight. The result is
    signed and as wide as the wider bound.
    """
    width = len(value) + 1
    doubled = Signal(signed(width))
    m.d.comb += doubled.eq(value << 1)
    coarse = Signal(signed(width), reset_less=True)
    fine = Signal(signed(width), reset_less=True)
    # ((2v >> s) + 1) >> 1 equals (v + half) >> s for every s >= 0.
    with m.If(en):
        m.d.sync += coarse.eq(doubled >> Cat(Const(0, 3), shift[3:]))
        m.d.sync += fine.eq(((coarse >> shift[:3]) + 1) >> 1)
    clipped = Signal(signed(max(len(_as_signed(low)), len(_as_signed(high)))), reset_less=True)
    with m.If(en):
        m.d.sync += clipped.eq(saturate(fine, low, high))
    return clipped
