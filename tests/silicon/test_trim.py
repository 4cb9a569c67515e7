"""Ends of wires that stand too near are trimmed, as far as their contacts let them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from flow.tools import base, environment, klayout

# Two wires of m2 on one track, each with a contact at its end, `gap` apart; and their contacts' m1.
DRAW = """
import sys
import klayout.db as kdb
gap, width, path = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
layout = kdb.Layout()
cell = layout.create_cell("drawn")
def box(number, kind, *corners):
    cell.shapes(layout.layer(number, kind)).insert(kdb.DBox(*corners))
half = width / 2
for away, start in ((-1, 0), (1, gap)):
    y0, y1 = sorted((start, start + away * 5))
    box(69, 20, -half, y0, half, y1)
    low, high = sorted((start + away * 0.085, start + away * 0.235))
    box(68, 44, -0.075, low, 0.075, high)
    box(68, 20, -0.185, low - 0.085, 0.185, high + 0.085)
layout.write(path)
"""


def finished(folder: Path, gap: float, width: float = 0.37) -> tuple[dict[str, int], float]:
    """Violations of design rules by rule, and the area of m2, after finishing."""
    if not environment.made("klayout") and not os.environ.get("CI"):
        pytest.skip("needs the environment klayout: a layout makes it, e.g. "
                    "`snakemake -c2 results/cartpole_mlp/sky130/checks.json`")  # fmt: skip
    folder.mkdir(exist_ok=True)
    python = environment.python("klayout")
    gds = folder / "drawn.gds"
    subprocess.run([python, "-I", "-c", DRAW, str(gap), str(width), str(gds)], check=True)
    plan = json.dumps({"top": "chip", "pixels": 20, "boxes": {}, "colours": {}})
    base.run(klayout.finish(gds, plan), folder / "finish", folder / "finish.log")
    chip = folder / "finish/chip.gds"
    base.run(klayout.rules(chip, "chip"), folder / "drc", folder / "drc.log",
             environment=klayout.environment_variables())  # fmt: skip
    found = klayout.violations((folder / "drc/rules.xml").read_text())
    program = (
        "import sys, klayout.db as kdb; layout = kdb.Layout(); layout.read(sys.argv[1]);"
        "area = kdb.Region(layout.top_cell().begin_shapes_rec(layout.layer(69, 20))).area();"
        "print(area * layout.dbu ** 2)"
    )
    said = subprocess.run([python, "-I", "-c", program, str(chip)], check=True,
                          capture_output=True, text=True).stdout  # fmt: skip
    return dict(found.by_rule), float(said)


def test_ends_that_are_far_enough_stay(tmp_path: Path) -> None:
    by_rule, area = finished(tmp_path, 0.14)
    assert "m2.2" not in by_rule
    assert area == pytest.approx(2 * 5 * 0.37)


def test_ends_too_near_are_trimmed_to_what_the_rule_wants(tmp_path: Path) -> None:
    by_rule, area = finished(tmp_path, 0.11)
    assert not {rule for rule in by_rule if rule.startswith(("m2", "via"))}
    assert area == pytest.approx((2 * 5 - 0.03) * 0.37)


def test_sides_are_no_ends(tmp_path: Path) -> None:
    by_rule, area = finished(tmp_path, 0.11, width=1.2)
    assert "m2.2" in by_rule
    assert area == pytest.approx(2 * 5 * 1.2)
