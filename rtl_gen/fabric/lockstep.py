"""Copies of a one-element block side by side, moving together on beats of several elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.beat import beat, split


class Lockstep(wiring.Component):
    """The ports of one copy, its streams as wide as all copies.

    Latency and throughput as of one copy: all see the same `valid` and `ready`.

    Parameters
    ----------
    copies : sequence of Component
        Equal blocks with input streams `operands` and an output stream ``o``.
    operands : sequence of str
    width : int
        Signed width of an element.
    """

    def __init__(self, copies: Sequence[Any], operands: Sequence[str], width: int) -> None:
        self.copies = list(copies)
        self.operands = tuple(operands)
        wide = stream.Signature(beat(width, len(copies)))
        streams = {*operands, "o"}
        members = copies[0].signature.members
        self.config = [name for name in members if name not in streams]
        ports: dict[str, Any] = {name: In(wide) for name in operands}
        super().__init__({**ports, "o": Out(wide), **{name: members[name] for name in self.config}})

    def elaborate(self, platform: Any) -> Module:
        """Connect the copies."""
        m = Module()
        for k, copy in enumerate(self.copies):
            m.submodules[f"copy{k}"] = copy
            for name in self.operands:
                source, entry = getattr(self, name), getattr(copy, name)
                m.d.comb += [
                    entry.payload.eq(split(source.payload, len(self.copies))[k]),
                    entry.valid.eq(source.valid),
                ]
            m.d.comb += [
                split(self.o.payload, len(self.copies))[k].eq(copy.o.payload),
                copy.o.ready.eq(self.o.ready),
                *(getattr(copy, name).eq(getattr(self, name)) for name in self.config),
            ]
        m.d.comb += self.o.valid.eq(self.copies[0].o.valid)
        for name in self.operands:
            m.d.comb += getattr(self, name).ready.eq(getattr(self.copies[0], name).ready)
        return m
