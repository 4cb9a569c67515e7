"""Adder of an accumulator that can also take another value, a module of its own.

A register that accumulates and is loaded, or passes its neighbour's value on, needs a choice behind
its adder: a LUT for every bit. The module ``add_or_load`` is a target's to replace (macro
``CARRY_CELLS``): carry cells with four inputs choose in the LUT that adds.
"""

from __future__ import annotations

from amaranth import Const, Instance, Signal, Value

VERILOG = """
`ifndef CARRY_CELLS
// acc + term, or other.
module add_or_load #(parameter WIDTH = 8)
  (input [WIDTH-1:0] acc, input [WIDTH-1:0] term, input load, input [WIDTH-1:0] other,
   output [WIDTH-1:0] sum);
  assign sum = load ? other : acc + term;
endmodule
`endif
"""


def add_or_load(acc: Value, term: Value, load: Value, other: Value, total: Signal) -> Instance:
    """Instance that makes `total` ``acc + term``, or `other` while `load` is high; all as wide."""
    return Instance(
        "add_or_load",
        p_WIDTH=Const(len(total), 32),
        i_acc=acc,
        i_term=term,
        i_load=load,
        i_other=other,
        o_sum=total,
    )
