"""`flow.floorplan`: every block RAM gets a site of its own, neighbours' bits side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flow import ecp5, floorplan
from flow.floorplan import SITES, assign, pin


def rom(name: str, blocks: int) -> dict[str, dict[str, Any]]:
    """Blocks of a memory that is never written."""
    return {f"{name}.0.{k}": {"connections": {"DIA0": ["0"]}} for k in range(blocks)}


def cache(name: str, slices: int, banks: int) -> dict[str, dict[str, Any]]:
    """Blocks of a memory that is written, each slice's banks from the same wires."""
    return {
        f"{name}.0.{bank * slices + k}": {"connections": {"DIA0": [100 + k]}}
        for bank in range(banks)
        for k in range(slices)
    }


def blocks() -> dict[str, dict[str, Any]]:
    return {
        **rom("chip.matvec.weights.mem", 79),
        **cache("chip.attention.k.mem", 8, 5),
        **cache("chip.attention.v.mem", 8, 5),
        **rom("chip.lookup.table", 10),
        **rom("bridge.storage", 1),
    }


def xy(bel: str) -> tuple[int, int]:
    found = re.fullmatch(r"X(\d+)/Y(\d+)/EBR[0-3]", bel)
    assert found
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("device", SITES)
def test_a_device_has_as_many_sites_as_its_data_sheet_says(device: str) -> None:
    sites = SITES[device]
    assert len(set(sites.columns())) * len(sites.rows) == ecp5.CAPACITY[device].ebr


def test_every_block_has_a_site_of_its_own() -> None:
    found = assign(blocks(), "LFE5U-85F")
    assert found.keys() == blocks().keys()
    assert len(set(found.values())) == len(found)
    sites = SITES["LFE5U-85F"]
    known = {f"X{x}/Y{y}/EBR{k}" for x, k in sites.columns() for y in sites.rows}
    assert set(found.values()) <= known


def test_a_large_memory_lies_along_rows_in_the_order_of_its_bits() -> None:
    found = assign(blocks(), "LFE5U-85F")
    weights = [xy(found[f"chip.matvec.weights.mem.0.{k}"]) for k in range(79)]
    assert {y for _, y in weights} == {70, 82}
    assert [x for x, _ in weights] == sorted(x for x, _ in weights)
    banks = [xy(found[f"chip.attention.k.mem.0.{bank * 8}"])[0] for bank in range(5)]
    assert max(banks) - min(banks) < 30


def test_a_memory_goes_on_where_the_one_before_ends() -> None:
    large = {**rom("chip.matvec.weights.mem", 64), **cache("chip.attention.k.mem", 8, 5)}
    found = assign(large, "LFE5U-85F")
    ends = [xy(found[f"chip.matvec.weights.mem.0.{k}"]) for k in (0, 63)]
    keys = [xy(bel) for name, bel in found.items() if ".k.mem" in name]
    # 52 columns of two rows hold the first 104 blocks: 64 and all 40.
    assert {y for _, y in keys} == {70, 82}
    assert min(x for x, _ in keys) >= ends[1][0]


def test_what_does_not_fit_is_left_to_the_placer() -> None:
    assert assign(blocks() | rom("chip.other.mem", 60), "LFE5U-85F") == {}
    assert assign(rom("chip.other.mem", 60), "LFE5U-25F") == {}


def test_the_netlist_carries_the_sites(tmp_path: Path) -> None:
    cells = {n: {**c, "type": "DP16KD", "attributes": {}} for n, c in blocks().items()}
    cells["lut"] = {"type": "LUT4", "attributes": {}, "connections": {}}
    netlist = {"modules": {"top": {"attributes": {"top": "1"}, "cells": cells}}}
    source, pinned = tmp_path / "top.json", tmp_path / "pinned.json"
    source.write_text(json.dumps(netlist))
    assert pin(source, pinned, "LFE5U-85F")
    written = json.loads(pinned.read_text())["modules"]["top"]["cells"]
    places = assign(blocks(), "LFE5U-85F")
    assert {n: c["attributes"].get("BEL") for n, c in written.items()} == {**places, "lut": None}
    small = {"modules": {"top": {"attributes": {"top": "1"}, "cells": {}}}}
    source.write_text(json.dumps(small))
    assert not pin(source, tmp_path / "none.json", "LFE5U-85F")
    assert not (tmp_path / "none.json").exists()
    assert floorplan.BLOCK == "DP16KD"
