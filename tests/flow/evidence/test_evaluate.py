"""Reading a ROM from the cells that Yosys made of it, whatever those are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.evidence import block_ram, design, evaluate, memories
from flow.tools import base, yosys
from rtl_gen.fabric import rom
from tests.harness import seed

SHAPES = {"bytes": (700, 9), "halves": (40, 18), "wide": (90, 50), "deep": (4100, 3), "one": (2, 1)}


def synthesized(
    folder: Path,
    depth: int,
    width: int,
    *,
    logic: bool = False,
    pair: bool = False,
    halves: bool = False,
) -> tuple[design.Module, list[int]]:
    """A ROM of random words, mapped to ECP5 cells; and the words."""
    rng = np.random.default_rng(seed())
    words = [int.from_bytes(rng.bytes(8), "big") & (1 << width) - 1 for _ in range(depth)]
    if halves:  # one bit is 0 in the upper half of the words, another is 1
        words = [w if k < depth // 2 else w & ~1 | 2 for k, w in enumerate(words)]
    abits = max(1, (depth - 1).bit_length())
    readers = ("0", "1") if pair else ("",)
    ports, wires = [], []
    for reader in readers:
        ports += [f"input en{reader}", f"input [{abits - 1}:0] addr{reader}",
                  f"output [{width - 1}:0] data{reader}"]  # fmt: skip
        wires += [f".en{reader}(en{reader})", f".addr{reader}(addr{reader})",
                  f".data{reader}(data{reader})"]  # fmt: skip
    text = (
        f"`define LOGIC_ROM_BITS {depth * width if logic else 0}\n{rom.VERILOG}"
        f"module alone(input clk, {', '.join(ports)});\n"
        f"  rom{'_pair' if pair else ''} #(.WIDTH({width}), .DEPTH({depth}), .ABITS({abits}), "
        f'.FILE("rom/w.hex")) array(.clk(clk), {", ".join(wires)});\nendmodule\n'
    )
    (folder / "rom").mkdir()
    (folder / "rom/w.hex").write_text(rom.image(words, width))
    (folder / "design.v").write_text(text)
    job = yosys.synthesize_alone(folder / "design.v", "alone", folder / "rom")
    base.run(job, folder / "job", folder / "log")
    return design.read(folder / "job/netlist.json")["alone"], words


def numbers(words: np.ndarray) -> list[int]:
    return [sum(int(bit) << k for k, bit in enumerate(row)) for row in words]


@pytest.mark.parametrize("name", SHAPES)
def test_words_of_block_rams(name: str, tmp_path: Path) -> None:
    depth, width = SHAPES[name]
    module, words = synthesized(tmp_path, depth, width)
    read = evaluate.rom(module, depth)
    assert numbers(read.words) == words
    assert read.stray == ()


def test_words_of_luts_with_resets(tmp_path: Path) -> None:
    """Yosys makes a reset of an address bit above which a bit of the words has one value."""
    module, words = synthesized(tmp_path, 512, 4, logic=True, halves=True)
    registers = [cell for cell in module.cells.values() if cell.type == "TRELLIS_FF"]
    assert any(cell.bit("LSR") not in ("0", "x") for cell in registers)
    assert numbers(evaluate.rom(module, 512).words) == words


def test_words_of_luts(tmp_path: Path) -> None:
    module, words = synthesized(tmp_path, 300, 7, logic=True)
    assert not any(cell.type == "DP16KD" for cell in module.cells.values())
    assert numbers(evaluate.rom(module, 300).words) == words
    name, cell = next((n, c) for n, c in module.cells.items() if c.type == "LUT4")
    broken = replace(
        cell, parameters={**cell.parameters, "INIT": f"{cell.number('INIT') ^ 0xFFFF:016b}"}
    )
    changed = replace(module, cells={**module.cells, name: broken})
    assert numbers(evaluate.rom(changed, 300).words) != words


def test_words_behind_two_ports(tmp_path: Path) -> None:
    module, words = synthesized(tmp_path, 100, 16, pair=True)
    assert len(evaluate.ports(module)) == 2
    assert numbers(evaluate.rom(module, 100).words) == words


def test_columns_that_became_wires(tmp_path: Path) -> None:
    """In a hierarchy: outputs of a module that are constants, or one bit by two names."""
    words = [5 * (k & 3) + 16 * (k & 1) for k in range(40)]
    (tmp_path / "rom").mkdir()
    (tmp_path / "rom/w.hex").write_text(rom.image(words, 9))
    (tmp_path / "chip.v").write_text(
        f"{rom.VERILOG}module chip(input clk, input [5:0] a, output [8:0] d);\n"
        '  rom #(.WIDTH(9), .DEPTH(40), .ABITS(6), .FILE("rom/w.hex")) array'
        "(.clk(clk), .en(1'b1), .addr(a), .data(d));\nendmodule\n"
    )
    job = yosys.synthesize_chip(tmp_path / "chip.v", tmp_path / "rom")
    base.run(job, tmp_path / "job", tmp_path / "log")
    netlist = design.read(tmp_path / "job/netlist.json")
    item = {"name": "w", "class": "constant", "image": "rom/w.hex", "depth": 40}
    ((name, path, depth, module),) = memories.constants(netlist, {"memories": [item]})
    assert (name, path) == ("w", "array")
    assert numbers(evaluate.rom(module, depth).words) == words


def test_bits_that_no_address_reaches_are_told(tmp_path: Path) -> None:
    module, _ = synthesized(tmp_path, 40, 18)
    name, cell = next((n, c) for n, c in module.cells.items() if c.type == "DP16KD")
    broken = replace(cell, parameters={**cell.parameters, "INITVAL_3F": "1".rjust(320, "0")})
    read = evaluate.rom(replace(module, cells={**module.cells, name: broken}), 40)
    assert "1 bits are set that no address brings" in read.stray[0]


def test_a_rom_that_is_written_is_refused(tmp_path: Path) -> None:
    module, _ = synthesized(tmp_path, 40, 18)
    name, cell = next((n, c) for n, c in module.cells.items() if c.type == "DP16KD")
    pins = {**cell.pins, "WEA": ("1",), "CEA": ("1",)}
    broken = replace(module, cells={**module.cells, name: replace(cell, pins=pins)})
    with pytest.raises(design.EvidenceError, match="writes"):
        evaluate.rom(broken, 40)


def test_contents_survive_a_configuration() -> None:
    from flow.evidence.trellis import Config, with_blocks  # noqa: PLC0415  # beside its use

    rng = np.random.default_rng(seed())
    old, new = (rng.integers(0, 512, block_ram.BYTES) for _ in range(2))
    text = ".device LFE5U-25F\n\n.bram_init 7\n" + "000 " * 8 + "\n"
    text = with_blocks(text, {7: old})
    assert np.array_equal(Config(text).blocks[7], old)
    assert np.array_equal(Config(with_blocks(text, {7: new})).blocks[7], new)
    with pytest.raises(design.EvidenceError, match="has 8 bytes"):
        _ = Config(".bram_init 1\n000 000 000 000 000 000 000 000\n").blocks
