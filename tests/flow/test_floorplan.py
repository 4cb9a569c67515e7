"""`flow.floorplan`: every block RAM gets a site of its own, neighbours' bits side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flow import ecp5, floorplan
from flow.floorplan import SITES, assign, pin


def rom(name: str, blocks: int) -> list[str]:
    return [f"{name}.0.{k}" for k in range(blocks)]


def cache(name: str, slices: int) -> list[str]:
    """2560 words: four blocks of 2048 words and one of 512 for every slice."""
    banks = [(0, 4), (1, 1)]
    return [f"{name}.slice{s}_{b}.array.mem.0.{k}" for s in range(slices) for b, n in banks
            for k in range(n)]  # fmt: skip


def blocks() -> list[str]:
    return [
        *rom("chip.matvec.weights.mem", 64),
        *cache("chip.attention.k_cache", 8),
        *cache("chip.attention.v_cache", 8),
        *rom("chip.lookup.table", 10),
        *rom("bridge.storage", 1),
    ]


def multipliers() -> list[str]:
    heads = [f"chip.attention.head{h}.lane{k}.y_MULT18X18D_P" for h in range(8) for k in range(11)]
    return [*heads, "chip.norm.y_MULT18X18D_P"]


def xy(bel: str) -> tuple[int, int]:
    found = re.fullmatch(r"X(\d+)/Y(\d+)/(?:EBR|MULT18_)[0-5]", bel)
    assert found
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("device", SITES)
def test_a_device_has_as_many_sites_as_its_data_sheet_says(device: str) -> None:
    sites = SITES[device]
    assert len(set(sites.columns())) * len(sites.rows) == ecp5.CAPACITY[device].ebr


def test_every_block_has_a_site_of_its_own() -> None:
    found = assign(blocks(), "LFE5U-85F")
    assert found.keys() == set(blocks())
    assert len(set(found.values())) == len(found)
    sites = SITES["LFE5U-85F"]
    known = {f"X{x}/Y{y}/EBR{k}" for x, k in sites.columns() for y in sites.rows}
    assert set(found.values()) <= known


def test_a_large_memory_lies_along_two_rows_in_the_order_of_its_bits() -> None:
    found = assign(blocks(), "LFE5U-85F")
    weights = [xy(found[name]) for name in rom("chip.matvec.weights.mem", 64)]
    keys = [xy(found[name]) for name in cache("chip.attention.k_cache", 8)]
    assert {y for _, y in weights} == {70, 82}
    assert {y for _, y in keys} == {22}
    for places in (weights, keys):
        assert [x for x, _ in places] == sorted(x for x, _ in places)
    values = [xy(found[name]) for name in cache("chip.attention.v_cache", 8)]
    assert {y for _, y in values} == {46}
    for k in range(0, 40, 5):  # slices of keys and values side by side
        assert abs(keys[k][0] - values[k][0]) <= 4


def test_multipliers_of_copies_lie_beside_their_slices() -> None:
    places = assign(blocks(), "LFE5U-85F")
    found = floorplan.beside(multipliers(), places, "LFE5U-85F")
    assert found.keys() == set(multipliers()[:-1])
    assert len(set(found.values())) == len(found)
    sites = SITES["LFE5U-85F"]
    columns = sites.multiplier_columns()
    known = {f"X{x}/Y{y}/MULT18_{k}" for x, k in columns for y in sites.multipliers}
    assert len(known) == ecp5.CAPACITY["LFE5U-85F"].dsp
    assert set(found.values()) <= known
    for head in range(8):
        here = [xy(bel)[0] for n, bel in found.items() if f".head{head}." in n]
        slices = [xy(bel)[0] for n, bel in places.items() if f"_cache.slice{head}_" in n]
        assert abs(sum(here) / len(here) - sum(slices) / len(slices)) < 15
    assert floorplan.beside(multipliers(), assign(blocks(), "LFE5U-25F"), "LFE5U-25F") == {}


def test_what_does_not_fit_is_left_to_the_placer() -> None:
    assert assign([*blocks(), *rom("chip.other.mem", 60)], "LFE5U-85F") == {}
    assert assign(rom("chip.other.mem", 60), "LFE5U-25F") == {}


def test_the_netlist_carries_the_sites(tmp_path: Path) -> None:
    kinds = dict.fromkeys(blocks(), "DP16KD") | dict.fromkeys(multipliers(), "MULT18X18D")
    cells = {n: {"type": kind, "attributes": {}} for n, kind in {**kinds, "lut": "LUT4"}.items()}
    netlist = {"modules": {"top": {"attributes": {"top": "1"}, "cells": cells}}}
    source, pinned = tmp_path / "top.json", tmp_path / "pinned.json"
    source.write_text(json.dumps(netlist))
    assert pin(source, pinned, "LFE5U-85F")
    written = json.loads(pinned.read_text())["modules"]["top"]["cells"]
    places = assign(blocks(), "LFE5U-85F")
    places |= floorplan.beside(multipliers(), places, "LFE5U-85F")
    free = {"lut": None, multipliers()[-1]: None}
    assert {n: c["attributes"].get("BEL") for n, c in written.items()} == {**places, **free}
    small = {"modules": {"top": {"attributes": {"top": "1"}, "cells": {}}}}
    source.write_text(json.dumps(small))
    assert not pin(source, tmp_path / "none.json", "LFE5U-85F")
    assert not (tmp_path / "none.json").exists()
    assert floorplan.BLOCK == "DP16KD"
