"""Arrivals behind events."""

from __future__ import annotations

import pytest
from amaranth import Signal

from rtl_gen.errors import UnsupportedError
from rtl_gen.space.wave import Arrival, Event, latest

BEGIN = Event("step", Signal())
ENDED = Event("attention", Signal(), BEGIN, 20)


def test_the_later_of_one_event_counts() -> None:
    assert latest([Arrival(BEGIN, 3), Arrival(BEGIN, 7)]) == Arrival(BEGIN, 7)


@pytest.mark.parametrize(("before", "cycles"), [(5, 2), (22, 2), (23, 3)])
def test_an_earlier_event_counts_from_the_later_one(before: int, cycles: int) -> None:
    assert latest([Arrival(BEGIN, before), Arrival(ENDED, 2)]) == Arrival(ENDED, cycles)


def test_events_that_do_not_follow_one_another_are_refused() -> None:
    other = Event("other", Signal(), BEGIN, 5)
    with pytest.raises(UnsupportedError, match="neither of which follows the other"):
        latest([Arrival(ENDED, 0), Arrival(other, 0)])
