"""One netlist cut into tiles: laid out apart, joined, compared and simulated as one chip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flow import files
from flow.silicon import hierarchy, layout, timing
from tests.silicon.test_chain import CHIP, TARGET, need_tools, simulate

CELLS = 450
"""Of 752; a tile's clock tree then has one node, which Coriolis leaves without a clock."""


@pytest.fixture(scope="module")
def chip(views: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the laid out chip."""
    need_tools()
    folder = tmp_path_factory.mktemp("cut")
    files.write(folder / "rtl/chip.v", CHIP)
    layout.synthesize(folder / "rtl/chip.v", views, folder, folder / "map.log")
    hierarchy.place(folder / "mapped.json", replace(TARGET, tile_cells=CELLS), "cut.yaml", views,
                    folder, folder / "place.log", jobs=2)  # fmt: skip
    layout.compare(folder / "chip.gds", folder / "layout.json", views, folder / "lvs.json",
                   folder / "lvs.log")  # fmt: skip
    return folder


def test_tiles_of_one_netlist_are_clean_and_match(chip: Path) -> None:
    chosen = files.read_json(chip / "place.json")["chosen"]
    assert len(chosen["tiles"]) == 2
    assert all(item["cells"] < CELLS for item in chosen["tiles"].values())
    assert chosen["open_segments"] == 0
    assert files.read_json(chip / "drc.json")["violations"] == 0
    assert files.read_json(chip / "antenna.json")["violations"] == 0
    assert files.read_json(chip / "lvs.json")["match"]


def test_their_gates_do_what_the_verilog_says(chip: Path, views: Path) -> None:
    said = simulate(chip / "sim_rtl", chip / "rtl/chip.v")
    assert len(set(said.split())) > 100
    assert simulate(chip / "sim_gates", chip / "netlist.v", views / "cells.v") == said


def test_hold_is_met_where_it_is_decided(chip: Path, views: Path) -> None:
    timing.analyze(replace(TARGET, corners=("ff",)), views, chip, chip / "timing.json",
                   chip / "timing.log")  # fmt: skip
    found = files.read_json(chip / "timing.json")["corners"]["ff_wires"]
    assert found["hold_ns"] > 0
