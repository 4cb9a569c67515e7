"""What routers share: elements one after another, sorted lists, and gates by division."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from amaranth import Array, Const, Module, Mux, Signal, Value, signed

from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import split
from rtl_gen.fabric.pipeline import MULTIPLY, delay, multiply, register

INDEX_BITS = 10
P_BITS = 16


def serial(m: Module, unit: Any, x: Signal, open_: Value) -> Signal:
    """Elements of the beats of ``unit.i`` one after another to `x`; whether one is taken.

    They are taken while `open_`; ``unit.start`` begins with the first of a beat.
    """
    place = Signal(range(max(2, unit.elements)))
    last = place == unit.elements - 1
    m.d.comb += x.eq(Array(split(unit.i.payload, unit.elements))[place])
    taken = Signal()
    m.d.comb += [taken.eq(unit.i.valid & open_), unit.i.ready.eq(open_ & last)]
    with m.If(unit.start):
        m.d.sync += place.eq(0)
    with m.Elif(taken):
        m.d.sync += place.eq(Mux(last, 0, place + 1))
    return taken


def ranked(
    m: Module, columns: Mapping[str, tuple[Any, Value]], taken: Value, k: int,
    exceeds: Callable[[Value, Value], Value], *, fresh: Value | None = None, filled: str = "filled",
) -> tuple[list[list[Signal]], list[Signal]]:  # fmt: skip
    """Insert into a sorted list of k; a new key goes behind all that it does not exceed.

    Parameters
    ----------
    columns : mapping of str to (shape, Value)
        Name, shape and new value of what is compared, and of what is kept beside it.
    taken : Value
        There is a new key.
    k : int
    exceeds : callable
        Whether a new key goes before an old one.
    fresh : Value, optional
        The list counts as empty when this key comes.
    filled : str
        Name of the bits that tell which places are in use.

    Returns
    -------
    columns : list of list of Signal
        The k places of each column, the first one's largest first.
    filled : list of Signal
        Cleared, the list is empty.
    """
    news = [new for _, new in columns.values()]
    kept = [
        [Signal(shape, name=f"{name}{s}", reset_less=True) for s in range(k)]
        for name, (shape, _) in columns.items()
    ]
    used = [Signal(name=f"{filled}{s}") for s in range(k)]
    above = [~f | exceeds(news[0], old) for f, old in zip(used, kept[0], strict=True)]
    if fresh is not None:
        above = [fresh | a for a in above]
    for s in range(k):
        with m.If(taken & above[s]):
            if s == 0:
                m.d.sync += [column[0].eq(new) for column, new in zip(kept, news, strict=True)]
                m.d.sync += used[0].eq(1)
            else:
                moved = above[s - 1]
                before = used[s - 1] if fresh is None else used[s - 1] & ~fresh
                m.d.sync += [
                    column[s].eq(Mux(moved, column[s - 1], new))
                    for column, new in zip(kept, news, strict=True)
                ]
                m.d.sync += used[s].eq(Mux(moved, before, 1))
    return kept, used


def gates(
    m: Module, unit: Any, chosen: Any, total: Signal, begin: Value, reciprocal: rom.Rom | None
) -> None:
    """Gates to ``unit.o`` and ``unit.gates``: every chosen p times the reciprocal of the total.

    Without `reciprocal`, every chosen p itself.
    """
    on = Const(1)
    known, b, factor = begin, Const(0), Const(2)
    if reciprocal is not None:
        known, b = _search(m, total, begin, reciprocal)
        factor = reciprocal.data
    slot = Signal(range(max(2, unit.k)))
    step = Signal()
    product = multiply(m, on, register(m, on, chosen[slot]), factor)
    # Rounding: half of the last place, added after all but one of the shifts.
    halved = Signal(unit.width + 1, reset_less=True)
    m.d.sync += halved.eq(product.as_unsigned() >> b)
    gate = Signal(signed(unit.width), reset_less=True)
    m.d.sync += gate.eq((halved + 1) >> 1)
    arrived = delay(m, on, step, 1 + MULTIPLY + 2, reset=True)
    m.d.sync += step.eq(known)
    with m.If(known):
        m.d.sync += slot.eq(0)
    with m.If(arrived):
        m.d.sync += unit.o.valid.eq(1)
        m.d.sync += unit.gates.word_select(slot, unit.width - 1).eq(gate)
    with m.If(unit.o.valid & unit.o.ready):
        m.d.sync += unit.o.valid.eq(0)
        with m.If(slot != unit.k - 1):
            m.d.sync += [slot.eq(slot + 1), step.eq(1)]
    m.d.comb += [o.eq(gate) for o in split(unit.o.payload, unit.elements)]


def _search(m: Module, total: Signal, begin: Value, reciprocal: rom.Rom) -> tuple[Value, Signal]:
    """Leading bit of the total, which addresses the reciprocal: when that is known, and its b."""
    on = Const(1)
    bits = len(total)
    aligned = Signal(max(bits, INDEX_BITS), reset_less=True)
    b = Signal(range(bits + 2), reset_less=True)
    shifting = Signal()
    with m.If(begin):
        m.d.sync += [aligned.eq(total << (len(aligned) - bits)), b.eq(bits), shifting.eq(1)]
    with m.Elif(shifting):
        with m.If(aligned[-1]):
            m.d.sync += shifting.eq(0)
        with m.Else():
            m.d.sync += [aligned.eq(aligned << 1), b.eq(b - 1)]
    m.d.comb += reciprocal.addr.eq(aligned[-INDEX_BITS:])
    return delay(m, on, shifting & aligned[-1], rom.LATENCY, reset=True), b
