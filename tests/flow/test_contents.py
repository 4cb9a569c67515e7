"""A chip mapped with ROMs of no meaning and filled afterwards, against what Yosys would read."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow import contents, files, filling
from flow.evidence import design, evaluate
from flow.tools import base, yosys, yosys_rom
from rtl_gen.errors import FlowError
from rtl_gen.fabric import rom
from tests.harness import seed

LOGIC_BITS = 300
SHAPES = {
    "bytes": (700, 9), "halves": (40, 18), "wide": (90, 50), "deep": (2100, 18), "least": (4, 100),
    "tables": (24, 3), "rows": (100, 3), "few": (5, 2), "pair": (520, 18),
}  # fmt: skip
"""Depth and width; those of `LOGIC_BITS` and less become tables, ``pair`` has two readers."""


def _words(name: str) -> list[int]:
    depth, width = SHAPES[name]
    rng = np.random.default_rng([seed(), *name.encode()])
    words = [int.from_bytes(rng.bytes(16), "big") & (1 << width) - 1 for _ in range(depth)]
    # Columns that Yosys would make wires: one is 0 throughout, another 1.
    return [word & ~1 | 2 for word in words]


def _verilog() -> str:
    ports, body = ["input clk"], ""
    for name, (depth, width) in SHAPES.items():
        abits = (depth - 1).bit_length()
        wires = ""
        for reader in "01" if name == "pair" else ("",):
            ports += [f"input [{abits - 1}:0] a_{name}{reader}",
                      f"output [{width - 1}:0] d_{name}{reader}"]  # fmt: skip
            wires += (f", .en{reader}(1'b1), .addr{reader}(a_{name}{reader}), "
                      f".data{reader}(d_{name}{reader})")  # fmt: skip
        kind = "rom_pair" if name == "pair" else "rom"
        body += (f"  {kind} #(.WIDTH({width}), .DEPTH({depth}), .ABITS({abits}), "
                 f'.FILE("rom/{name}.hex")) {name}(.clk(clk){wires});\n')  # fmt: skip
    return f"{rom.VERILOG}module chip({', '.join(ports)});\n{body}endmodule\n"


def _images(folder: Path, words: dict[str, list[int]]) -> None:
    files.write_folder(folder, {f"{n}.hex": rom.image(w, SHAPES[n][1]) for n, w in words.items()})


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Modules of a design of ROMs, mapped without meaning and filled."""
    folder = tmp_path_factory.mktemp("contents")
    (folder / "chip.v").write_text(_verilog())
    words = {name: _words(name) for name in SHAPES}
    _images(folder / "rom", {n: contents.empty(n, w, d) for n, (d, w) in SHAPES.items()})
    masks = {name: contents.mask(name, SHAPES[name][1], words[name]) for name in SHAPES}
    _images(folder / "images/mask", masks)
    _images(folder / "images/sum", {n: contents.added(masks[n], words[n]) for n in SHAPES})
    job = yosys.synthesize_chip(
        folder / "chip.v", folder / "rom", {"LOGIC_ROM_BITS": LOGIC_BITS}, tables=True
    )
    base.run(job, folder / "job", folder / "log")
    found: dict[str, Any] = json.loads((folder / "job/netlist.json").read_text())["modules"]
    memories = contents.memories(found)
    alone = yosys_rom.map_alone(folder / "chip.v", contents.alone(memories), folder / "images")
    base.run(alone, folder / "alone", folder / "log")
    mapped = json.loads((folder / "alone/roms.json").read_text())["modules"]
    values: dict[str, contents.Values] = dict(contents.of_blocks(found, mapped))
    for name, item in memories.items():
        if name not in values:
            values[name] = contents.of_tables(item, words[item.image.removesuffix(".hex")])
    filling.netlist(found, values)
    (folder / "filled.json").write_text(json.dumps({"modules": found}))
    return {"design": design.read(folder / "filled.json"), "raw": found, "values": values}


@pytest.mark.parametrize("name", SHAPES)
def test_a_filled_rom_gives_its_words(name: str, modules: dict[str, Any]) -> None:
    found = dict(design.instances(modules["design"], "chip"))[name]
    module = design.inlined(modules["design"], found)
    read = evaluate.rom(module, SHAPES[name][0])
    assert [sum(int(bit) << k for k, bit in enumerate(row)) for row in read.words] == _words(name)
    assert read.stray == ()


def test_small_roms_are_tables_and_large_ones_blocks(modules: dict[str, Any]) -> None:
    kinds = {item.image: item.kind for item in contents.memories(modules["raw"]).values()}
    tables = {name for name, (depth, width) in SHAPES.items() if depth * width <= LOGIC_BITS}
    assert {name for name in SHAPES if kinds[f"{name}.hex"] == "rom_in_logic"} == tables


def test_values_are_found_again_in_the_filled_netlist(modules: dict[str, Any]) -> None:
    assert contents.of_netlist(modules["raw"]) == modules["values"]


@pytest.mark.parametrize("words", [[0, 0, 0], [1, 1, 1, 1], [0, 1, 1], [1, 0, 0, 0]])
def test_neither_mask_nor_sum_has_a_constant_column(words: list[int]) -> None:
    mask = contents.mask("m", 1, words)
    assert len(set(mask)) == 2
    assert len(set(contents.added(mask, words))) == 2


def test_two_words_that_differ_have_no_mask() -> None:
    with pytest.raises(FlowError, match="no mask of 2 words"):
        contents.mask("m", 1, [0, 1])


@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
def test_a_table_follows_its_exchanged_inputs(order: tuple[int, ...]) -> None:
    """Entry e of the placed table is the one at which the inputs, so exchanged, are e."""
    table = 0x1234

    def exchanged(function: int) -> int:
        return sum(
            (function >> sum((entry >> k & 1) << order[k] for k in range(4)) & 1) << entry
            for entry in range(16)
        )

    text = (f".tile R42C2:PLC2\narc: A B\nword: SLICED.K0.INIT {exchanged(contents.EMPTY):016b}\n"
            f"word: SLICED.K1.INIT {7:016b}\n\n.tile R1C1:PLC2\n"
            f"word: SLICED.K0.INIT {9:016b}\n")  # fmt: skip
    cells = {"chip.t": {"attributes": {"NEXTPNR_BEL": "X2/Y42/SLICED.COMB0"}}}
    filled = filling.configuration(text, cells, {"chip.t": {"INIT": f"{table:016b}"}})
    place = f"{exchanged(contents.EMPTY):016b}"
    assert filled == text.replace(place, f"{exchanged(table):016b}")


def test_a_table_that_is_not_the_empty_one_is_refused() -> None:
    cells = {"chip.t": {"attributes": {"NEXTPNR_BEL": "X2/Y42/SLICED.COMB0"}}}
    text = f".tile R42C2:PLC2\nword: SLICED.K0.INIT {1:016b}\n"
    with pytest.raises(FlowError, match="no exchange of inputs makes"):
        filling.configuration(text, cells, {"chip.t": {"INIT": "0" * 16}})


def test_a_block_that_is_missing_is_refused() -> None:
    cells = {"chip.m": {"attributes": {"WID": "11"}}}
    values = {"chip.m": {f"INITVAL_{line:02X}": "0" for line in range(64)}}
    with pytest.raises(FlowError, match="no block 3"):
        filling.configuration(".bram_init 2\n000 \n", cells, values)
