"""The host port of the adapter memory: what hosts may do, and that nothing else happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import FallingEdge, RisingEdge, Timer

from flow import adapter_driver
from flow.testbench.stream import start
from rtl_gen.errors import FlowError
from rtl_gen.fabric.adapter_memory import BANKS, AdapterMemory, Geometry
from rtl_gen.fabric.adapter_port import (
    ADDRESS,
    ERRORS,
    IDENTITY_WORDS,
    REGISTERS,
    AdapterPort,
    register_map,
)
from rtl_gen.fabric.rom import image
from tests.harness import run_cocotb, seed

GEOMETRY = Geometry(slots=3, words=(5, 3, 2), widths=(40, 64, 20))
DIGEST = bytes(range(7, 39))
BASE = [int.from_bytes(DIGEST[i : i + 4], "little") for i in range(0, 32, 4)]
MASK = 0xFFFFFFFF


class Memory(wiring.Component):
    """Port and memory together."""

    def __init__(self, geometry: Geometry) -> None:
        self.port, self.memory = AdapterPort(geometry), AdapterMemory(geometry)
        shapes = {name: getattr(self.memory.read, f"{name}_addr").shape() for name in BANKS}
        super().__init__(
            {
                "addr": In(3), "write": In(1), "write_data": In(32), "read_data": Out(32),
                "boundary": In(1), "active": Out(3),
                **{f"{name}_addr": In(shape) for name, shape in shapes.items()},
                **{f"{name}_data": Out(width)
                   for name, width in zip(BANKS, geometry.widths, strict=True)},
                **{f"{name}_base": Out(shape) for name, shape in shapes.items()},
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.port, m.submodules.memory = self.port, self.memory
        p, q = self.port, self.memory
        m.d.comb += [
            p.addr.eq(self.addr), p.write.eq(self.write), p.write_data.eq(self.write_data),
            self.read_data.eq(p.read_data), p.boundary.eq(self.boundary),
            self.active.eq(p.active), q.active.eq(p.active), q.opened.eq(p.opened),
            q.write.eq(p.memory_write), q.bank.eq(p.bank), q.offset.eq(p.offset),
            q.piece.eq(p.piece), q.write_data.eq(p.memory_data),
        ]  # fmt: skip
        for name in BANKS:
            m.d.comb += getattr(q.read, f"{name}_en").eq(1)
            m.d.comb += getattr(q.read, f"{name}_addr").eq(getattr(self, f"{name}_addr"))
            m.d.comb += getattr(self, f"{name}_data").eq(getattr(q.read, f"{name}_data"))
            m.d.comb += getattr(self, f"{name}_base").eq(getattr(q.read, f"{name}_base"))
        return m


class Model:
    """The port as its register map says, one command after another."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.active = self.selected = self.opened = self.error = 0
        self.valid: set[int] = set()
        self.slots: dict[int, list[int]] = {}
        self.words: list[int] = []
        self.digest: list[int] = []

    def boundary(self) -> None:
        self.active = self.selected

    def write(self, address: int, value: int) -> None:
        name = {v: k for k, v in ADDRESS.items()}[address]
        count = self.geometry.host_words
        if name == "SELECT":
            if value > self.geometry.slots:
                self.error = 1
            elif value and value not in self.valid:
                self.error = 7
            else:
                self.selected, self.error = value, 0
        elif name == "OPEN":
            self.opened = 0
            if not 1 <= value <= self.geometry.slots:
                self.error = 1
            elif value in (self.active, self.selected):
                self.error = 2
            else:
                self.opened, self.error = value, 0
                self.valid.discard(value)
                self.words, self.digest = [], []
        elif name in ("IDENTITY", "DATA", "COMMIT") and not self.opened:
            self.error = 3
        elif name == "IDENTITY":
            self.error = 0
            self.digest.append(value)
        elif name == "DATA":
            self.error = 5 if len(self.words) >= count else 0
            self.words.append(value)
        elif name == "COMMIT":
            good = len(self.words) == count
            if self.digest != BASE:
                self.error = 4
            elif not good:
                self.error = 5
            elif sum(self.words) & MASK != value:
                self.error = 6
            else:
                self.error = 0
                self.valid.add(self.opened)
                self.slots[self.opened] = list(self.words)
            self.opened = 0

    def read(self, address: int) -> int:
        valid = sum(1 << (slot - 1) for slot in self.valid)
        return {
            ADDRESS["STATUS"]: self.active | self.selected << 8 | self.opened << 16
            | self.error << 24,
            ADDRESS["VALID"]: valid,
            ADDRESS["GEOMETRY"]: self.geometry.host_words | self.geometry.slots << 24,
        }.get(address, 0)  # fmt: skip


def memories(words: list[int], geometry: Geometry) -> list[list[int]]:
    """Words of the three memories that an image of host words fills."""
    left, found = list(words), []
    for bank, count in enumerate(geometry.words):
        rows = []
        for _ in range(count):
            value, place = 0, 0
            for width in geometry.pieces(bank):
                value |= (left.pop(0) & ((1 << width) - 1)) << place
                place += width
            rows.append(value)
        found.append(rows)
    return found


def test_the_map_covers_the_addresses() -> None:
    assert sorted(ADDRESS.values()) == list(range(8))
    assert len({item.name for item in REGISTERS}) == len(REGISTERS)
    assert len(ERRORS) <= 16


def test_the_documented_map_is_that_of_the_hardware() -> None:
    text = (Path(__file__).parents[2] / "docs/adapters.md").read_text()
    assert register_map() in text


