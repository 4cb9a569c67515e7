"""An adapter chip takes the slot that was selected; every wrong slot is refused, on both levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from flow.evidence import design, slot, slot_fault
from flow.evidence.design import Design, EvidenceError
from flow.evidence.plant import Chip
from flow.tools import base, yosys
from rtl_gen.fabric.adapter_memory import BANKS, AdapterMemory, Geometry, ReadPorts
from rtl_gen.fabric.adapter_port import AdapterPort
from rtl_gen.verilog import convert
from tests.harness import seed

GEOMETRY = Geometry(3, (5, 7, 4), (40, 33, 16))
MANIFEST: dict[str, Any] = {
    "adapters": {"slots": GEOMETRY.slots},
    "memories": [
        {"name": f"adapter_{bank}", "class": "adapter", "depth": GEOMETRY.slots * words}
        for bank, words in zip(BANKS, GEOMETRY.words, strict=True)
    ],
}


class Sequencer(wiring.Component):
    """Tells now and then that a token begins, and follows the slot in use."""

    def __init__(self) -> None:
        super().__init__({"adapted": In(1), "go": In(1), "boundary": Out(1), "busy": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += [self.boundary.eq(self.go), self.busy.eq(self.adapted)]
        return m


class Lanes(wiring.Component):
    """Reads one word of each bank after the other."""

    def __init__(self) -> None:
        super().__init__({"memory": Out(ReadPorts(GEOMETRY)), "seen": Out(sum(GEOMETRY.widths))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        step = Signal(3)
        m.d.sync += step.eq(step + 1)
        for bank in BANKS:
            address = getattr(self.memory, f"{bank}_addr")
            m.d.sync += address.eq(getattr(self.memory, f"{bank}_base") + step)
            m.d.comb += getattr(self.memory, f"{bank}_en").eq(step[2])
        words = [getattr(self.memory, f"{bank}_data") for bank in BANKS]
        m.d.sync += self.seen.eq(Cat(*words))
        return m


class Host(wiring.Component):
    """Port, memory and what is around them in a chip."""

    def __init__(self) -> None:
        super().__init__({
            "adapter_addr": In(3), "adapter_write": In(1), "adapter_write_data": In(32),
            "adapter_read_data": Out(32), "go": In(1), "busy": Out(1),
            "seen": Out(sum(GEOMETRY.widths)),
        })  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        port, memory = AdapterPort(GEOMETRY), AdapterMemory(GEOMETRY)
        sequencer, lanes = Sequencer(), Lanes()
        m.submodules.adapter_port, m.submodules.adapter_memory = port, memory
        m.submodules.sequencer, m.submodules.matvec = sequencer, lanes
        wiring.connect(m, lanes.memory, memory.read)
        joined = {"active": "active", "opened": "opened", "write": "memory_write", "bank": "bank",
                  "offset": "offset", "piece": "piece", "write_data": "memory_data"}  # fmt: skip
        m.d.comb += [getattr(memory, name).eq(getattr(port, source))
                     for name, source in joined.items()]  # fmt: skip
        m.d.comb += [
            port.addr.eq(self.adapter_addr), port.write.eq(self.adapter_write),
            port.write_data.eq(self.adapter_write_data), self.adapter_read_data.eq(port.read_data),
            port.boundary.eq(sequencer.boundary), sequencer.adapted.eq(port.active != 0),
            sequencer.go.eq(self.go), self.busy.eq(sequencer.busy), self.seen.eq(lanes.seen),
        ]  # fmt: skip
        return m


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Design]:
    folder = tmp_path_factory.mktemp("slot")
    (folder / "chip.v").write_text(convert(Host(), "chip"))
    (folder / "rom").mkdir()
    (folder / "rom/adapter_base.hex").write_text("".join(f"{k * 12345:08x}\n" for k in range(8)))
    chip, rom = folder / "chip.v", folder / "rom"
    base.run(yosys.adapters(chip, rom), folder / "gates", folder / "gates.log")
    base.run(yosys.synthesize_chip(chip, rom), folder / "netlist", folder / "netlist.log")
    return {"rtl": design.read(folder / "gates/gates.json"),
            "netlist": design.read(folder / "netlist/netlist.json")}  # fmt: skip


@pytest.mark.parametrize("level", ["rtl", "netlist"])
def test_the_slot_that_was_selected_is_used(levels: dict[str, Design], level: str) -> None:
    findings, numbers = slot.check(levels[level], MANIFEST)
    assert findings == []
    assert numbers["functions"] > 300


@pytest.mark.parametrize("level", ["rtl", "netlist"])
def test_every_wrong_slot_is_refused(levels: dict[str, Design], level: str) -> None:
    chip = Chip(None, MANIFEST, "", {}, None, levels["netlist"], adapters=levels["rtl"])  # type: ignore[arg-type]
    drawn = slot_fault.of_chip(chip, np.random.default_rng(seed()))
    kinds = [make for name, make in drawn.items() if name.startswith(level)]
    assert len(kinds) == 4
    for make in kinds:
        for _ in range(3):
            mutant = make()
            assert mutant is not None
            changed = mutant.chip.adapters if level == "rtl" else mutant.chip.netlist
            assert changed is not None
            assert slot.check(changed, MANIFEST)[0], (mutant.kind, mutant.place)


def test_slots_one_word_late_are_refused(levels: dict[str, Design]) -> None:
    """A memory for slots of another size: each but the first begins elsewhere."""
    words = [{**item, "depth": item["depth"] + 3} for item in MANIFEST["memories"]]
    findings, _ = slot.check(levels["netlist"], {**MANIFEST, "memories": words})
    assert any("is read from another place" in line for line in findings)


def test_a_port_for_adapters_in_a_chip_without_is_refused(levels: dict[str, Design]) -> None:
    findings, _ = slot.check(levels["netlist"], {"memories": []})
    assert "the chip has a port adapter_write" in findings
    bare = {"chip": design.Module("chip", {}, frozenset(), {})}
    with pytest.raises(EvidenceError, match="adapter_port"):
        slot.check(bare, MANIFEST)
