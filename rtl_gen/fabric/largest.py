"""The largest entries of a sequence, kept sorted."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Largest(wiring.Component):
    """The `places` entries with the largest keys; of equal keys the earlier ones.

    Throughput 1 entry per cycle. An entry goes ahead of every place with a smaller key, the places
    behind it move on and the last one drops out.

    Parameters
    ----------
    places : int
        Entries kept.
    width : int
        Signed width of a key.
    rest_width : int
        Bits that go with a key.

    Members
    -------
    clear : In(1)
        Forget all entries.
    insert, key, rest : In
        An entry, taken if its key is among the largest.
    pop : In(1)
        Move every place on by one, so that the last place shows the entries from the smallest key
        up; not together with `insert`.
    last_key, last_rest : Out
        The last place. The key is one bit wider, so that an empty place has one below all others.
    held : Out(1)
        The last place is not empty.
    """

    def __init__(self, places: int, width: int, rest_width: int) -> None:
        self.places, self.width, self.rest_width = places, width, rest_width
        key = signed(width)
        super().__init__(
            {
                "clear": In(1),
                "insert": In(1),
                "key": In(key),
                "rest": In(rest_width),
                "pop": In(1),
                "held": Out(1),
                "last_key": Out(signed(width + 1)),
                "last_rest": Out(rest_width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the places, the largest key first."""
        m = Module()
        empty = -(1 << self.width)
        # One LUT4 a bit: what stands before the place or the entry, chosen by `pop` and one
        # comparison. Empty keys need no test of their own, and what `pop` moves in no one reads.
        entry = Cat(self.key, self.key[-1], self.rest)
        before: Value = entry
        ahead_of_before: Value = Const(0)
        for place in range(self.places):
            key = Signal(signed(self.width + 1), name=f"key{place}", init=empty)
            rest = Signal(self.rest_width, name=f"rest{place}", reset_less=True)
            # The keys are sorted, so what goes ahead of a place goes ahead of all behind it.
            ahead = Signal(name=f"ahead{place}")
            m.d.comb += ahead.eq(self.key > key)
            with m.If(self.pop | (self.insert & ahead)):
                m.d.sync += Cat(key, rest).eq(Mux(self.pop | ahead_of_before, before, entry))
            with m.If(self.clear):
                m.d.sync += key.eq(empty)
            before, ahead_of_before = Cat(key, rest), ahead
        m.d.comb += [
            Cat(self.last_key, self.last_rest).eq(before),
            self.held.eq(self.last_key[-1] == self.last_key[-2]),
        ]
        return m
