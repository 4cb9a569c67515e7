// A chip of the shape that the flow expects: a block RAM, a multiplier, a table, two units.
module rom (input clk, input [8:0] address, output reg [17:0] data);
  reg [17:0] memory [0:511];
  initial $readmemh("rom/weight.hex", memory);
  always @(posedge clk) data <= memory[address];
endmodule

module mac (input clk, input rst, input [15:0] x, input [17:0] weight, output reg [31:0] sum);
  reg signed [17:0] a, b;
  always @(posedge clk) begin
    a <= weight;
    b <= {{2{x[15]}}, x};
    sum <= rst ? 32'd0 : sum + a * b;
  end
endmodule

module chip (
    input clk, input rst,
    input [16:0] i__payload, input i__valid, output i__ready,
    output [16:0] o__payload, output o__valid, input o__ready,
    input start, input [31:0] seed, input [15:0] beta, input [15:0] limit,
    output reg busy, output [31:0] cycles, output [15:0] position,
    input [4:0] id_addr, output reg [7:0] id_data
);
  wire [17:0] weight;
  reg [15:0] count;
  rom rom (.clk(clk), .address(count[8:0]), .data(weight));
  mac mac (.clk(clk), .rst(rst), .x(i__payload[15:0] ^ seed[15:0]), .weight(weight), .sum(cycles));
  always @(posedge clk) begin
    busy <= !rst && (start || i__valid || (busy && count != limit));
    count <= rst ? 16'd0 : count + i__valid;
    id_data <= {3'd0, id_addr} ^ beta[7:0];
  end
  assign i__ready = o__ready;
  assign o__valid = i__valid;
  assign o__payload = {i__payload[16], cycles[15:0]};
  assign position = count;
endmodule
