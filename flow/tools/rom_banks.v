// A large ROM on silicon: banks whose logic shares nothing, so that its wires stay short. One
// function of all address bits takes less area, and so many long wires that it cannot be routed.
(* rom_bank *)
module rom_bank
  #(parameter WIDTH = 8, parameter DEPTH = 2, parameter LOW = 1, parameter FIRST = 0,
    parameter FILE = "")
  (input [LOW-1:0] addr, output [WIDTH-1:0] word);
  reg [WIDTH-1:0] mem [0:DEPTH-1];
  generate if (FILE != "") initial $readmemh(FILE, mem); endgenerate
  wire [31:0] at = FIRST + addr;
  assign word = mem[at];
endmodule

module rom_in_block
  #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1, parameter FILE = "")
  (input clk, input en, input [ABITS-1:0] addr, output reg [WIDTH-1:0] word);
  localparam BANKED_BITS = 4096; // larger ones have banks
  localparam BANK_BITS = 1024; // at most as many in a bank
  localparam LOW = WIDTH < BANK_BITS / 2 ? $clog2(BANK_BITS / WIDTH + 1) - 1 : 1;
  localparam BANKS = (DEPTH + (1 << LOW) - 1) >> LOW;
  genvar k;
  generate
    if (WIDTH * DEPTH <= BANKED_BITS || BANKS == 1) begin : whole
      reg [WIDTH-1:0] mem [0:DEPTH-1];
      if (FILE != "") initial $readmemh(FILE, mem);
      always @(posedge clk) if (en) word <= mem[addr];
    end else begin : banked
      wire [WIDTH-1:0] words [0:BANKS-1];
      for (k = 0; k < BANKS; k = k + 1) begin : bank
        rom_bank #(.WIDTH(WIDTH), .DEPTH(DEPTH), .LOW(LOW), .FIRST(k << LOW), .FILE(FILE))
          part (.addr(addr[LOW-1:0]), .word(words[k]));
      end
      always @(posedge clk) if (en) word <= words[addr[ABITS-1:LOW]];
    end
  endgenerate
endmodule
