"""The cost model: what is counted exactly, what is fitted, and how well."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rtl_gen.errors import UnsupportedError
from rtl_gen.plan.device import device
from rtl_gen.plan.fit import REFERENCE, Sample, fit, fit_samples, nnls
from rtl_gen.plan.memory import blocks
from rtl_gen.plan.resource import Resources, of_cells

FAMILIES = (REFERENCE, "nexus", "gatemate", "sky130")


def test_least_squares_without_negative_coefficients() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        a = rng.normal(size=(9, 4))
        b = a @ rng.normal(size=4) + rng.normal(size=9)
        found = nnls(a, b)
        # The best of all subsets whose own least squares has no negative coefficient.
        best = float(b @ b)
        for chosen in itertools.chain.from_iterable(
            itertools.combinations(range(4), n) for n in range(1, 5)
        ):
            x = np.linalg.lstsq(a[:, chosen], b, rcond=None)[0]
            if (x >= 0).all():
                best = min(best, float(((a[:, chosen] @ x - b) ** 2).sum()))
        assert (found >= 0).all()
        assert float(((a @ found - b) ** 2).sum()) == pytest.approx(best, rel=1e-6)


def test_block_rams_and_multipliers_are_counted_exactly() -> None:
    known = fit(REFERENCE)
    assert len(known.samples) > 60
    for sample in known.samples:
        found = known.part(sample.kind, sample.sizes)
        assert (found.ebr, found.dsp) == (sample.measured.ebr, sample.measured.dsp), sample


def test_block_rams_of_gatemate_are_counted_in_halves() -> None:
    known = fit("gatemate")
    measured = {known.part(s.kind, s.sizes).ebr == s.measured.ebr for s in known.samples}
    assert measured == {True}
    assert blocks(16, 256, "gatemate") == 0.5
    assert blocks(8, 16, "gatemate", written=True) == 0


def test_standard_cells_have_an_area_and_a_number() -> None:
    part = fit("sky130").part("rom", {"width": 16, "depth": 256})
    # Random contents: about 3 square micrometres a bit, cells of at least 9.
    assert 2 * 4096 < part.area < 4 * 4096
    assert 9.2416 * part.cells <= part.area
    assert device("sky130").counted == ("area", "cells")


@pytest.mark.parametrize("family", FAMILIES)
def test_fits_follow_their_samples(family: str) -> None:
    residuals = fit(family).residuals()
    assert residuals
    # Other families are scaled from the reference with few samples: a small part may be far off.
    if family == REFERENCE:
        assert all(item.median < 0.25 for item in residuals)
    else:
        assert np.median([item.median for item in residuals]) < 0.1


def test_large_parts_of_the_reference_fit_closely() -> None:
    large = {"const_matvec", "attention", "attention_head", "norm", "rotary", "requantize"}
    found = [r for r in fit(REFERENCE).residuals() if r.kind in large]
    assert {r.kind for r in found} == large
    assert max(r.worst for r in found) < 0.2


def test_a_fit_repeats_a_law_that_its_features_hold() -> None:
    rows = [Sample("skid", {"bits": n}, Resources(lut=6 + n, ff=2 + 2 * n)) for n in (8, 16, 50)]
    found = fit_samples(REFERENCE, rows, {}).part("skid", {"bits": 33})
    assert (found.lut, found.ff) == pytest.approx((39, 68))


def test_a_part_that_grows_takes_no_less() -> None:
    known = fit(REFERENCE)
    for sample in known.samples:
        before = known.part(sample.kind, sample.sizes)
        for name in set(sample.sizes) - {"lut_products", "bounded"}:
            after = known.part(sample.kind, {**sample.sizes, name: 2 * sample.sizes[name]})
            if sample.kind != "ram":  # a large one leaves the LUTs for blocks
                assert after.lut >= before.lut - 1e-9, (sample.kind, name)


def test_what_was_never_sampled_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no sample of a part of kind 'heater'"):
        fit(REFERENCE).part("heater", {})
    with pytest.raises(UnsupportedError, match="no samples of family 'virtex'"):
        fit("virtex")


def test_an_unknown_cell_is_not_counted_as_nothing() -> None:
    with pytest.raises(ValueError, match="ice40: unknown cell SB_SPRAM"):
        of_cells({"SB_LUT4": 3, "SB_SPRAM": 1}, "ice40")


@pytest.mark.parametrize(
    ("width", "depth", "written", "want"),
    [(36, 512, False, 1), (37, 512, False, 2), (128, 2048, False, 15), (9, 16384, False, 8),
     (21, 64, True, 1), (16, 64, True, 0), (16, 112, True, 1), (12, 80, True, 0),
     (20, 80, True, 1), (16, 128, True, 1), (1, 2, False, 1)],
)  # fmt: skip
def test_memories_become_blocks(width: int, depth: int, written: bool, want: int) -> None:
    assert blocks(width, depth, "ecp5", written=written) == want
