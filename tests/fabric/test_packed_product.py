"""`rtl_gen.fabric.packed_product`: two products of one multiplier, all of them."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest
from amaranth import Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fabric.packed_product import fits, packed_product
from rtl_gen.verilog import convert
from tests.harness import require_tool


class Pair(wiring.Component):
    """Both products of one element."""

    def __init__(self, x_width: int, width: int) -> None:
        super().__init__(
            {
                "x": In(signed(x_width)),
                "a": In(signed(width)),
                "b": In(signed(width)),
                "p": Out(signed(x_width + width)),
                "q": Out(signed(x_width + width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        p, q = packed_product(m, Const(1), self.x, self.a, self.b, "both")
        m.d.comb += [self.p.eq(p), self.q.eq(q)]
        return m


BENCH = """
module bench;
  reg clk = 0, rst = 0;
  reg signed [{x}:0] x; reg signed [{w}:0] a, b;
  wire signed [{p}:0] p, q;
  dut dut(.clk(clk), .rst(rst), .x(x[{x}-1:0]), .a(a[{w}-1:0]), .b(b[{w}-1:0]), .p(p), .q(q));
  integer wrong = 0, tried = 0;
  initial begin
    for (x = -(1 << {x}-1); x < (1 << {x}-1); x = x + 1)
      for (a = -(1 << {w}-1); a < (1 << {w}-1); a = a + 1)
        for (b = -(1 << {w}-1); b < (1 << {w}-1); b = b + 1) begin
          #1 clk = 1; #1 clk = 0;
          tried = tried + 1;
          if (p != x * a || q != x * b) wrong = wrong + 1;
        end
    $display("%0d of %0d wrong", wrong, tried);
    $finish;
  end
endmodule
"""


@pytest.mark.parametrize(("x_width", "width"), [(8, 4), (6, 5), (3, 2)])
@pytest.mark.parametrize("define", ["", "LUT_PRODUCTS"])
def test_every_pair_of_products_is_exact(
    x_width: int, width: int, define: str, tmp_path: Path
) -> None:
    require_tool("iverilog", "install the Debian package iverilog")
    text = convert(Pair(x_width, width), "dut")
    text += BENCH.format(x=x_width, w=width, p=x_width + width - 1)
    (tmp_path / "bench.v").write_text(text)
    command = ["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v"]
    if define:
        command.insert(1, f"-D{define}")
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "bench.vvp"], cwd=tmp_path, check=True, capture_output=True)
    total = 1 << x_width + 2 * width
    assert done.stdout.decode().strip() == f"0 of {total} wrong"


def test_what_fits_is_what_the_operand_holds() -> None:
    for x_width, width in itertools.product(range(2, 19), range(2, 9)):
        field = x_width + width
        low = -(1 << width - 1)
        # Both most negative: the largest magnitude the operand can have.
        operand = low + (low << field)
        holds = -(1 << 17) <= operand < 1 << 17
        assert fits(x_width, width) <= holds


def test_int8_factors_do_not_fit() -> None:
    with pytest.raises(ValueError, match="25 bits"):
        packed_product(
            Module(), Const(1), Signal(signed(8)), Signal(signed(8)), Signal(signed(8)), "p"
        )
