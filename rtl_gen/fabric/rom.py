"""Constant memory whose contents live in an image file beside the Verilog.

Contents stay out of the RTL: Yosys and Amaranth are slow with large initial blocks, and a chip
whose weights change keeps its Verilog byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from amaranth import ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

LATENCY = 2
"""Cycles from address to data: the block RAM's own register and one behind it (5.8 ns to out)."""

VERILOG = """
module rom #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1, parameter FILE = "")
  (input clk, input en, input [ABITS-1:0] addr, output reg [WIDTH-1:0] data);
  (* rom_block *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  reg [WIDTH-1:0] word;
  generate if (FILE != "") initial $readmemh(FILE, mem); endgenerate
  always @(posedge clk) if (en) begin
    word <= mem[addr];
    data <= word;
  end
endmodule
"""


def image(words: Iterable[int], width: int) -> str:
    """Hexadecimal text for ``$readmemh``: one two's-complement word of `width` bits a line."""
    digits, mask = (width + 3) // 4, (1 << width) - 1
    return "".join(f"{int(word) & mask:0{digits}x}\n" for word in words)


class Rom(wiring.Component):
    """Read-only memory of `depth` words of `width` bits, image file ``rom/<name>.hex``.

    Latency 2 cycles, throughput 1 word per cycle; both stages hold while `en` is low.
    """

    def __init__(self, name: str, depth: int, width: int) -> None:
        self.name = name
        self.depth = max(2, depth)
        self.width = width
        self.file = f"rom/{name}.hex"
        super().__init__(
            {
                "en": In(1, init=1),
                "addr": In(range(self.depth)),
                "data": Out(width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the instance."""
        m = Module()
        addr = Signal.like(self.addr)
        m.d.comb += addr.eq(self.addr)
        m.submodules.array = Instance(
            "rom",
            p_WIDTH=Const(self.width, 32),
            p_DEPTH=Const(self.depth, 32),
            p_ABITS=Const(len(addr), 32),
            p_FILE=self.file,
            i_clk=ClockSignal(),
            i_en=self.en,
            i_addr=addr,
            o_data=self.data,
        )
        return m
