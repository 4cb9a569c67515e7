"""A board synthesized, placed and routed once, for two sets of words in its ROMs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from flow import config, contents, filling, fpga, mapping
from flow.evidence import design, memories, packing, structure, wire
from flow.evidence.trellis import Config, with_mode
from rtl_gen.fabric import rom
from rtl_gen.plan.cost import LogicShare
from tests.flow.test_tools import CONFIGS, DESIGNS
from tests.harness import seed

ROMS = {"weight": (18, 512), "identity": (8, 24)}
"""Width and depth; the second lies in LUTs."""

TOP = {
    "reg [16:0] beat": "reg [99:0] beat = START",
    "{beat[15:0], ftdi_txd}": "{beat[98:0], ftdi_txd}",
    ".i__payload(beat)": ".i__payload(beat[16:0])", ".i__valid(1'b1)": ".i__valid(beat[17])",
    ".o__ready(1'b1)": ".o__ready(beat[18])", "32'd1": "beat[50:19]",
    ".beta(16'd0)": ".beta(beat[66:51])", ".limit(16'd0)": ".limit(beat[82:67])",
    ".id_addr(beat[4:0])": ".id_addr(beat[87:83])", ".id_data()": ".id_data(id)",
    "answer[6:0]": "answer[6:0] ^ id[6:0]",
    "wire [16:0] answer": "wire [7:0] id; wire [16:0] answer",
}  # fmt: skip
"""The board, with a wire of its own at every input that something reads."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The design of `tests/flow/designs` with ROMs as the generator writes them, built twice."""
    found = tmp_path_factory.mktemp("filled")
    text = (DESIGNS / "chip.v").read_text()
    text = rom.VERILOG + re.sub(r"module rom .*?endmodule\n", "", text, flags=re.DOTALL)
    text = text.replace("  rom rom (.clk(clk), .address(count[8:0]), .data(weight));\n", (
        '  rom #(.WIDTH(18), .DEPTH(512), .ABITS(9), .FILE("rom/weight.hex")) weights'
        " (.clk(clk), .en(1'b1), .addr(count[8:0]), .data(weight));\n"
        "  wire [7:0] id;\n"
        '  rom #(.WIDTH(8), .DEPTH(24), .ABITS(5), .FILE("rom/identity.hex")) identity'
        " (.clk(clk), .en(1'b1), .addr(id_addr), .data(id));\n"
    )).replace("{3'd0, id_addr}", "id")  # fmt: skip
    (found / "rom").mkdir()
    (found / "chip.v").write_text(text)
    manifest = {"products": [], "memories": [
        {"name": name, "class": "constant", "image": f"rom/{name}.hex", "width": width,
         "depth": depth, "ports": 1, "copies": 1}
        for name, (width, depth) in ROMS.items()
    ]}  # fmt: skip
    (found / "manifest.json").write_text(json.dumps(manifest))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping, "choose", lambda *_: LogicShare(0, 200))
        for build in (1, 2):
            _build(found, build)
    return found


def words(name: str, build: int) -> list[int]:
    """Words of a ROM; in the first build two columns are the same throughout."""
    width, depth = ROMS[name]
    rng = np.random.default_rng([seed(), build, *name.encode()])
    found = [int(word) for word in rng.integers(0, 1 << width, depth)]
    return [word & ~2 | 1 for word in found] if build == 1 else found


def start(build: int) -> int:
    """What the board's registers begin with."""
    return int(np.random.default_rng([seed(), build]).integers(1, 1 << 62))


def _build(folder: Path, build: int) -> None:
    for name, (width, _) in ROMS.items():
        (folder / f"rom/{name}.hex").write_text(rom.image(words(name, build), width))
    top = (DESIGNS / "top.v").read_text()
    for old, new in TOP.items():
        assert old in top
        top = top.replace(old, new)
    bare = top.replace("START", "0")
    top = top.replace("START", f"100'd{start(build)}")
    target = config.load_target(CONFIGS / "targets/ulx3s_25f.yaml")
    out = folder / f"build/{build}"
    # The second build finds the first one's jobs, as a second run of the workflow does.
    if build == 2:
        (folder / "build/1").rename(out)
        (folder / "build/2/seed1/routed.json").rename(folder / "first.json")
        (folder / "build/2/seed1/top.config").rename(folder / "first.config")
        (folder / "build/2/netlist.json").rename(folder / "first.netlist.json")
    fpga.synthesize(folder / "chip.v", top, target, out, out / f"synthesize{build}.log", bare)
    fpga.place(out, target, "t", 1, out / "seed1", out / f"place{build}.log")
    if build == 2:
        for name in ("seed1/routed.json", "seed1/top.config", "netlist.json"):
            suffix = name.replace("seed1/", "").replace("routed.", "").replace("top.", "")
            (folder / f"second.{suffix}").write_text((out / name).read_text())


