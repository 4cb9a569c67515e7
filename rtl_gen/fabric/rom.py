"""Constant memory whose contents live in an image file beside the Verilog.

Contents stay out of the RTL: Yosys and Amaranth are slow with large initial blocks, and a chip
whose weights change keeps its Verilog byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from amaranth import ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

LEAST_WORDS = 4
"""Of any ROM: no two words mask a column that differs (`flow.contents`)."""

LATENCY = 2
"""Cycles from address to data: the block RAM's own register and one behind it (5.8 ns to out)."""

VERILOG = """
`ifndef LOGIC_ROM_BITS
`define LOGIC_ROM_BITS 0
`endif
module rom_in_block
  #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1, parameter FILE = "")
  (input clk, input en, input [ABITS-1:0] addr, output reg [WIDTH-1:0] word);
  (* rom_block *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  generate if (FILE != "") initial $readmemh(FILE, mem); endgenerate
  always @(posedge clk) if (en) word <= mem[addr];
endmodule

module rom_in_logic
  #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1, parameter FILE = "")
  (input clk, input en, input [ABITS-1:0] addr, output reg [WIDTH-1:0] word);
  (* rom_style = "logic" *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  generate if (FILE != "") initial $readmemh(FILE, mem); endgenerate
  always @(posedge clk) if (en) word <= mem[addr];
endmodule

module rom #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1, parameter FILE = "")
  (input clk, input en, input [ABITS-1:0] addr, output reg [WIDTH-1:0] data);
  wire [WIDTH-1:0] word;
  generate
    if (WIDTH * DEPTH <= `LOGIC_ROM_BITS)
      rom_in_logic #(.WIDTH(WIDTH), .DEPTH(DEPTH), .ABITS(ABITS), .FILE(FILE))
        memory (.clk(clk), .en(en), .addr(addr), .word(word));
    else
      rom_in_block #(.WIDTH(WIDTH), .DEPTH(DEPTH), .ABITS(ABITS), .FILE(FILE))
        memory (.clk(clk), .en(en), .addr(addr), .word(word));
  endgenerate
  always @(posedge clk) if (en) data <= word;
endmodule

module rom_pair
  #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1, parameter FILE = "")
  (input clk, input en0, input [ABITS-1:0] addr0, output reg [WIDTH-1:0] data0,
   input en1, input [ABITS-1:0] addr1, output reg [WIDTH-1:0] data1);
  (* rom_block *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  reg [WIDTH-1:0] word0, word1;
  generate if (FILE != "") initial $readmemh(FILE, mem); endgenerate
  always @(posedge clk) if (en0) begin
    word0 <= mem[addr0];
    data0 <= word0;
  end
  always @(posedge clk) if (en1) begin
    word1 <= mem[addr1];
    data1 <= word1;
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
        self.depth = max(LEAST_WORDS, depth)
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


class RomPair(wiring.Component):
    """One memory with two independent read ports, `first` and `second`, each like a `Rom`."""

    def __init__(self, name: str, depth: int, width: int) -> None:
        self.name = name
        self.depth = max(LEAST_WORDS, depth)
        self.width = width
        self.file = f"rom/{name}.hex"
        port = wiring.Signature(
            {"en": In(1, init=1), "addr": In(range(self.depth)), "data": Out(width)}
        )
        super().__init__({"first": Out(port), "second": Out(port)})

    def elaborate(self, platform: Any) -> Module:
        """Build the instance."""
        m = Module()
        ports: dict[str, Any] = {}
        for number, port in enumerate((self.first, self.second)):
            addr = Signal.like(port.addr, name=f"addr{number}")
            m.d.comb += addr.eq(port.addr)
            ports |= {f"i_en{number}": port.en, f"i_addr{number}": addr}
            ports[f"o_data{number}"] = port.data
        m.submodules.array = Instance(
            "rom_pair",
            p_WIDTH=Const(self.width, 32),
            p_DEPTH=Const(self.depth, 32),
            p_ABITS=Const((self.depth - 1).bit_length(), 32),
            p_FILE=self.file,
            i_clk=ClockSignal(),
            **ports,
        )
        return m


def copies(name: str, depth: int, width: int, count: int) -> list[Rom | RomPair]:
    """Memories for `count` readers of one table; two share a block RAM, which has two ports."""
    pairs = [RomPair(name, depth, width) for _ in range(count // 2)]
    return [*pairs, *[Rom(name, depth, width) for _ in range(count % 2)]]


def readers(memories: Sequence[Rom | RomPair]) -> list[Any]:
    """Read ports (`en`, `addr`, `data`) of `copies`."""
    ports: list[Any] = []
    for memory in memories:
        ports += [memory.first, memory.second] if isinstance(memory, RomPair) else [memory]
    return ports


def inside(component: Any) -> list[Rom | RomPair]:
    """ROMs among the parts of a component and of their parts."""
    if isinstance(component, Rom | RomPair):
        return [component]
    found: list[Rom | RomPair] = []
    for part in vars(component).values():
        for item in part if isinstance(part, list) else [part]:
            if isinstance(item, wiring.Component):
                found += inside(item)
    return found
