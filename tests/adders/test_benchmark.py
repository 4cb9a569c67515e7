"""`benchmarks/constmatvec.py`: what each style hands to the tools."""

from __future__ import annotations

import re
from argparse import Namespace

import numpy as np
import pytest

from benchmarks.designs import STYLES, weights


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("streams", [False, True])
def test_every_style_gives_its_top_module(style: str, streams: bool) -> None:
    options = Namespace(
        style=style,
        streams=streams,
        tries=1,
        levels=2,
        digit=1,
        stack=4,
        stages=2,
        lanes=64,
        packed=False,
        rounds=0,
    )
    if style == "da4ml":
        pytest.importorskip("da4ml", reason="needs da4ml: pip install -e '.[benchmark]'")
    design = STYLES[style](weights("int4", 4, 3, 0), options)
    assert re.search(rf"module {design.top} ?\(", design.verilog)
    assert design.latency > 0


def test_weights_fill_their_range() -> None:
    assert np.unique(weights("ternary", 8, 8, 0)).tolist() == [-1, 0, 1]
    assert abs(weights("int4", 8, 8, 0)).max(axis=1).tolist() == [7] * 8
    assert abs(weights("int8", 8, 8, 0)).max(axis=1).tolist() == [127] * 8
