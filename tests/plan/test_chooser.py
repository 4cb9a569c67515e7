"""The chooser: legal plans, objectives, pins, and what it says when nothing fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtl_gen import emit
from rtl_gen.errors import ConfigError
from rtl_gen.ir.verify import verify
from rtl_gen.plan import chooser, explain, style
from rtl_gen.plan.chooser import OBJECTIVES, Pins, Search
from rtl_gen.plan.cost import LogicShare
from rtl_gen.plan.device import DEVICES, Device, device
from rtl_gen.plan.folding import Plan
from rtl_gen.plan.part import of_chip
from rtl_gen.plan.resource import Resources
from rtl_gen.plan.sketch import Sketch
from rtl_gen.plan.whatif import with_context, with_weight_bits
from tests import graphs

LARGE = device("LFE5U-85F")


@pytest.fixture(scope="module")
def found() -> Search:
    return chooser.search(graphs.language(vocabulary=12), (LARGE,))


def tight(room: Resources) -> Device:
    return Device("tight", "ecp5", room, "test")


def test_every_plan_of_the_network_is_there(found: Search) -> None:
    plans = {item.plan for item in found.candidates}
    assert {p.elements for p in plans} == {1, 2}  # 4 do not divide half a head
    assert {p.heads for p in plans} == {1, 2}
    assert any("half a head" in why or "beats" in why for why in found.refused.values())


def test_objectives_find_the_extremes(found: Search) -> None:
    fitting = found.fitting()
    chosen = {name: chooser.best(found, name) for name in OBJECTIVES}
    assert None not in chosen.values()
    cycles = min(item.cycles.average for item in fitting)
    assert chosen["rate"].cycles.average == cycles  # type: ignore[union-attr]
    assert chosen["area"] == min(fitting, key=found.cost)
    assert chosen["latency"].cycles.last == min(c.cycles.last for c in fitting)  # type: ignore[union-attr]
    assert found.cost(chosen["area"]) <= found.cost(chosen["balance"])  # type: ignore[arg-type]


def test_no_point_of_the_front_is_beaten(found: Search) -> None:
    front = chooser.pareto(found)
    assert len(front) > 2
    for item in front:
        assert not any(
            found.cost(c) < found.cost(item) and c.cycles.average <= item.cycles.average
            for c in found.candidates
        )


def test_pins_are_kept(found: Search) -> None:
    for pins in (Pins(lanes=2), Pins(elements=2), Pins(heads=2), Pins(4, 1, 1)):
        item = chooser.best(found, "rate", pins=pins)
        assert item is not None
        assert pins.allow(item.plan)


def test_a_pin_that_the_network_refuses_says_why(found: Search) -> None:
    with pytest.raises(ConfigError, match="heads must be one of 1, 2"):
        explain.nearest(found, Pins(heads=3))


def test_lanes_move_to_luts_where_multipliers_are_few(found: Search) -> None:
    room = Resources(lut=50_000, ff=50_000, ebr=200, dsp=16)
    few = chooser.search(graphs.language(vocabulary=12), (tight(room),), Pins(32, 1, 1)).candidates[
        0
    ]
    many = next(c for c in found.candidates if c.plan == few.plan)
    assert few.costs[0].share.product_bits == 8
    assert many.costs[0].share == LogicShare()
    assert few.costs[0].total.dsp < many.costs[0].total.dsp
    assert few.costs[0].total.lut > many.costs[0].total.lut


def test_a_network_that_does_not_fit_says_how_to_make_it_fit() -> None:
    graph = graphs.language(4096, 12)
    least = explain.nearest(chooser.search(graph, (LARGE,), Pins(4, 1, 1)), Pins())
    total = least.costs[0].total
    # Two blocks short, and no logic to spare that could hold a ROM.
    small = tight(Resources(total.lut + 1, total.ff * 2, total.ebr - 2, 200))
    pins = Pins(4, 1, 1)
    found = chooser.search(graph, (small,), pins)
    assert chooser.best(found, "area", 1.0) is None
    lines = explain.misfit(graph, found, pins, 1.0)
    text = "\n".join(lines)
    assert "too many" in text
    assert "most in" in text
    # The context it names does fit.
    (line,) = [line for line in lines if "context of" in line]
    context = int(line.split("context of ")[1].split()[0])
    shorter = chooser.search(with_context(graph, context), (small,), pins)
    assert chooser.best(shorter, "area", 1.0) is not None


def test_changed_networks_keep_the_rules() -> None:
    graph = graphs.language(64, 12)
    shorter, narrower = with_context(graph, 16), with_weight_bits(graph, 3)
    verify(shorter)
    verify(narrower)
    assert shorter.context == 16
    widths = {t.name: t.bits for t in explain.tensors(narrower)}
    assert set(widths.values()) == {3}


@pytest.mark.parametrize("plan", [Plan(4), Plan(4, 2), Plan(8, 2, 2)])
def test_a_sketch_has_the_sizes_of_the_chip(plan: Plan) -> None:
    graph = graphs.language(vocabulary=12)
    real, sketch = (emit.design(graph, plan, kind) for kind in (emit.Images, Sketch))
    assert of_chip(real.chip) == of_chip(sketch.chip)
    assert {n: len(i.words) for n, i in real.contents.roms.items()} == {
        n: len(i.words) for n, i in sketch.contents.roms.items()
    }


def test_devices_are_named_or_refused() -> None:
    assert device("sky130:2.5").room.area == pytest.approx(2.5e6)
    with pytest.raises(ConfigError, match="did you mean LFE5U-85F"):
        device("LFE5U-86F")
    with pytest.raises(ConfigError, match="the area of cells in mm²"):
        device("sky130:large")
    assert all(item.source for item in DEVICES.values())


def test_utilization_is_a_limit(found: Search) -> None:
    item = chooser.best(found, "rate", 0.1)
    assert item is not None
    assert 0.02 < item.costs[0].total.lut / LARGE.room.lut <= 0.1
    assert chooser.best(found, "rate", 0.001) is None
    assert replace(found, candidates=()).fitting() == []


def test_pinned_styles_are_built_and_counted() -> None:
    graph = graphs.language(vocabulary=12)
    styles = style.pinned(graph, {"*": "rom", "gate.weight": "serial", "logits*": "parallel"})
    assert dict(styles) == {"gate.weight": "serial", "logits.weight": "parallel"}
    found = chooser.search(graph, (LARGE,), Pins(4, 1, 1, styles=styles))
    (item,) = found.candidates
    plain = chooser.search(graph, (LARGE,), Pins(4, 1, 1)).candidates[0]
    assert item.costs[0].units["etched"].lut > 100
    assert item.costs[0].total.lut > plain.costs[0].total.lut
    assert style.table(graph, item.plan, dict(styles))["gate.weight"][0] == "serial"
    with pytest.raises(ConfigError, match=r"'mlp\.\*' matches no matrix"):
        style.pinned(graph, {"mlp.*": "serial"})
