"""The adapter port behind Wishbone: every write once, every read the register's value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import FallingEdge, RisingEdge

from flow import adapter_driver
from flow.testbench.stream import start
from rtl_gen.fabric.adapter_port import ADDRESS, AdapterPort
from rtl_gen.fabric.rom import image
from rtl_gen.fabric.wishbone import WishboneAdapterPort
from tests.fabric.test_adapter_port import BASE, GEOMETRY, MASK, Model
from tests.harness import run_cocotb, seed


class Slave(wiring.Component):
    """Bus and port together."""

    def __init__(self) -> None:
        super().__init__(
            {
                "cyc": In(1), "stb": In(1), "we": In(1), "adr": In(3), "dat_w": In(32),
                "dat_r": Out(32), "ack": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.bus = bus = WishboneAdapterPort()
        m.submodules.port = port = AdapterPort(GEOMETRY)
        for name in ("cyc", "stb", "we", "adr", "dat_w"):
            m.d.comb += getattr(bus, name).eq(getattr(self, name))
        m.d.comb += [
            self.dat_r.eq(bus.dat_r), self.ack.eq(bus.ack), port.addr.eq(bus.addr),
            port.write.eq(bus.write), port.write_data.eq(bus.write_data),
            bus.read_data.eq(port.read_data), port.boundary.eq(1),
        ]  # fmt: skip
        return m


def test_transfers_over_the_bus(tmp_path: Path) -> None:
    run_cocotb(
        Slave(), module=__name__, build_dir=tmp_path, testcase="transfers",
        files={"rom/adapter_base.hex": image(BASE, 32)},
    )  # fmt: skip


async def transfer(dut: Any, rng: Any, address: int, value: int | None) -> int:
    for _ in range(int(rng.integers(3))):
        await FallingEdge(dut.clk)
    dut.cyc.value = dut.stb.value = 1
    dut.we.value, dut.adr.value, dut.dat_w.value = int(value is not None), address, value or 0
    for _ in range(4):
        await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        if int(dut.ack.value):
            break
    else:
        raise AssertionError("no answer")
    found = int(dut.dat_r.value)
    dut.cyc.value = dut.stb.value = 0
    await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    return found


@cocotb.test()
async def transfers(dut: Any) -> None:
    rng = np.random.default_rng(seed())
    dut.cyc.value = dut.stb.value = 0
    await start(dut)
    model = Model(GEOMETRY)
    words = [int(w) for w in rng.integers(0, 1 << 32, GEOMETRY.host_words)]
    commands = [(ADDRESS["OPEN"], 2), *((ADDRESS["IDENTITY"], w) for w in BASE)]
    commands += [(ADDRESS["DATA"], w) for w in words]
    commands += [(ADDRESS["COMMIT"], sum(words) & MASK), (ADDRESS["SELECT"], 2)]
    for address, value in commands:
        await transfer(dut, rng, address, value)
        model.write(address, value)
        model.boundary()
        for name in ("STATUS", "VALID", "GEOMETRY"):
            found = await transfer(dut, rng, ADDRESS[name], None)
            assert found == model.read(ADDRESS[name]), (name, address)
    assert model.active == 2
    assert adapter_driver.MASK == MASK
