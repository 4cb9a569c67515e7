"""Memory written by the datapath: one write port, one read port, no initial contents."""

from __future__ import annotations

from typing import Any

from amaranth import ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

VERILOG = """
module ram #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1)
  (input clk, input write, input [ABITS-1:0] write_addr, input [WIDTH-1:0] write_data,
   input en, input [ABITS-1:0] addr, output reg [WIDTH-1:0] data);
  (* no_rw_check *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  always @(posedge clk) begin
    if (write) mem[write_addr] <= write_data;
    if (en) data <= mem[addr];
  end
endmodule
"""


class Ram(wiring.Component):
    """Simple dual-port memory of `depth` words of `width` bits.

    Latency 1 cycle, throughput 1 read and 1 write per cycle. What a read of the word being written
    returns is left to synthesis, which needs no logic around the memory then; no block does it.
    """

    def __init__(self, depth: int, width: int) -> None:
        self.depth = max(2, depth)
        self.width = width
        super().__init__(
            {
                "write": In(1),
                "write_addr": In(range(self.depth)),
                "write_data": In(width),
                "en": In(1, init=1),
                "addr": In(range(self.depth)),
                "data": Out(width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the instance."""
        m = Module()
        ports = {f"i_{n}": Signal.like(getattr(self, n)) for n in ("write_addr", "addr")}
        m.d.comb += [ports[f"i_{n}"].eq(getattr(self, n)) for n in ("write_addr", "addr")]
        m.submodules.array = Instance(
            "ram",
            p_WIDTH=Const(self.width, 32),
            p_DEPTH=Const(self.depth, 32),
            p_ABITS=Const(len(self.addr), 32),
            i_clk=ClockSignal(),
            i_write=self.write,
            i_write_data=self.write_data,
            i_en=self.en,
            o_data=self.data,
            **ports,
        )
        return m
