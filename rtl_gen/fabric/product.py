"""Multiplier of one lane, a module of its own so that the target decides what makes it.

Lanes are many: a device with few DSP blocks builds them from LUTs. Synthesis finds them by the
attribute ``lane_product``.
"""

from __future__ import annotations

from amaranth import Const, Instance, Signal, Value

VERILOG = """
(* lane_product *)
module product #(parameter A = 8, parameter B = 8)
  (input signed [A-1:0] a, input signed [B-1:0] b, output signed [A+B-1:0] p);
  assign p = a * b;
endmodule
"""


def product(a: Value, b: Value, p: Signal) -> Instance:
    """Instance that makes `p` the signed product of `a` and `b`, without a register."""
    return Instance("product", p_A=Const(len(a), 32), p_B=Const(len(b), 32), i_a=a, i_b=b, o_p=p)
