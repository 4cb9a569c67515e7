"""Metrics, checks and the page of a chip with a layout, on results of stages."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from flow import checks, config
from flow.report import page
from flow.silicon import measure, target
from tests.flow import chips


def corner(setup: float, hold: float) -> dict[str, Any]:
    """Timing at one corner."""
    path = [["dff_x1", "g1/q", 0.3], ["nand2_x0", "g2/nq", 0.1]]
    return {"setup_ns": setup, "hold_ns": hold, "worst_ns": setup, "path": path}


PARTS: dict[str, Any] = {
    "cells": {"yosys": "0.70", "cells": 90, "area_um2": 900.0, "units": {}},
    "place": {
        "coriolis": "2.5.4",
        "tries": [],
        "chosen": {"utilization": 0.6, "rows": 10, "wires_um": 5000.0, "open_segments": 0},
    },
    "finish": {
        "core_um": [60.0, 60.8], "die_um": [61.0, 61.0], "cells": 100, "fill_cells": 20,
        "units": {"matvec": {"cells": 100, "ff": 10, "area_um2": 1000.0, "colour": "#e69f00"}},
    },
    "lvs": {"match": True, "instances": [100, 100], "nets": [110, 110], "pins": [9, 9],
            "cells": {"nand2_x0": 90, "dff_x1": 10}, "mismatches": 0, "listed": [],
            "klayout": "0.30.12"},
    "drc": {"violations": 0, "by_rule": {}, "rules": 276, "klayout": "0.28.5"},
    "antenna": {"violations": 0, "by_layer": {}, "layers": 11, "listed": [], "klayout": "0.30.12"},
    "timing": {
        "opensta": "2.0.17", "period_ns": 40.0,
        "corners": {
            "tt_cells": corner(34.0, 0.3), "tt_wires": corner(33.0, 0.17),
            "ss_cells": corner(31.0, 0.5), "ss_wires": corner(29.0, 0.4),
            "ff_cells": corner(36.0, 0.2), "ff_wires": corner(35.5, 0.06),
        },
    },
    "power": {
        "clock_mhz": 25, "cycles": 1117, "steps": 8,
        "corners": {
            name: {"voltage": volts, "total_mw": 1.75, "switching": 0.5, "internal": 1.2,
                   "leakage": 0.05,
                   "units": {"matvec": {"switching": 0.5, "internal": 1.2, "leakage": 0.05}}}
            for name, volts in (("tt", 1.8), ("ss", 1.6), ("ff", 1.95))
        },
    },
}  # fmt: skip


def metrics(folder: Path, **changed: Any) -> dict[str, Any]:
    """``metrics.json`` of a layout; parts may be `changed`."""
    model = folder / "tiny.yaml"
    model.write_text(yaml.safe_dump({"checkpoint": "nowhere"}))
    where = folder / "sky130.yaml"
    where.write_text("kind: asic\n")
    return measure.collect(
        config.load_model(model), target.load(where), quality=chips.QUALITY,
        manifest=chips.MANIFEST, rtl=chips.RTL, netlist=chips.RTL, **{**PARTS, **changed},
    )  # fmt: skip


def check(found: dict[str, Any], name: str) -> checks.Check:
    """One of the verdicts."""
    return next(item for item in checks.judge(found) if item.name == name)


def test_setup_is_judged_at_the_slowest_and_hold_at_the_fastest_corner(tmp_path: Path) -> None:
    found = metrics(tmp_path)
    values = {name: item["value"] for name, item in found["metrics"].items()}
    assert values["timing__setup__ws"] == 29.0
    assert values["timing__hold__ws"] == 0.06
    assert values["timing__fmax"] == pytest.approx(1e3 / 11)
    assert check(found, "timing").detail.endswith("slack +29.00 ns at ss")
    assert check(found, "hold").detail.endswith("at ff")
    assert all(item.ok for item in checks.judge(found))
    late = copy.deepcopy(PARTS["timing"])
    late["corners"]["ff_wires"]["hold_ns"] = -0.01
    assert not check(metrics(tmp_path, timing=late), "hold").ok
    late["corners"]["ss_wires"]["setup_ns"] = -0.01
    assert not check(metrics(tmp_path, timing=late), "timing").ok


@pytest.mark.parametrize(
    ("part", "groups", "name"),
    [("drc", "by_rule", "design rules"), ("antenna", "by_layer", "antenna rules")],
)
def test_a_broken_rule_fails_its_check(part: str, groups: str, name: str, tmp_path: Path) -> None:
    broken = {**PARTS[part], "violations": 3, groups: {"m2": 2, "m1": 1}}
    verdict = check(metrics(tmp_path, **{part: broken}), name)
    assert not verdict.ok
    assert verdict.detail.endswith("the most of m2")
    nothing = {**PARTS[part], "rules" if part == "drc" else "layers": 0}
    assert not check(metrics(tmp_path, **{part: nothing}), name).ok


def test_the_page_shows_every_corner_and_the_antenna_rules(tmp_path: Path) -> None:
    text = page.render(metrics(tmp_path))
    assert text.count("of the layout</td>") == 3
    assert "Slowest path, ss, with wires" in text
    assert "antenna rules: violations, layers looked at" in text
    assert "0, 11" in text
    assert "tiles: laid out, stamped" not in text
    place = copy.deepcopy(PARTS["place"])
    place["chosen"]["tiles"] = {
        "tile0": {"drawn": "tile0", "cells": 50, "pins": 9},
        "tile1": {"drawn": "tile0", "cells": 50, "pins": 9},
        "tile2": {"drawn": "tile2", "cells": 40, "pins": 9},
    }
    tiled = page.render(metrics(tmp_path, place=place))
    assert 'tiles: laid out, stamped</td><td class="n">2, 3</td>' in tiled
