"""`flow.activity`, and the output ``active`` of generated chips."""

from __future__ import annotations

from flow import activity
from rtl_gen.activity import PARTS
from rtl_gen.space.chip import PARTS as PARTS_IN_SPACE


def test_a_cycle_belongs_to_the_first_active_part() -> None:
    counts = {0b000: 5, 0b001: 7, 0b110: 11, 0b111: 13, 0b100: 17}
    assert activity.attribute(["a", "b", "c"], counts) == {
        "a": 20, "b": 11, "c": 17, activity.CONTROL: 5,
    }  # fmt: skip


def test_every_part_has_a_title() -> None:
    named = {*PARTS, *PARTS_IN_SPACE, activity.CONTROL}
    assert set(activity.TITLES) == named
