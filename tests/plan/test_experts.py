"""Plans of mixtures of experts: what is counted, and experts on the lanes or wired apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flow import planning
from flow.config import Plan as Wanted
from rtl_gen import emit
from rtl_gen.golden import interpreter
from rtl_gen.ir import integer as ir
from rtl_gen.plan import chooser, explain, style, style_choice
from rtl_gen.plan.chooser import Pins
from rtl_gen.plan.device import device
from rtl_gen.plan.folding import Plan
from rtl_gen.plan.part import of_chip
from rtl_gen.plan.sketch import Sketch
from tests.chip.test_experts import graph_of

LARGE = device("LFE5U-85F")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ir.IntegerGraph:
    return graph_of("top_2_of_4", Path(tmp_path_factory.mktemp("mixtral")))


def slots(graph: ir.IntegerGraph) -> list[str]:
    return [name for name in style.matrices(graph) if ".slots." in name]


def test_routers_and_experts_are_counted(graph: ir.IntegerGraph) -> None:
    (item,) = chooser.search(graph, (LARGE,), Pins(4, 2, 1)).candidates
    assert item.costs[0].units["route"].lut > 400
    assert item.costs[0].units["route"].dsp == 2
    sizes = {tensor.name: tensor for tensor in explain.tensors(graph)}
    for name in slots(graph):
        # two of four experts work
        assert sizes[name].size == 2 * sizes[name].products
    assert set(slots(graph)) <= set(sizes)


def test_chips_with_and_without_windows_and_sinks_are_counted(
    graph: ir.IntegerGraph, tmp_path: Path
) -> None:
    with_sinks = graph_of("windows_and_sinks", tmp_path)
    pins = Pins(4, 2, 1)
    found = [chooser.search(g, (LARGE,), pins).candidates[0] for g in (graph, with_sinks)]
    assert all(item.costs[0].units["attention"].lut > 100 for item in found)


def test_a_sketch_has_the_sizes_of_a_chip_with_experts(graph: ir.IntegerGraph) -> None:
    real, sketch = (emit.design(graph, Plan(4, 2), kind) for kind in (emit.Images, Sketch))
    assert of_chip(real.chip) == of_chip(sketch.chip)


def test_experts_in_space_cost_all_and_save_the_chosen_ones(graph: ir.IntegerGraph) -> None:
    name = slots(graph)[0]
    costs = style.of_matrix(graph, style.matrices(graph)[name], Plan(4, 2))
    one = replace(graph.constants[name], data=graph.constants[name].data[0])
    x = graph.value(style.matrices(graph)[name].inputs[0]).type
    alone = style.alternatives(one.data, one.type.width, x.width, Plan(4, 2))
    assert costs["serial"].lut > 3 * alone["serial"].lut
    assert costs["rom"].cycles == alone["rom"].cycles


def test_auto_moves_experts_only_where_that_pays(graph: ir.IntegerGraph) -> None:
    found = chooser.search(graph, (LARGE,), Pins(1, 1, 1))
    (item,) = found.candidates
    moved = {
        aim: style_choice.choose(graph, found, item, aim, 0.9, slots(graph))
        for aim in ("rate", "area")
    }
    assert moved["area"] == {}
    assert moved["rate"]
    assert set(moved["rate"].values()) <= {"serial", "parallel"}
    # a device without room for them keeps them on the lanes
    assert style_choice.choose(graph, found, item, "rate", 0.05, slots(graph)) == {}


def test_the_planner_builds_what_auto_chose_and_says_why(graph: ir.IntegerGraph) -> None:
    wanted = Wanted(lanes=1, elements=1, heads=1, styles={"*.slots.*": "auto"}, top_k=0,
                    objective="rate", utilization=0.9)  # fmt: skip
    plan, report = planning.choose(graph, wanted, [(LARGE, 50.0)])
    assert plan.styles
    assert set(dict(plan.styles)) <= set(slots(graph))
    told = {item["name"]: item for item in report["tensors"]}
    for name, how in plan.styles:
        assert told[name]["style"] == how
        assert "of its own" in told[name]["why"]
    kept = planning.choose(graph, replace(wanted, styles={}), [(LARGE, 50.0)])[1]
    assert report["chosen"]["cycles"]["average"] < kept["chosen"]["cycles"]["average"]
    # With more lanes the estimate proposes graphs that the whole chip is no faster with.
    many = planning.choose(graph, replace(wanted, lanes=4, elements=2), [(LARGE, 50.0)])[0]
    assert many.styles == ()


def test_experts_in_space_compute_what_golden_says_of_them(graph: ir.IntegerGraph) -> None:
    """Graphs of experts stand in the order in which the chip adds the choice to their number."""
    name = slots(graph)[0]
    made = emit.design(graph, Plan(4, 2, styles=((name, "serial"),)))
    weights = [item.weight for item in made.contents.etched]
    assert [w.tolist() for w in weights] == graph.constants[name].data.tolist()
    assert len(list(interpreter.generate(graph, [1], beta=0, seed=1, limit=2))) == 2
