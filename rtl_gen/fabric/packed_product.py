"""Two products of one element in one multiplier: ``x * a`` and ``x * b``, exact.

With fields of k bits, ``x * (a + b * 2**k)`` is ``x * a + x * b * 2**k``. If ``x * a`` fits k bits,
signed, it is the low field as it stands, and the high field is ``x * b`` less the borrow of the low
one, which is the low field's sign. ``x * a`` needs at most as many bits as x and a have together
(the product of both most negative numbers is the one that needs all), so k is that sum.

The multiplier's operand ``a + b * 2**k`` is a in the low field and ``b - 1`` or b above it: one bit
more than b, because ``b - 1`` of the most negative b is below its range.
"""

from __future__ import annotations

from amaranth import Cat, Module, Signal, Value, signed

from rtl_gen.fabric.pipeline import DSP_BITS, register
from rtl_gen.fabric.product import product


def fits(x_width: int, width: int) -> bool:
    """Whether two products of widths `x_width` by `width` share one multiplier.

    Parameters
    ----------
    x_width, width : int
        Signed widths of the element and of each of its two factors.
    """
    return x_width <= DSP_BITS and x_width + 2 * width + 1 <= DSP_BITS


def packed_product(
    m: Module, en: Value, x: Value, a: Value, b: Value, name: str
) -> tuple[Value, Value]:
    """``x * a`` and ``x * b`` one stage later, from one multiplier.

    Parameters
    ----------
    m : Module
    en : Value
        The stage moves while this is high.
    x : Value
        Signed.
    a, b : Value
        Signed, of equal width, with which `fits` holds.
    name : str
        Of the multiplier's submodule.

    Returns
    -------
    tuple of Value
        Signed, ``len(x) + len(a)`` bits. The second is a sum of one carry behind the register.

    Raises
    ------
    ValueError
        If the widths of `a` and `b` differ or two products do not fit one multiplier.
    """
    if len(a) != len(b):
        raise ValueError(f"factors of {len(a)} and {len(b)} bits: they must be equally wide")
    if not fits(len(x), len(a)):
        raise ValueError(
            f"two products of {len(x)} by {len(a)} bits need an operand of "
            f"{len(x) + 2 * len(a) + 1} bits, and the multiplier has {DSP_BITS}"
        )
    field = len(x) + len(a)
    above = Signal(signed(len(b) + 1), name=f"{name}_above")
    both = Signal(signed(field + len(above)), name=f"{name}_both")
    exact = Signal(signed(len(x) + len(both)), name=f"{name}_exact")
    m.d.comb += [
        above.eq(b - a[-1]),
        both.eq(Cat(a, a[-1].replicate(field - len(a)), above)),
    ]
    m.submodules[name] = product(x, both, exact)
    sums = register(m, en, exact[: 2 * field])
    high = Signal(signed(field), name=f"{name}_high")
    m.d.comb += high.eq(sums[field:].as_signed() + sums[field - 1])
    return sums[:field].as_signed(), high
