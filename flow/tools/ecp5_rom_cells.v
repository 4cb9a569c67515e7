// A small ROM in which sixteen words of a bit are the truth table of one LUT. `flow.contents` fills
// it in the routed design: other words change tables, and no cell or wire. Until then the table is
// one that no exchange of its inputs leaves as it is, so that an exchange can be seen.
module rom_in_logic
  #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1, parameter FILE = "")
  (input clk, input en, input [ABITS-1:0] addr, output reg [WIDTH-1:0] word);
  localparam PAIRS = (DEPTH + 31) / 32;
  localparam [15:0] EMPTY = 16'hE4A8;
  wire [ABITS+4:0] place = addr;
  genvar b, p;
  generate
    for (b = 0; b < WIDTH; b = b + 1) begin : bits
      wire [PAIRS-1:0] found;
      for (p = 0; p < PAIRS; p = p + 1) begin : pairs
        wire low, high;
        (* keep *) LUT4 #(.INIT(EMPTY)) table0 (
          .A(place[0]), .B(place[1]), .C(place[2]), .D(place[3]), .Z(low));
        if (32 * p + 16 < DEPTH) begin : both
          (* keep *) LUT4 #(.INIT(EMPTY)) table1 (
            .A(place[0]), .B(place[1]), .C(place[2]), .D(place[3]), .Z(high));
          PFUMX choose (.BLUT(low), .ALUT(high), .C0(place[4]), .Z(found[p]));
        end else begin : one
          assign found[p] = low;
        end
      end
      always @(posedge clk) if (en) word[b] <= found[place >> 5];
    end
  endgenerate
endmodule
