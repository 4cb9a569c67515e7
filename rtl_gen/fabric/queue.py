"""Queue whose producer reserves a place before it starts what will fill it."""

from __future__ import annotations

from typing import Any

from amaranth import ClockSignal, Const, Instance, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.beat import beat

VERILOG = """
module queue_memory #(parameter WIDTH = 8, parameter DEPTH = 16, parameter ABITS = 4)
  (input clk, input write, input [ABITS-1:0] write_addr, input [WIDTH-1:0] write_data,
   input [ABITS-1:0] addr, output [WIDTH-1:0] data);
  reg [WIDTH-1:0] mem [0:DEPTH-1];
  always @(posedge clk) if (write) mem[write_addr] <= write_data;
  assign data = mem[addr];
endmodule
"""


class Queue(wiring.Component):
    """Places for beats that are on their way: a pipeline that ends here never stalls.

    Latency 1 cycle, throughput 1 transfer per cycle. A producer whose pipeline has n stages keeps
    its throughput if `depth` is more than n + 2.

    Parameters
    ----------
    width, elements : int
        Signed width of an element; elements of a beat.
    depth : int
        Places, a power of two. 16 are one row of the distributed memory of an FPGA.

    Members
    -------
    reserve : In(1)
        A beat will come; only while `free` is not 0.
    free : Out
        Places neither reserved nor taken.
    write, data : In
        The beat of the oldest reservation.
    o : Out stream of beats
    """

    def __init__(self, width: int, elements: int = 1, depth: int = 16) -> None:
        self.shape = beat(width, elements)
        self.width = width * elements
        self.depth = depth
        super().__init__(
            {
                "reserve": In(1),
                "free": Out(range(depth + 1), init=depth),
                "write": In(1),
                "data": In(self.shape),
                "o": Out(stream.Signature(self.shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the memory and its two pointers."""
        m = Module()
        first, behind = Signal(range(self.depth)), Signal(range(self.depth))
        level = Signal(range(self.depth + 1))
        leaves = self.o.valid & self.o.ready
        m.d.sync += [
            self.free.eq(self.free - self.reserve + leaves),
            level.eq(level + self.write - leaves),
            self.o.valid.eq((level + self.write - leaves) != 0),
        ]
        with m.If(self.write):
            m.d.sync += behind.eq(behind + 1)
        with m.If(leaves):
            m.d.sync += first.eq(first + 1)
        m.submodules.memory = Instance(
            "queue_memory",
            p_WIDTH=Const(self.width, 32),
            p_DEPTH=Const(self.depth, 32),
            p_ABITS=Const(len(first), 32),
            i_clk=ClockSignal(),
            i_write=self.write,
            i_write_addr=behind,
            i_write_data=Value.cast(self.data),
            i_addr=first,
            o_data=Value.cast(self.o.payload),
        )
        return m
