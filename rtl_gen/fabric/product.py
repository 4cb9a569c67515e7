"""Multiplier of one lane, a module of its own so that the target decides what makes it.

Lanes are many: for a device with few DSP blocks, synthesis defines ``LUT_PRODUCTS`` and gets a tree
of adders on carry chains (about 140 LUT4 for 8 × 8 bits; Yosys' own `booth` takes 190).
"""

from __future__ import annotations

from amaranth import Const, Instance, Signal, Value

VERILOG = """
module product #(parameter A = 8, parameter B = 8)
  (input signed [A-1:0] a, input signed [B-1:0] b, output signed [A+B-1:0] p);
`ifdef LUT_PRODUCTS
  // Node n of the heap adds what its children make of the low and the high half of its bits of b.
  localparam LEVELS = $clog2(B), LEAVES = 1 << LEVELS;
  wire signed [A+B-1:0] sum [0:2*LEAVES-2];
  genvar n;
  generate
    for (n = 0; n < LEAVES; n = n + 1) begin : leaf
      if (n >= B) assign sum[LEAVES-1+n] = 0;
      else if (n == B-1) assign sum[LEAVES-1+n] = b[n] ? -a : 0;
      else assign sum[LEAVES-1+n] = b[n] ? a : 0;
    end
    for (n = 0; n < LEAVES-1; n = n + 1) begin : node
      localparam SHIFT = LEAVES >> $clog2(n + 2);
      assign sum[n] = sum[2*n+1] + (sum[2*n+2] <<< SHIFT);
    end
  endgenerate
  assign p = sum[0];
`else
  assign p = a * b;
`endif
endmodule
"""


def product(a: Value, b: Value, p: Signal) -> Instance:
    """Instance that makes `p` the signed product of `a` and `b`, without a register."""
    return Instance("product", p_A=Const(len(a), 32), p_B=Const(len(b), 32), i_a=a, i_b=b, o_p=p)
