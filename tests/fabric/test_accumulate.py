"""The accumulator's adder, generic and of ECP5 carry cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import Timer

from flow.simulate import CELLS
from flow.tools import yosys
from rtl_gen.fabric import accumulate
from tests.harness import parameters, run_cocotb, seed

WRAPPER = """
module dut (input [{w}-1:0] acc, input [{w}-1:0] term, input load, input [{w}-1:0] other,
            output [{w}-1:0] sum);
  add_or_load #(.WIDTH({w})) part (.acc(acc), .term(term), .load(load), .other(other), .sum(sum));
endmodule
"""


@pytest.mark.cocotb
@pytest.mark.parametrize("kind", ["generic", "ecp5"])
@pytest.mark.parametrize("width", [1, 8, 21])
def test_it_adds_or_loads(width: int, kind: str, tmp_path: Path) -> None:
    cells = CELLS.read_text() + yosys.CARRY_CELLS.read_text() if kind == "ecp5" else ""
    define = "`define CARRY_CELLS\n" if kind == "ecp5" else ""
    text = define + accumulate.VERILOG + WRAPPER.format(w=width) + cells
    run_cocotb(text, module=__name__, build_dir=tmp_path, parameters={"width": width})


@cocotb.test()
async def edges_and_random_values(dut: Any) -> None:
    rng = np.random.default_rng(seed())
    top = (1 << parameters()["width"]) - 1
    edges = [0, 1, top >> 1, top]
    values = [*((a, t, o) for a in edges for t in edges for o in edges)]
    values += rng.integers(0, top + 1, (60, 3)).tolist()
    for acc, term, other in values:
        for load in (0, 1):
            dut.acc.value, dut.term.value, dut.other.value = acc, term, other
            dut.load.value = load
            await Timer(1, "ns")
            assert int(dut.sum.value) == (other if load else (acc + term) & top)
