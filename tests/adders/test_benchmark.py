"""`benchmarks/constmatvec.py`: what each style hands to the tools."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest

from benchmarks.constmatvec import STYLES, weights


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("streams", [False, True])
def test_every_style_gives_its_top_module(style: str, streams: bool) -> None:
    options = Namespace(streams=streams, tries=1, levels=2)
    design = STYLES[style](weights("int4", 4, 3, 0), options)
    assert f"module {design.top}(" in design.verilog
    assert design.latency > 0


def test_weights_fill_their_range() -> None:
    assert np.unique(weights("ternary", 8, 8, 0)).tolist() == [-1, 0, 1]
    assert abs(weights("int4", 8, 8, 0)).max(axis=1).tolist() == [7] * 8
    assert abs(weights("int8", 8, 8, 0)).max(axis=1).tolist() == [127] * 8
