"""The adapter port on a Wishbone bus, for harnesses that have one."""

from __future__ import annotations

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class WishboneAdapterPort(wiring.Component):
    """Classic Wishbone (B4, registered feedback off) slave in front of a chip's adapter port.

    Every transfer ends one cycle after it began; a write reaches the port exactly once. Register n
    is at byte address ``4 n``: connect ``adr`` to bits 4 to 2 of a byte-addressed bus. Byte selects
    are not looked at: registers are whole words.

    Members
    -------
    cyc, stb, we, adr, dat_w, dat_r, ack
        Wishbone.
    addr, write, write_data, read_data
        To the ports ``adapter_*`` of the chip.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "cyc": In(1),
                "stb": In(1),
                "we": In(1),
                "adr": In(3),
                "dat_w": In(32),
                "dat_r": Out(32),
                "ack": Out(1),
                "addr": Out(3),
                "write": Out(1),
                "write_data": Out(32),
                "read_data": In(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Answer in the cycle after the request."""
        m = Module()
        request = self.cyc & self.stb & ~self.ack
        m.d.comb += [
            self.addr.eq(self.adr),
            self.write_data.eq(self.dat_w),
            self.write.eq(request & self.we),
        ]
        m.d.sync += self.ack.eq(request)
        with m.If(request):
            m.d.sync += self.dat_r.eq(self.read_data)
        return m
