"""Accumulators of a chip with adapter regions hold the sums of any image."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from flow.evidence import ranges
from flow.evidence.design import Module
from rtl_gen.ir.adapter import regions
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.ir.types import IntType
from rtl_gen.plan import Plan
from rtl_gen.units import widths
from tests import checkpoints
from tests.chip.test_adapters import build


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> IntegerGraph:
    folder = tmp_path_factory.mktemp("ranges")
    return build(folder, checkpoints.tiny_gpt2, ("*.mlp.up",), 2, Plan(4, slots=2)).graph


def of_width(bits: int) -> dict[str, Module]:
    """The accumulators of an elaborated chip, and nothing else of it."""
    nets = {"acc0": [str(k) for k in range(bits)]}
    return {"matvec": Module("matvec", {}, frozenset(), {}, MappingProxyType(nets))}


def test_any_image_fits_the_accumulators(graph: IntegerGraph) -> None:
    findings, numbers = ranges.check(graph, of_width(widths(graph).acc))
    assert findings == []
    # both sums of every region: 8 columns of i8 by i8, and 2 of i8 by i8
    assert numbers["bits any adapter image needs"] == (8 * 128 * 128).bit_length() + 1


@pytest.mark.parametrize("change", [{"element": IntType(12)}, {"hidden": IntType(16), "rank": 64}])
def test_a_region_that_the_accumulators_cannot_hold_is_found(graph, change: dict) -> None:
    wide = widths(graph).acc
    name = regions(graph)[0][0].name
    nodes = tuple(
        replace(node, op=replace(node.op, **change)) if node.name == name else node
        for node in graph.nodes
    )
    findings, _ = ranges.check(replace(graph, nodes=nodes), of_width(wide))
    assert any(f"{name}: an adapter image can reach" in line for line in findings)
