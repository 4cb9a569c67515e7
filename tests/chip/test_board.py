"""The board wrapper around a small chip, spoken to over its serial pins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, with_timeout

from rtl_gen.board import pll, top
from rtl_gen.emit import emit
from rtl_gen.errors import TargetError
from rtl_gen.golden import interpreter
from rtl_gen.golden.sample import initial_rng
from rtl_gen.plan import Plan
from tests import checkpoints
from tests.chip.test_shapes import lowered
from tests.harness import parameters, run_cocotb, seed

DIVISOR = 8
CLOCK_MHZ = 25.0
BETA, SEED, LIMIT, TOP_K = 700, 3, 4, 2


@pytest.mark.parametrize("mhz", [12.5, 25.0, 40.0, 62.5, 75.0, 100.0, 133.0])
def test_pll_meets_the_data_sheet(mhz: float) -> None:
    setting = pll(CLOCK_MHZ, mhz)
    assert setting.mhz == CLOCK_MHZ * setting.feedback / setting.reference
    assert abs(setting.mhz / mhz - 1) <= 0.02
    assert 400 <= setting.mhz * setting.output <= 800
    assert CLOCK_MHZ / setting.reference >= 3.125


def test_pll_refuses_what_it_cannot_make() -> None:
    with pytest.raises(TargetError, match=r"no PLL setting makes 1000 MHz from 25.0 MHz"):
        pll(CLOCK_MHZ, 1000)


def test_board_refuses_more_largest_logits_than_the_chip_has_places(tmp_path: Path) -> None:
    graph = lowered(checkpoints.tiny_llama(tmp_path), lambda model: np.arange(16).reshape(1, 16))
    manifest = emit(graph, Plan(4, top_k=2)).manifest
    with pytest.raises(TargetError, match=r"at most 2 largest logits, not 3; raise plan.top_k"):
        top(manifest, clock_mhz=CLOCK_MHZ, top_k=3)


def test_board_refuses_a_serial_rate_above_its_clock(tmp_path: Path) -> None:
    graph = lowered(checkpoints.tiny_llama(tmp_path), lambda model: np.arange(16).reshape(1, 16))
    manifest = emit(graph, Plan(4)).manifest
    with pytest.raises(TargetError, match=r"baud: 20000000 is too fast"):
        top(manifest, clock_mhz=CLOCK_MHZ, baud=20_000_000)


@pytest.mark.cocotb
def test_board_speaks_the_protocol(tmp_path: Path) -> None:
    rng = np.random.default_rng(seed())
    graph = lowered(
        checkpoints.tiny_llama(tmp_path / "checkpoint"),
        lambda model: rng.integers(0, model.vocabulary, (8, model.context)),
    )
    chip = emit(graph, Plan(4, top_k=TOP_K))
    board = top(
        chip.manifest, clock_mhz=CLOCK_MHZ, baud=round(CLOCK_MHZ * 1e6 / DIVISOR), limit=LIMIT
    )
    prompt = [*graph.bos, 5, 9]
    run_cocotb(
        board + chip.verilog,
        module=__name__,
        build_dir=tmp_path / "run",
        parameters={
            "identity": chip.manifest["identity"],
            "button": list(interpreter.generate(graph, graph.bos, beta=0, seed=1, limit=LIMIT)),
            "prompt": prompt,
            "sampled": list(
                interpreter.generate(graph, prompt, beta=BETA, seed=SEED, limit=LIMIT, top_k=TOP_K)
            ),
        },
        files=chip.images,
        testcase="button_registers_prompt_identity_cycles",
        top="top",
    )


async def send(dut: Any, *data: int) -> None:
    """Bytes on the pin that the FTDI drives: start bit, eight bits, stop bit."""
    for byte in data:
        for bit in (0, *((byte >> k) & 1 for k in range(8)), 1):
            dut.ftdi_txd.value = bit
            await ClockCycles(dut.clk_25mhz, DIVISOR)


async def receive(dut: Any, count: int) -> list[int]:
    """Bytes on the pin that the board drives."""
    data = []
    for _ in range(count):
        await with_timeout(FallingEdge(dut.ftdi_rxd), 4, "ms")
        await ClockCycles(dut.clk_25mhz, DIVISOR + DIVISOR // 2)
        bits = []
        for _ in range(8):
            bits.append(int(dut.ftdi_rxd.value))
            await ClockCycles(dut.clk_25mhz, DIVISOR)
        assert int(dut.ftdi_rxd.value) == 1
        data.append(sum(bit << k for k, bit in enumerate(bits)))
    return data


async def sequence(dut: Any) -> list[int]:
    """Tokens up to the one that is marked as the last."""
    tokens = []
    while True:
        tag, low, high = await receive(dut, 3)
        tokens.append(low | high << 8)
        if tag == ord("l"):
            return tokens
        assert tag == ord("o")


@cocotb.test()
async def button_registers_prompt_identity_cycles(dut: Any) -> None:
    expected = parameters()
    dut.ftdi_txd.value, dut.btn_fire1.value = 1, 0
    Clock(dut.clk_25mhz, 40, unit="ns").start()
    await ClockCycles(dut.clk_25mhz, 40)

    dut.btn_fire1.value = 1
    assert await sequence(dut) == expected["button"]
    await ClockCycles(dut.clk_25mhz, 2000)
    assert int(dut.led.value) & 1 == 0, "a button held down starts one sequence only"
    dut.btn_fire1.value = 0

    registers = [*initial_rng(SEED).to_bytes(4, "little"), *BETA.to_bytes(2, "little")]
    await send(dut, ord("W"), *registers, *LIMIT.to_bytes(2, "little"))
    await send(dut, ord("K"), TOP_K)
    *head, tail = expected["prompt"]
    for token in head:
        await send(dut, ord("T"), token, 0)
    reply = cocotb.start_soon(sequence(dut))
    await send(dut, ord("L"), tail, 0)
    assert await reply == expected["sampled"]

    reply = cocotb.start_soon(receive(dut, 33))
    await send(dut, ord("I"))
    assert bytes(await reply) == b"i" + bytes.fromhex(expected["identity"])

    reply = cocotb.start_soon(receive(dut, 5))
    await send(dut, ord("C"))
    tag, *cycles = await reply
    assert tag == ord("c")
    assert 200 < int.from_bytes(bytes(cycles), "little") < 5000
