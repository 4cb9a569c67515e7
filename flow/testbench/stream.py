"""Agents for `amaranth.lib.stream` interfaces seen from cocotb, with idle and stall patterns.

A port called ``i`` is the three signals ``i__payload``, ``i__valid``, ``i__ready``. Agents change
signals after a rising edge and look at them at the falling edge, when every combinational path has
settled; this reads the same in Icarus and Verilator, which differ in what a rising edge shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.queue import Queue
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout

PERIOD_NS = 10

Pauses = Iterator[bool]
"""One answer per clock cycle: true where an agent should do nothing."""


def pauses(rng: np.random.Generator, probability: float) -> Pauses:
    """Independent pauses, each cycle with `probability`; 0 never pauses.

    Raises
    ------
    ValueError
        If `probability` is not in [0, 1): an agent that always pauses never finishes.
    """
    if not 0 <= probability < 1:
        raise ValueError(f"pause probability {probability} is not in [0, 1)")
    if probability == 0:
        return itertools.repeat(False)
    return (bool(rng.random() < probability) for _ in itertools.count())


def bursts(rng: np.random.Generator, longest: int) -> Pauses:
    """Alternate runs of 1 … `longest` busy cycles and of pauses, of random lengths.

    Raises
    ------
    ValueError
        If `longest` is below 1.
    """
    if longest < 1:
        raise ValueError(f"the longest burst must be at least 1 cycle, not {longest}")
    return (
        state
        for state in itertools.cycle((False, True))
        for _ in range(int(rng.integers(1, longest + 1)))
    )


class StreamSource:
    """Offer queued payloads on a stream input of the design.

    Parameters
    ----------
    dut : cocotb handle
        The design; its clock is ``clk``.
    prefix : str
        Port name, e.g. ``"i"``.
    idle : iterator of bool, optional
        Before each payload, wait a cycle for every true value drawn.
    """

    def __init__(self, dut: Any, prefix: str, idle: Pauses | None = None) -> None:
        self.clk = dut.clk
        self.payload = getattr(dut, f"{prefix}__payload")
        self.valid = getattr(dut, f"{prefix}__valid")
        self.ready = getattr(dut, f"{prefix}__ready")
        self.idle = idle if idle is not None else itertools.repeat(False)
        self.queue: Queue[int] = Queue()
        self.offered = 0
        self.accepted = 0
        self.valid.value = 0

    def send(self, payloads: Iterable[int]) -> None:
        """Queue `payloads`; a negative number is sent as two's complement of the port's width."""
        mask = (1 << len(self.payload)) - 1
        for payload in payloads:
            self.queue.put_nowait(int(payload) & mask)
            self.offered += 1

    async def drained(self) -> None:
        """Wait until every payload sent so far is accepted."""
        while self.accepted < self.offered:
            await RisingEdge(self.clk)

    async def run(self) -> None:
        """Drive the interface for ever."""
        while True:
            self.valid.value = 0
            if self.queue.empty():
                payload = await self.queue.get()
                await RisingEdge(self.clk)
            else:
                payload = self.queue.get_nowait()
            while next(self.idle):
                await RisingEdge(self.clk)
            self.payload.value = payload
            self.valid.value = 1
            accepted = False
            while not accepted:
                await FallingEdge(self.clk)
                accepted = bool(self.ready.value)
                await RisingEdge(self.clk)
            self.accepted += 1


class StreamSink:
    """Accept payloads from a stream output of the design and check the stream's rules.

    A payload once offered must stay, unchanged, until it is taken
    (Amaranth RFC 61, data transfer rules).

    Parameters
    ----------
    dut : cocotb handle
        The design; its clock is ``clk``.
    prefix : str
        Port name, e.g. ``"o"``.
    stall : iterator of bool, optional
        Not ready in a cycle for which a true value is drawn.
    signed : bool
        Read payloads as two's complement.
    """

    def __init__(
        self, dut: Any, prefix: str, stall: Pauses | None = None, *, signed: bool = False
    ) -> None:
        self.clk = dut.clk
        self.payload = getattr(dut, f"{prefix}__payload")
        self.valid = getattr(dut, f"{prefix}__valid")
        self.ready = getattr(dut, f"{prefix}__ready")
        self.prefix = prefix
        self.stall = stall if stall is not None else itertools.repeat(False)
        self.signed = signed
        self.queue: Queue[int] = Queue()
        self.ready.value = 0

    async def receive(self, count: int, *, timeout_cycles: int = 100_000) -> list[int]:
        """Wait for `count` payloads.

        Raises
        ------
        cocotb.triggers.SimTimeoutError
            If they do not arrive within `timeout_cycles`.
        """

        async def collect() -> list[int]:
            return [await self.queue.get() for _ in range(count)]

        received: list[int] = await with_timeout(collect(), timeout_cycles * PERIOD_NS, "ns")
        return received

    async def run(self) -> None:
        """Drive the interface for ever."""
        offered: int | None = None
        while True:
            ready = not next(self.stall)
            self.ready.value = int(ready)
            await FallingEdge(self.clk)
            if self.valid.value:
                logic = self.payload.value
                payload = logic.to_signed() if self.signed else logic.to_unsigned()
                if offered is not None and payload != offered:
                    raise AssertionError(
                        f"{self.prefix}.payload changed from {offered} to {payload} before transfer"
                    )
                offered = None if ready else payload
                if ready:
                    self.queue.put_nowait(payload)
            elif offered is not None:
                raise AssertionError(f"{self.prefix}.valid fell before {offered} was taken")
            await RisingEdge(self.clk)


async def start(dut: Any, *agents: StreamSource | StreamSink) -> None:
    """Start the clock, hold ``rst`` for two cycles, then start `agents`.

    Inputs of the design that no agent drives must be set before.
    """
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    for agent in agents:
        cocotb.start_soon(agent.run())
