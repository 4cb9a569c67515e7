"""The adapter port over the serial pins of the board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from rtl_gen.adapter.layout import host_words
from rtl_gen.board import top
from rtl_gen.emit import emit
from rtl_gen.fabric.adapter_port import ADDRESS
from rtl_gen.golden import interpreter
from rtl_gen.plan import Plan
from tests import checkpoints
from tests.chip.test_adapters import build
from tests.chip.test_board import CLOCK_MHZ, DIVISOR, receive, send, sequence
from tests.harness import parameters, run_cocotb

LIMIT = 4


@pytest.mark.cocotb
def test_an_adapter_comes_over_the_serial_port(tmp_path: Path) -> None:
    plan = Plan(4, slots=2)
    built = build(tmp_path, checkpoints.tiny_gpt2, ("*.mlp.up", "logits"), 2, plan)
    graph, image = built.graph, built.images[-1]
    chip = emit(graph, plan)
    board = top(
        chip.manifest, clock_mhz=CLOCK_MHZ, baud=round(CLOCK_MHZ * 1e6 / DIVISOR), limit=LIMIT
    )
    prompt = [*graph.bos, 5, 9]
    adapted = list(interpreter.generate(graph, prompt, beta=0, seed=1, limit=LIMIT, adapter=image))
    plain = list(interpreter.generate(graph, prompt, beta=0, seed=1, limit=LIMIT))
    assert adapted != plain
    run_cocotb(
        board + chip.verilog, module=__name__, build_dir=tmp_path / "run", files=chip.images,
        parameters={
            "base": chip.manifest["adapters"]["base"], "words": host_words(graph, plan, image),
            "prompt": prompt, "want": adapted,
            "plain": plain,
        },
        testcase="loads_and_generates", top="top",
    )  # fmt: skip


async def write(dut: Any, name: str, value: int) -> None:
    await send(dut, ord("P"), ADDRESS[name], *value.to_bytes(4, "little"))


async def read(dut: Any, name: str) -> int:
    reply = cocotb.start_soon(receive(dut, 5))
    await send(dut, ord("Q"), ADDRESS[name])
    tag, *data = await reply
    assert tag == ord("q")
    return int.from_bytes(bytes(data), "little")


async def generate(dut: Any, prompt: list[int]) -> list[int]:
    *head, tail = prompt
    for token in head:
        await send(dut, ord("T"), token, 0)
    reply = cocotb.start_soon(sequence(dut))
    await send(dut, ord("L"), tail, 0)
    return await reply


@cocotb.test()
async def loads_and_generates(dut: Any) -> None:
    given = parameters()
    dut.ftdi_txd.value, dut.btn_fire1.value = 1, 0
    Clock(dut.clk_25mhz, 40, unit="ns").start()
    await ClockCycles(dut.clk_25mhz, 40)
    assert await read(dut, "GEOMETRY") == len(given["words"]) | 2 << 24
    assert await generate(dut, given["prompt"]) == given["plain"]
    await write(dut, "OPEN", 2)
    base = bytes.fromhex(given["base"])
    for index in range(0, 32, 4):
        await write(dut, "IDENTITY", int.from_bytes(base[index : index + 4], "little"))
    for word in given["words"]:
        await write(dut, "DATA", word)
    await write(dut, "COMMIT", sum(given["words"]) & 0xFFFFFFFF)
    assert await read(dut, "VALID") == 2
    await write(dut, "SELECT", 2)
    assert await read(dut, "STATUS") == 2 | 2 << 8
    assert await generate(dut, given["prompt"]) == given["want"]
    await write(dut, "SELECT", 0)
    assert await generate(dut, given["prompt"]) == given["plain"]
