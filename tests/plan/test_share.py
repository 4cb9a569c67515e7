"""One rule for what goes to LUTs: narrow multipliers and small ROMs first, as few as will do."""

from __future__ import annotations

from typing import Any

import pytest

from flow import mapping
from flow.ecp5 import Resources
from rtl_gen.plan.cost import LogicShare, least
from rtl_gen.plan.folding import BLOCK_RAM_SHARE

PRODUCTS = {4: 10, 8: 20, 16: 5}
ROMS = {100: 1, 2000: 3, 40000: 8}


def used(share: LogicShare) -> tuple[float, float]:
    return (
        sum(count for bits, count in PRODUCTS.items() if bits > share.product_bits),
        sum(count for bits, count in ROMS.items() if bits > share.rom_bits),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("dsp", "ebr", "share"),
    [
        (35, 13, LogicShare(0, 0)),
        (34, 13, LogicShare(4, 0)),
        (5, 13, LogicShare(8, 0)),
        (35, 11.5, LogicShare(0, 100)),
        (4, 8.5, LogicShare(16, 2000)),
        (0, 0, LogicShare(16, 40000)),
    ],
)
def test_the_least_that_fits(dsp: int, ebr: float, share: LogicShare) -> None:
    assert least(PRODUCTS, ROMS, used, dsp, ebr) == share


def test_placement_keeps_some_block_rams() -> None:
    assert least((), ROMS, used, 0, 12 / BLOCK_RAM_SHARE) == LogicShare()
    assert least((), ROMS, used, 0, 11.9 / BLOCK_RAM_SHARE) == LogicShare(0, 100)


def test_a_plan_may_give_memories_all_block_rams() -> None:
    assert least((), ROMS, used, 0, 12, 1.0) == LogicShare()
    assert least((), ROMS, used, 0, 11, 1.0) == LogicShare(0, 100)


def test_the_flow_follows_it() -> None:
    rom = {"class": "constant", "ports": 1, "copies": 1, "width": 18, "depth": 1024}
    manifest: dict[str, Any] = {
        "products": [{"a": 8, "b": 4, "count": 10}, {"a": 16, "b": 8, "count": 4}],
        "memories": [rom, {**rom, "depth": 64}, {**rom, "class": "state", "ports": 1}],
    }
    assert mapping.choose(manifest, Resources(dsp=14, ebr=4)) == LogicShare()
    assert mapping.choose(manifest, Resources(dsp=13, ebr=4)) == LogicShare(4, 0)
    assert mapping.choose(manifest, Resources(dsp=4, ebr=3)) == LogicShare(4, 18 * 64)
    half = {**manifest, "plan": {"block_rams": 0.5}}
    assert mapping.choose(half, Resources(dsp=14, ebr=4)) == LogicShare(0, 18 * 64)
    assert mapping.enlarge(LogicShare(4, 7), manifest) == LogicShare(8, 7)
    assert mapping.enlarge(LogicShare(8, 7), manifest) is None
