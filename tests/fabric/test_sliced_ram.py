"""`rtl_gen.fabric.sliced_ram`: banks that fill blocks, and words written slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge, Timer

from flow.testbench.stream import start
from rtl_gen.fabric.sliced_ram import DEEPEST, STEP, SlicedRam, bank_depths
from tests.harness import parameters, run_cocotb, seed


@pytest.mark.parametrize(
    ("depth", "banks"),
    [(2, [2]), (512, [512]), (513, [513]), (983, [983]), (1500, [1024, 476]), (2048, [2048]),
     (2560, [2048, 512]), (3000, [2048, 952]), (5000, [2048, 2048, 904])],
)  # fmt: skip
def test_banks_are_as_deep_as_blocks(depth: int, banks: list[int]) -> None:
    assert bank_depths(depth) == banks
    start = 0
    for bank in bank_depths(depth):
        assert bank <= DEEPEST
        assert start % (1 << (bank - 1).bit_length()) == 0
        start += bank
    assert bank_depths(STEP * 5) == [2048, 512]


@pytest.mark.cocotb
@pytest.mark.parametrize(("depth", "width", "slices"), [(2, 3, 1), (700, 5, 3), (2600, 4, 2)])
def test_what_was_written_is_read(depth: int, width: int, slices: int, tmp_path: Path) -> None:
    run_cocotb(
        SlicedRam(depth, width, slices),
        module=__name__,
        build_dir=tmp_path,
        parameters={"depth": depth, "width": width, "slices": slices},
    )


@cocotb.test()
async def slices_and_banks_make_words(dut: Any) -> None:
    depth, width, slices = parameters().values()
    rng = np.random.default_rng(seed())
    edges = {0, 1, 511, 512, 699, 2047, 2048, 2559, 2560, depth - 1}
    addresses = sorted(a for a in edges | set(rng.integers(0, depth, 20).tolist()) if a < depth)
    content = {a: rng.integers(0, 1 << width, slices).tolist() for a in addresses}
    dut.write.value = 0
    await start(dut)
    for address, parts in content.items():
        for place in rng.permutation(slices).tolist():
            dut.write.value, dut.write_addr.value = 1 << place, address
            dut.write_data.value = parts[place]
            await RisingEdge(dut.clk)
            await Timer(1, "ns")
    dut.write.value, dut.write_data.value = 0, (1 << width) - 1
    for address in [*addresses, *reversed(addresses)]:
        dut.addr.value = address
        await RisingEdge(dut.clk)
        await Timer(1, "ns")
        word = int(dut.data.value)
        assert [word >> width * k & (1 << width) - 1 for k in range(slices)] == content[address]
