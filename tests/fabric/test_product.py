"""Lane multipliers from DSP blocks and from LUTs compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import Timer

from flow.simulate import CELLS
from flow.tools import yosys
from rtl_gen.fabric import product
from tests.harness import parameters, run_cocotb, seed

WRAPPER = """
module dut (input signed [{a}-1:0] a, input signed [{b}-1:0] b, output signed [{a}+{b}-1:0] p);
  product #(.A({a}), .B({b})) product (.a(a), .b(b), .p(p));
endmodule
"""


@pytest.mark.cocotb
@pytest.mark.parametrize("kind", ["dsp", "lut", "ecp5"])
@pytest.mark.parametrize(("a", "b"), [(8, 8), (17, 8), (8, 5), (9, 2), (4, 3), (12, 4)])
def test_product_is_exact(a: int, b: int, kind: str, tmp_path: Path) -> None:
    defines = {"dsp": "", "lut": "`define LUT_PRODUCTS 8\n"}
    defines["ecp5"] = defines["lut"] + "`define CARRY_CELLS\n"
    cells = CELLS.read_text() + yosys.CARRY_CELLS.read_text() if kind == "ecp5" else ""
    text = defines[kind] + product.VERILOG + WRAPPER.format(a=a, b=b) + cells
    run_cocotb(text, module=__name__, build_dir=tmp_path, parameters={"a": a, "b": b})


@cocotb.test()
async def edges_and_random_values(dut: Any) -> None:
    rng = np.random.default_rng(seed())
    sides = []
    for width in (parameters()["a"], parameters()["b"]):
        low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
        sides.append([low, high, 0, -1, *rng.integers(low, high + 1, 60).tolist()])
    for a in sides[0]:
        for b in sides[1][:20]:
            dut.a.value, dut.b.value = a, b
            await Timer(1, "ns")
            assert dut.p.value.to_signed() == a * b
