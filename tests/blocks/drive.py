"""What the block tests share: numbers worth testing, paces of the streams, one exchange.

Runs inside the simulator (the coroutines) and outside of it (the numbers).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge, SimTimeoutError
from numpy.typing import NDArray

from flow.testbench.stream import StreamSink, StreamSource, bursts, pauses, start
from rtl_gen.ir.types import IntType
from tests.harness import seed

PATIENCE_CYCLES = 3000
"""Longest time of one exchange; the slowest block of one operator needs a tenth of it."""

PACES = ("steady", "ragged")

paced = cocotb.parametrize(idle=PACES, stall=PACES)
"""Crosses how the inputs pause (`idle`) with how the output stalls (`stall`)."""


def edges(kind: IntType) -> list[int]:
    """Ends of the range, their neighbours, and the numbers around zero that `kind` holds."""
    candidates = {kind.min, kind.min + 1, kind.max - 1, kind.max, -1, 0, 1}
    return sorted(x for x in candidates if kind.min <= x <= kind.max)


def numbers(rng: np.random.Generator, kind: IntType, count: int) -> NDArray[np.int64]:
    """`count` numbers of `kind` in random order: edges, all of the range, all magnitudes.

    Half of the random ones are uniform; the others have a uniform number of bits, because uniform
    numbers are hardly ever small.
    """
    uniform = rng.integers(kind.min, kind.max, count, endpoint=True)
    spread = uniform >> rng.integers(0, kind.width, count)
    mixed = np.where(rng.random(count) < 0.5, uniform, spread)
    known = edges(kind)[:count]
    mixed[: len(known)] = known
    rng.shuffle(mixed)
    return mixed


def configure(dut: Any, ports: Mapping[str, int]) -> None:
    """Set input `ports`; negative numbers become two's complement of the port's width."""
    for name, value in ports.items():
        port = getattr(dut, name)
        if not -(1 << len(port) - 1) <= value < 1 << len(port):
            raise ValueError(f"{value} does not fit the {len(port)} bits of {name}")
        port.value = int(value) & ((1 << len(port)) - 1)


def pack(values: Iterable[int], width: int, elements: int) -> list[int]:
    """Payloads of beats: element k in two's complement at bits k * `width` and up."""
    mask = (1 << width) - 1
    words = [int(x) & mask for x in values]
    if len(words) % elements:
        raise ValueError(f"{len(words)} values are not whole beats of {elements}")
    return [
        sum(word << width * k for k, word in enumerate(words[start : start + elements]))
        for start in range(0, len(words), elements)
    ]


def unpack(payloads: Iterable[int], width: int, elements: int) -> list[int]:
    """Signed elements of beats; the inverse of `pack`."""
    sign = 1 << (width - 1)
    return [
        ((payload >> width * k) % (2 * sign) ^ sign) - sign
        for payload in payloads
        for k in range(elements)
    ]


class Bench:
    """A block with sources on its input streams and a sink on its output ``o``.

    Parameters
    ----------
    dut : cocotb handle
    inputs : sequence of str
        Input streams.
    idle, stall : str
        One of `PACES`.
    signed : bool
        Read outputs as two's complement; those of several elements always are.
    elements : int
        Elements of a beat, on every stream: they are sent and compared one by one.
    out_elements : int, optional
        Elements of a beat of the output, if it has another shape.
    patience_cycles : int
        Longest time of one exchange.
    """

    def __init__(
        self,
        dut: Any,
        inputs: Sequence[str],
        idle: str,
        stall: str,
        *,
        signed: bool = True,
        elements: int = 1,
        out_elements: int | None = None,
        patience_cycles: int = PATIENCE_CYCLES,
    ) -> None:
        self.dut = dut
        self.patience_cycles = patience_cycles
        self.elements = elements
        self.out_elements = elements if out_elements is None else out_elements
        self.rng = np.random.default_rng(seed())
        # Single pauses on the inputs, long stalls on the output: a full pipeline has to hold.
        self.sources = {
            name: StreamSource(dut, name, pauses(self.rng, 0.4 if idle == "ragged" else 0.0))
            for name in inputs
        }
        stalls = bursts(self.rng, 6) if stall == "ragged" else pauses(self.rng, 0.0)
        self.sink = StreamSink(dut, "o", stalls, signed=signed and self.out_elements == 1)

    def send(self, **inputs: Iterable[int]) -> None:
        """Queue `inputs`, without waiting."""
        for name, values in inputs.items():
            source = self.sources[name]
            source.send(pack(values, len(source.payload) // self.elements, self.elements))

    def _elements(self, payloads: list[int]) -> list[int]:
        if self.out_elements == 1:
            return payloads
        return unpack(payloads, len(self.sink.payload) // self.out_elements, self.out_elements)

    async def reset(self, **ports: int) -> None:
        """Set `ports`, reset the block and start the agents."""
        configure(self.dut, ports)
        await start(self.dut, *self.sources.values(), self.sink)

    async def begin(self, *pulses: str, **ports: int) -> None:
        """Set `ports`, wait a cycle for registers behind them, raise `pulses` for a cycle.

        Without `pulses` it is ``start``.
        """
        configure(self.dut, ports)
        signals = [getattr(self.dut, name) for name in pulses or ("start",)]
        await RisingEdge(self.dut.clk)
        for signal in signals:
            signal.value = 1
        await RisingEdge(self.dut.clk)
        for signal in signals:
            signal.value = 0

    async def drained(self) -> None:
        """Wait until the block has taken everything sent, and a few cycles more."""
        for source in self.sources.values():
            await source.drained()
        for _ in range(4):
            await RisingEdge(self.dut.clk)

    async def cycles(self, count: int, **inputs: Iterable[int]) -> int:
        """Clock cycles from the first transfer of `inputs` to transfer `count` of ``o``.

        `count` is beats; `inputs` are elements.
        """
        self.send(**inputs)
        entrances = [(source.valid, source.ready) for source in self.sources.values()]
        elapsed = taken = 0
        entered = False
        for _ in range(PATIENCE_CYCLES):
            await FallingEdge(self.dut.clk)
            entered = entered or any(valid.value and ready.value for valid, ready in entrances)
            if self.sink.valid.value and self.sink.ready.value:
                taken += 1
            elapsed += entered
            if taken == count:
                return elapsed - 1
        raise AssertionError(f"{taken} of {count} transfers in {PATIENCE_CYCLES} cycles")

    async def exchange(self, expected: Iterable[int], where: str, **inputs: Iterable[int]) -> None:
        """Send `inputs` and compare what comes back, nothing missing and nothing too much."""
        sent = {name: [int(x) for x in values] for name, values in inputs.items()}
        self.send(**sent)
        wanted = [int(x) for x in expected]
        try:
            payloads = await self.sink.receive(
                len(wanted) // self.out_elements, timeout_cycles=self.patience_cycles
            )
        except SimTimeoutError:
            raise AssertionError(
                f"TEST_SEED={seed()} {where}: {len(wanted)} elements expected, the block stopped"
                f" before the last\nsent     {sent}"
            ) from None
        for _ in range(4):
            await RisingEdge(self.dut.clk)
        while not self.sink.queue.empty():
            payloads.append(self.sink.queue.get_nowait())
        got = self._elements(payloads)
        if got != wanted:
            at = next(
                (i for i, (g, w) in enumerate(zip(got, wanted, strict=False)) if g != w),
                min(len(got), len(wanted)),
            )
            raise AssertionError(
                f"TEST_SEED={seed()} {where}: element {at} of {len(wanted)} differs\n"
                f"got      {got}\nexpected {wanted}\nsent     {sent}"
            )