@pytest.mark.parametrize("build", ["first", "second"])
def test_what_was_filled_is_the_netlist_with_its_words(folder: Path, build: str) -> None:
    netlist = design.read(folder / f"{build}.netlist.json")
    routed = design.read(folder / f"{build}.json")["top"]
    placed = Config((folder / f"{build}.config").read_text())
    assert packing.compare(netlist, routed)[1] == []
    assert wire.compare(routed, placed)[1] == []
    assert [*memories.placed(routed, placed), *memories.moved(routed, placed.blocks)] == []
    manifest = json.loads((folder / "manifest.json").read_text())
    for read in (memories.of_netlist(netlist, manifest),
                 memories.of_routed(netlist, routed, manifest)):  # fmt: skip
        for name in ROMS:
            found = [sum(int(bit) << k for k, bit in enumerate(row)) for row in read[name]]
            assert found == words(name, 1 + (build == "second"))


@pytest.mark.parametrize("build", ["first", "second"])
def test_registers_of_the_board_begin_as_they_should(folder: Path, build: str) -> None:
    board = design.read(folder / "build/2/top.json")["top"]
    routed = design.read(folder / f"{build}.json")["top"]
    for place, bit in enumerate(board.nets["beat"][:88]):
        cell = routed.cells[board.drivers[bit][0]]
        wanted = start(1 + (build == "second")) >> place & 1
        assert cell.parameters["REGSET"].strip() == ("RESET", "SET")[wanted]


def test_another_reset_value_in_the_configuration_is_found(folder: Path) -> None:
    routed = design.read(folder / "first.json")["top"]
    text = (folder / "first.config").read_text()
    tile, name = next(key for key, mode in Config(text).modes.items() if mode == "SET")
    (finding,) = wire.compare(routed, Config(with_mode(text, tile, name, "RESET")))[1]
    assert "reset to another value" in finding


def test_a_board_with_other_cells_has_no_such_reset_values() -> None:
    cell = {"type": "TRELLIS_FF", "parameters": {"REGSET": "SET", "SD": "0"}, "connections": {}}
    other = {**cell, "parameters": {"REGSET": "RESET", "SD": "0"}}
    unlike = {**cell, "parameters": {"REGSET": "RESET", "SD": "1"}}

    def board(item: dict[str, object], name: str = "a") -> dict[str, object]:
        return {"cells": {name: item}, "netnames": {}}

    assert filling.resets(board(other), board(cell)) == {"a": {"REGSET": "SET"}}
    assert filling.resets(board(cell), board(cell)) == {}
    assert filling.resets(board(unlike), board(cell)) is None
    assert filling.resets(board(cell, "b"), board(cell)) is None


def test_it_was_placed_and_routed_once(folder: Path) -> None:
    out = folder / "build/2"
    assert "nothing to do" in (out / "place2.log").read_text()
    assert "nothing to do" in (out / "synthesize2.log").read_text()
    assert (folder / "first.config").read_text() != (folder / "second.config").read_text()


def test_only_words_and_tables_are_not_as_place_and_route_wrote_them(folder: Path) -> None:
    job = folder / "build/2/seed1/job"
    for build in ("first", "second"):
        assert structure.of_routed(folder / f"{build}.json") == structure.of_routed(
            job / "routed.json"
        )
        assert structure.of_config(folder / f"{build}.config") == structure.of_config(
            job / "top.config"
        )


def test_the_netlist_s_structure_does_not_depend_on_words(folder: Path) -> None:
    first, second = (structure.of_netlist(folder / f"{build}.netlist.json")
                     for build in ("first", "second"))  # fmt: skip
    assert first == second
    content = json.loads((folder / "first.netlist.json").read_text())
    mac = content["modules"]["mac"]["cells"]
    other = next(cell for cell in mac.values() if cell["type"] in ("TRELLIS_FF", "MULT18X18D"))
    other["parameters"]["CEMUX"] = "INV"
    (folder / "changed.json").write_text(json.dumps(content))
    assert structure.of_netlist(folder / "changed.json") != first


def test_the_roms_lie_where_they_should(folder: Path) -> None:
    modules = json.loads((folder / "first.netlist.json").read_text())["modules"]
    kinds = {item.image: item.kind for item in contents.memories(modules).values()}
    assert kinds == {"weight.hex": "rom_in_block", "identity.hex": "rom_in_logic"}
