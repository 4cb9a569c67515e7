"""What a result passes on its way from the head unit to its sink: rotation, table, product, sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from amaranth import Cat, Const, Module, Value
from amaranth.lib import stream

from rtl_gen.fabric.skid import Skid

PARTS = (("rotary", "i"), ("lookup", "i"), ("mul", "a"), ("add", "a"))
"""Optional parts and the operand that passes through them."""

CUT = "lookup"
"""Part behind which `ready` comes from a register, so that it never crosses the whole tail."""


def has_cut(units: Mapping[str, Any], *, counted: bool) -> bool:
    """Whether a register lies behind `CUT`; arguments as of `tail`."""
    names = [name for name, _ in PARTS if name in units]
    return counted and CUT in names[:-1]


def join(m: Module, source: Any, sink: Any) -> None:
    """Connect two streams, here and now (inside a condition)."""
    m.d.comb += [
        sink.payload.eq(source.payload),
        sink.valid.eq(source.valid),
        source.ready.eq(sink.ready),
    ]


def tail(
    m: Module, units: Mapping[str, Any], source: Any, second: Any, back: Callable[[str], Value],
    width: int, elements: int, *, counted: bool,
) -> Any:  # fmt: skip
    """Connect the parts; returns the stream behind the last.

    Parameters
    ----------
    m : Module
    units : mapping
        The chip's units.
    source, second : streams of beats
        Results of the head unit; second operands of product and sum.
    back : callable
        Field of the instruction that lets its results out; one is named as each part.
    width, elements : int
        Signed width of an element; elements of a beat.
    counted : bool
        `source` offers as many beats as the sink takes. One that always offers must not fill a
        register between them.
    """
    cut = has_cut(units, counted=counted)
    for name, operand in PARTS:
        if name not in units:
            continue
        unit = units[name]
        entry = getattr(unit, operand)
        out = stream.Signature(source.payload.shape()).create(path=(f"after_{name}",))
        m.d.comb += entry.payload.eq(source.payload)
        weighs = name == "mul" and "route" in units
        if operand == "a":
            m.d.comb += unit.b.payload.eq(second.payload)
        if weighs:
            router = units["route"]
            gate = router.gates.word_select(back("slot"), router.width - 1)
            same = Cat(*(Cat(gate, Const(0, 1)) for _ in range(elements)))
            with m.If(back("weigh")):
                m.d.comb += Value.cast(unit.b.payload).eq(same)
        with m.If(back(name)):
            m.d.comb += [
                entry.valid.eq(source.valid),
                source.ready.eq(entry.ready),
                out.payload.eq(unit.o.payload),
                out.valid.eq(unit.o.valid),
                unit.o.ready.eq(out.ready),
            ]
            if operand == "a":
                m.d.comb += unit.b.valid.eq(second.valid)
                m.d.comb += second.ready.eq(unit.b.ready)
            if weighs:  # the second operand is always at hand, and the sum's is left alone
                with m.If(back("weigh")):
                    m.d.comb += [unit.b.valid.eq(1), second.ready.eq(0)]
        with m.Else():
            join(m, source, out)
        source = out
        if name == CUT and cut:
            skid = m.submodules.tail_skid = Skid(width, elements)
            join(m, source, skid.i)
            source = skid.o
    return source
