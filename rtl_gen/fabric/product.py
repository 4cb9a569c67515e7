"""Multiplier of one lane, a module of its own so that the target decides what makes it.

Lanes are many: for a device with few DSP blocks, synthesis defines ``LUT_PRODUCTS`` as a number of
bits, and products with an operand of at most so many become a tree of adders on carry chains:
136 LUT4 for 8 × 8 bits, where the `booth` pass of Yosys 0.70 takes 186. The module ``pair_sum`` is
a target's to replace (macro ``CARRY_CELLS``): carry cells with four inputs take a bit of both rows
and of the digit at once.
"""

from __future__ import annotations

from amaranth import Const, Instance, Signal, Value

VERILOG = """
`ifdef LUT_PRODUCTS
// a times the digit b: the halves of b apart, and one adder as wide as what they overlap.
module rows #(parameter A = 8, parameter B = 8, parameter SIGNED = 0)
  (input signed [A-1:0] a, input [B-1:0] b, output signed [A+B-1:0] p);
  localparam LOW = B / 2;
  generate
    if (B == 1) begin : leaf
      wire signed [A:0] wide = a;
      assign p = !b ? 0 : SIGNED ? -wide : wide;
    end else if (B == 2) begin : pair
      wire [A:0] sum;
      pair_sum #(.A(A), .SIGNED(SIGNED)) pair_sum (.a(a), .b(b), .sum(sum));
      assign p = {sum, a[0] & b[0]};
    end else begin : node
      wire signed [A+LOW-1:0] low;
      wire signed [A+B-LOW-1:0] high;
      rows #(.A(A), .B(LOW), .SIGNED(0)) lower (.a(a), .b(b[LOW-1:0]), .p(low));
      rows #(.A(A), .B(B-LOW), .SIGNED(SIGNED)) upper (.a(a), .b(b[B-1:LOW]), .p(high));
      wire signed [A-1:0] carried = low[A+LOW-1:LOW];
      wire signed [A+B-LOW-1:0] sum = high + carried;
      assign p = {sum, low[LOW-1:0]};
    end
  endgenerate
endmodule

`ifndef CARRY_CELLS
// (a * b) >> 1 for two bits of b, the upper one negative if SIGNED. A target may bring its own.
module pair_sum #(parameter A = 8, parameter SIGNED = 0)
  (input signed [A-1:0] a, input [1:0] b, output [A:0] sum);
  wire signed [A:0] low = b[0] ? a : 0;
  wire signed [A:0] high = b[1] ? a : 0;
  assign sum = SIGNED ? (low >>> 1) - high : (low >>> 1) + high;
endmodule
`endif
`endif

module product #(parameter A = 8, parameter B = 8)
  (input signed [A-1:0] a, input signed [B-1:0] b, output signed [A+B-1:0] p);
`ifdef LUT_PRODUCTS
  generate
    if (B <= A && B <= `LUT_PRODUCTS) begin : narrow
      rows #(.A(A), .B(B), .SIGNED(1)) rows (.a(a), .b(b), .p(p));
    end else if (A < B && A <= `LUT_PRODUCTS) begin : narrow
      rows #(.A(B), .B(A), .SIGNED(1)) rows (.a(b), .b(a), .p(p));
    end else begin : wide
      assign p = a * b;
    end
  endgenerate
`else
  assign p = a * b;
`endif
endmodule
"""


def product(a: Value, b: Value, p: Signal) -> Instance:
    """Instance that makes `p` the signed product of `a` and `b`, without a register."""
    return Instance("product", p_A=Const(len(a), 32), p_B=Const(len(b), 32), i_a=a, i_b=b, o_p=p)
