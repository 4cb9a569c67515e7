"""`rtl_gen.fabric.skid`: a stream goes through unchanged, and `ready` comes from a register."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cocotb
import pytest
from cocotb.triggers import RisingEdge, Timer

from flow.testbench.stream import start
from rtl_gen.fabric.skid import Skid
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb


@pytest.mark.cocotb
@pytest.mark.parametrize(("width", "elements"), [(5, 1), (9, 4)])
def test_stream_passes_unchanged(width: int, elements: int, tmp_path: Path) -> None:
    run_cocotb(
        Skid(width, elements),
        module=__name__,
        build_dir=tmp_path,
        parameters={"width": width, "elements": elements},
    )


@cocotb.test()
@paced
async def order_is_kept_and_nothing_is_lost(dut: Any, idle: str, stall: str) -> None:
    width, elements = parameters().values()
    bench = Bench(dut, ["i"], idle, stall, elements=elements)
    await bench.reset()
    sent = numbers(bench.rng, IntType(width), 200 * elements)
    await bench.exchange(sent, f"{elements} elements of {width} bits", i=sent)


@cocotb.test()
async def latency_1_and_one_transfer_per_cycle(dut: Any) -> None:
    elements = parameters()["elements"]
    bench = Bench(dut, ["i"], "steady", "steady", elements=elements)
    await bench.reset()
    assert await bench.cycles(1, i=[0] * elements) == 1
    assert await bench.cycles(20, i=[0] * (20 * elements)) == 1 + 19


@cocotb.test()
async def ready_and_valid_follow_no_input_within_a_cycle(dut: Any) -> None:
    dut.i__valid.value, dut.i__payload.value, dut.o__ready.value = 0, 0, 0
    await start(dut)
    # Valid without ready fills the output, then the spare place.
    for cycle in range(5):
        await RisingEdge(dut.clk)
        seen = set()
        for i_valid, o_ready in itertools.product((0, 1), repeat=2):
            dut.i__valid.value, dut.o__ready.value = i_valid, o_ready
            await Timer(1, "ns")
            seen.add((int(dut.i__ready.value), int(dut.o__valid.value)))
        full = cycle >= 2
        assert seen == {(int(not full), int(cycle >= 1))}, f"cycle {cycle}: {seen}"
        dut.o__ready.value = 0
