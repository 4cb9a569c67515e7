"""`rtl_gen.fabric.queue`: what was reserved comes out in order, and never finds the queue full."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge, Timer

from flow.testbench.stream import start
from rtl_gen.fabric.queue import Queue
from tests.harness import parameters, run_cocotb, seed

DEPTH = 8


@pytest.mark.cocotb
@pytest.mark.parametrize(("delay", "busy", "ready"), [(1, 1.0, 1.0), (3, 0.9, 0.3), (6, 0.5, 0.9)])
def test_queue_keeps_its_promises(delay: int, busy: float, ready: float, tmp_path: Path) -> None:
    run_cocotb(
        Queue(6, 2, DEPTH),
        module=__name__,
        build_dir=tmp_path,
        parameters={"delay": delay, "busy": busy, "ready": ready},
    )


@cocotb.test()
async def beats_come_out_in_order(dut: Any) -> None:
    delay, busy, ready = parameters().values()
    rng = np.random.default_rng(seed())
    dut.reserve.value, dut.write.value, dut.o__ready.value = 0, 0, 0
    await start(dut)
    pipeline: deque[int | None] = deque([None] * delay)
    sent: list[int] = []
    seen: list[int] = []
    outstanding, fullest = 0, 0
    for _ in range(600):
        await RisingEdge(dut.clk)
        await Timer(1, "ns")
        assert int(dut.free.value) == DEPTH - outstanding
        reserve = bool(rng.random() < busy) and int(dut.free.value) > 0
        word = pipeline.popleft()
        pipeline.append(int(rng.integers(1 << 12)) if reserve else None)
        dut.reserve.value, dut.write.value = int(reserve), int(word is not None)
        dut.data.value = word or 0
        dut.o__ready.value = int(rng.random() < ready)
        await Timer(1, "ns")
        if word is not None:
            sent.append(word)
        outstanding += reserve
        if int(dut.o__valid.value) and int(dut.o__ready.value):
            seen.append(int(dut.o__payload.value))
            outstanding -= 1
        fullest = max(fullest, outstanding)
    assert len(seen) > 100
    assert seen == sent[: len(seen)]
    assert fullest == DEPTH or ready > 0.5