def test_the_port_does_what_its_map_says(tmp_path: Path) -> None:
    run_cocotb(
        Memory(GEOMETRY), module=__name__, build_dir=tmp_path, testcase="fuzz",
        files={"rom/adapter_base.hex": image(BASE, 32)},
    )  # fmt: skip


class CountingBus:
    """The model as a bus of the driver."""

    def __init__(self) -> None:
        self.model = Model(GEOMETRY)

    def write(self, address: int, value: int) -> None:
        self.model.write(address, value)

    def read(self, address: int) -> int:
        return self.model.read(address)


def test_the_driver_loads_and_selects_and_says_why_not() -> None:
    bus = CountingBus()
    words = list(range(100, 100 + GEOMETRY.host_words))
    adapter_driver.load(bus, 2, DIGEST.hex(), words)
    assert adapter_driver.valid_slots(bus) == [2]
    adapter_driver.select(bus, 2)
    for attempt, reason in (
        (lambda: adapter_driver.select(bus, 1), "slot not valid"),
        (lambda: adapter_driver.load(bus, 2, DIGEST.hex(), words), "in use or selected"),
        (lambda: adapter_driver.load(bus, 4, DIGEST.hex(), words), "no such slot"),
        (lambda: adapter_driver.load(bus, (1 << 32) + 1, DIGEST.hex(), words), "slots 0 to 3"),
        (lambda: adapter_driver.select(bus, (1 << 32) + 2), "slots 0 to 3"),
        (lambda: adapter_driver.load(bus, 1, bytes(32).hex(), words), "another base"),
        (lambda: adapter_driver.load(bus, 1, DIGEST.hex(), words[1:]), "words"),
    ):
        with pytest.raises(FlowError, match=reason):
            attempt()
    assert adapter_driver.status(bus).selected == 2
    assert bus.model.slots[2] == words


@cocotb.test()
async def fuzz(dut: Any) -> None:
    rng = np.random.default_rng(seed())
    model = Model(GEOMETRY)
    for name in ("addr", "write", "write_data", "boundary", *(f"{n}_addr" for n in BANKS)):
        getattr(dut, name).value = 0
    await start(dut)
    plan: list[tuple[int, int]] = []
    count = GEOMETRY.host_words
    used: set[int] = set()
    accepted = 0
    for _ in range(4000):
        if not plan:
            plan = scenario(rng, count)
        idle = rng.random() < 0.3
        boundary = bool(rng.random() < 0.2)
        dut.write.value = int(not idle)
        dut.boundary.value = int(boundary)
        command = None
        if not idle:
            command = plan.pop(0)
            dut.addr.value, dut.write_data.value = command
        await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        before = model.selected
        if command is not None:
            accepted += command[0] == ADDRESS["COMMIT"]
            model_write(model, command)
        if boundary:
            model.active = before
        dut.write.value = 0
        for name in ("STATUS", "VALID", "GEOMETRY"):
            dut.addr.value = ADDRESS[name]
            await Timer(1, "ns")
            assert int(dut.read_data.value) == model.read(ADDRESS[name]), (name, command)
        assert model.active == 0 or model.active in model.valid
        assert model.active != model.opened or model.opened == 0
        used.add(model.active)
    assert used == set(range(GEOMETRY.slots + 1))
    assert accepted > 50
    # What valid slots hold is what was committed, whatever was written beside them.
    dut.boundary.value = 0
    assert model.valid
    for slot in model.valid:
        for bank, rows in enumerate(memories(model.slots[slot], GEOMETRY)):
            for index, expected in enumerate(rows):
                address = (slot - 1) * GEOMETRY.words[bank] + index
                getattr(dut, f"{BANKS[bank]}_addr").value = address
                for _ in range(3):
                    await RisingEdge(dut.clk)
                await FallingEdge(dut.clk)
                assert int(getattr(dut, f"{BANKS[bank]}_data").value) == expected


def model_write(model: Model, command: tuple[int, int]) -> None:
    # the port decides by what was in use before the boundary of the same cycle
    model.write(*command)


def scenario(rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
    """A load, right or wrong, a switch, or noise."""
    kind = rng.random()
    slot = int(rng.integers(0, GEOMETRY.slots + 2))
    if kind < 0.25:
        return [(ADDRESS["SELECT"], slot)]
    if kind < 0.4:
        names = ["SELECT", "OPEN", "IDENTITY", "DATA", "COMMIT", "STATUS"]
        return [
            (ADDRESS[str(rng.choice(names))], int(rng.choice([slot, int(rng.integers(1 << 32))])))
            for _ in range(4)
        ]
    digest, total = list(BASE), count
    if kind < 0.5:
        digest[int(rng.integers(IDENTITY_WORDS))] ^= 1 << int(rng.integers(32))
    elif kind < 0.6:
        digest = digest[: int(rng.integers(IDENTITY_WORDS))] * int(rng.integers(1, 3))
    elif kind < 0.7:
        total = int(rng.integers(count + 3))
    words = [int(w) for w in rng.integers(0, 1 << 32, total)]
    check = sum(words) & MASK if kind < 0.9 else int(rng.integers(1 << 32))
    return [
        (ADDRESS["OPEN"], slot),
        *((ADDRESS["IDENTITY"], word) for word in digest),
        *((ADDRESS["DATA"], word) for word in words),
        (ADDRESS["COMMIT"], check),
    ]
