"""The proved error bounds of ``docs/ir.md`` hold, and are no wider than they need to be."""

from __future__ import annotations

import pytest

from benchmarks.error_bounds import Error, errors
from tests.harness import seed

FOUND = errors(seed())


@pytest.mark.parametrize("found", FOUND, ids=lambda item: item.name)
def test_error_stays_within_its_bound(found: Error) -> None:
    assert 0.2 < found.tightness <= 1
    assert found.relative < 2.0**-9
