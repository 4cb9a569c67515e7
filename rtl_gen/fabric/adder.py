"""Adder of two, a module of its own, and balanced sums of several terms.

Synthesis would merge a tree's adders into rows of carry-save adders and one adder at the end: two
LUTs a bit for every term beyond the second, where a carry chain takes one.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Const, Instance, Module, Signal, Value, signed

VERILOG = """
module adder #(parameter WIDTH = 8)
  (input [WIDTH-1:0] a, input [WIDTH-1:0] b, output [WIDTH-1:0] sum);
  assign sum = a + b;
endmodule
"""


def add_pairs(m: Module, terms: Sequence[Value]) -> list[Value]:
    """Sums of neighbours, exact and signed; the last of an odd number of terms stays."""
    sums: list[Value] = []
    for a, b in zip(terms[::2], terms[1::2], strict=False):
        total = Signal(signed(len(a + b)))
        wide = [Signal.like(total, name="a"), Signal.like(total, name="b")]
        m.d.comb += [wide[0].eq(a), wide[1].eq(b)]
        m.submodules += Instance(
            "adder", p_WIDTH=Const(len(total), 32), i_a=wide[0], i_b=wide[1], o_sum=total
        )
        sums.append(total)
    return [*sums, *terms[len(terms) & ~1 :]]


def tree(m: Module, terms: Sequence[Value]) -> Value:
    """Balanced sum without registers."""
    values = list(terms)
    while len(values) > 1:
        values = add_pairs(m, values)
    return values[0]
