"""`flow.testbench.stream` and `tests.harness` on a small buffer, good and broken."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from flow.testbench.stream import StreamSink, StreamSource, bursts, pauses, start
from tests.harness import parameters, run_cocotb, seed

WIDTH = 12


class Register(wiring.Component):
    """One-place buffer; `fault` breaks a stream rule on purpose."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        super().__init__(
            {"i": In(stream.Signature(WIDTH)), "o": Out(stream.Signature(WIDTH))},
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(3)
        m.d.sync += count.eq(count + 1)
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            m.d.sync += self.o.payload.eq(self.i.payload)
        with m.If((count == 7) & self.o.valid & ~self.o.ready):
            if self.fault == "payload":
                m.d.sync += self.o.payload.eq(self.o.payload + 1)
            if self.fault == "valid":
                m.d.sync += self.o.valid.eq(0)
        if self.fault == "value":
            with m.If(self.i.ready & (self.i.payload == 0x123)):
                m.d.sync += self.o.payload.eq(0x122)
        return m


@cocotb.test()
async def passes_everything_on(dut: Any) -> None:
    rng = np.random.default_rng(seed())
    idle, stall = parameters()["idle"], parameters()["stall"]
    low, high = -(1 << (WIDTH - 1)), (1 << (WIDTH - 1)) - 1
    data = [low, high, 0, -1, 0x123, *rng.integers(low, high + 1, 300).tolist()]
    source = StreamSource(dut, "i", pauses(rng, idle))
    sink = StreamSink(dut, "o", bursts(rng, 5) if stall else None, signed=True)
    await start(dut, source, sink)
    source.send(data)
    assert await sink.receive(len(data), timeout_cycles=5000) == data
    source.send(data[:3])
    assert await sink.receive(3, timeout_cycles=100) == data[:3]


@pytest.mark.cocotb
@pytest.mark.parametrize(("idle", "stall"), [(0, 0), (0.5, 0), (0, 1), (0.3, 1)])
def test_agents_move_every_payload(tmp_path, idle: float, stall: int) -> None:
    choice = {"idle": idle, "stall": stall}
    run_cocotb(Register(), module=__name__, build_dir=tmp_path, parameters=choice)


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("payload", "o.payload changed from"),
        ("valid", "o.valid fell before"),
        ("value", "assert "),
    ],
)
def test_broken_design_fails_the_test(tmp_path, fault: str, message: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=message):
        run_cocotb(
            Register(fault),
            module=__name__,
            build_dir=tmp_path,
            parameters={"idle": 0.1, "stall": 1},
        )


@pytest.mark.cocotb
def test_module_without_tests_fails(tmp_path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"run of tests\.harness failed|of 0 cocotb"):
        run_cocotb(Register(), module="tests.harness", build_dir=tmp_path)


@pytest.mark.cocotb
def test_verilog_error_fails_with_the_log(tmp_path) -> None:
    with pytest.raises(pytest.fail.Exception, match="syntax error"):
        run_cocotb("module dut(; endmodule", module=__name__, build_dir=tmp_path)


def test_pauses_that_never_end_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"1\.0 is not in \[0, 1\)"):
        pauses(rng, 1.0)
    with pytest.raises(ValueError, match="at least 1 cycle, not 0"):
        bursts(rng, 0)
