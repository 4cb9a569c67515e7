// (a * b) >> 1 for two bits of b, the upper one negative if SIGNED, in carry cells alone.
//
// A half of a CCU2C adds where its LUT propagates and else hands on LUT(A, B, 0, 0): with u = A & B
// and v = C & D the LUT is u ^ v, and where that is 0 the carry is u = LUT(A, B, 0, 0). For v - u,
// the sum of v and ~u with a carry in, it is the complement.
module pair_sum #(parameter A = 8, parameter SIGNED = 0)
  (input signed [A-1:0] a, input [1:0] b, output [A:0] sum);
  localparam CELLS = (A + 2) / 2;
  localparam [15:0] INIT = SIGNED ? 16'h8777 : 16'h7888;
  wire [CELLS:0] carry;
  wire [2*CELLS+1:0] wide = {{(2 * CELLS + 2 - A){a[A-1]}}, a};
  wire [2*CELLS-1:0] total;
  assign carry[0] = SIGNED;
  assign sum = total[A:0];
  genvar k;
  generate
    for (k = 0; k < CELLS; k = k + 1) begin : bits
      CCU2C #(.INIT0(INIT), .INIT1(INIT), .INJECT1_0("NO"), .INJECT1_1("NO")) two (
        .CIN(carry[k]), .COUT(carry[k+1]),
        .A0(wide[2*k]), .B0(b[1]), .C0(wide[2*k+1]), .D0(b[0]), .S0(total[2*k]),
        .A1(wide[2*k+1]), .B1(b[1]), .C1(wide[2*k+2]), .D1(b[0]), .S1(total[2*k+1]));
    end
  endgenerate
endmodule

// acc + term, or other: the LUT is load ? other : acc ^ term. Where it is 0 the carry is
// LUT(acc, load, 0, 0) = acc & ~load: acc where it equals term, and nothing while other passes.
module add_or_load #(parameter WIDTH = 8)
  (input [WIDTH-1:0] acc, input [WIDTH-1:0] term, input load, input [WIDTH-1:0] other,
   output [WIDTH-1:0] sum);
  localparam CELLS = (WIDTH + 1) / 2;
  localparam [15:0] INIT = 16'hDE12;
  wire [CELLS:0] carry;
  wire [2*CELLS-1:0] a = acc;
  wire [2*CELLS-1:0] t = term;
  wire [2*CELLS-1:0] o = other;
  wire [2*CELLS-1:0] total;
  assign carry[0] = 1'b0;
  assign sum = total[WIDTH-1:0];
  genvar k;
  generate
    for (k = 0; k < CELLS; k = k + 1) begin : bits
      CCU2C #(.INIT0(INIT), .INIT1(INIT), .INJECT1_0("NO"), .INJECT1_1("NO")) two (
        .CIN(carry[k]), .COUT(carry[k+1]),
        .A0(a[2*k]), .B0(load), .C0(t[2*k]), .D0(o[2*k]), .S0(total[2*k]),
        .A1(a[2*k+1]), .B1(load), .C1(t[2*k+1]), .D1(o[2*k+1]), .S1(total[2*k+1]));
    end
  endgenerate
endmodule
