"""Antenna rules, on a transistor with a wire."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from flow.tools import base, environment, klayout

# A gate of 0.15 um2 under a wire of 0.35 um in m1 and, beside it, a drain that the wire may reach.
DRAW = """
import sys
import klayout.db as kdb
length, drained, cuts, path = float(sys.argv[1]), sys.argv[2] == "1", int(sys.argv[3]), sys.argv[4]
layout = kdb.Layout()
cell = layout.create_cell("chip")
def box(number, kind, *corners):
    cell.shapes(layout.layer(number, kind)).insert(kdb.DBox(*corners))
box(65, 20, 0, 0, 1, 1)
box(66, 20, 0.4, -0.5, 0.55, 2.2)
for number, kind in ((66, 44), (67, 44)):
    box(number, kind, 0.39, 1.9, 0.56, 2.07)
for number in (66, 67):
    box(number, 20, 0.3, 1.8, 0.65, 2.2)
start = 0.3
if drained:
    box(65, 20, -2, 1.5, -1, 2.5)
    for number, kind in ((66, 44), (67, 44)):
        box(number, kind, -1.6, 1.9, -1.43, 2.07)
    box(67, 20, -1.8, 1.8, -1.2, 2.2)
    start = -1.8
box(68, 20, start, 1.8, start + length, 2.15)
for count in range(cuts):
    box(68, 44, 1 + 0.4 * count, 1.9, 1.15 + 0.4 * count, 2.05)
layout.write(path)
"""


def found(folder: Path, length: float, *, drained: bool = False, cuts: int = 0) -> dict[str, int]:
    """Violations by layer."""
    if not environment.made("klayout") and not os.environ.get("CI"):
        pytest.skip("needs the environment klayout: a layout makes it, e.g. "
                    "`snakemake -c2 results/cartpole_mlp/sky130/checks.json`")  # fmt: skip
    gds = folder / "drawn.gds"
    folder.mkdir(exist_ok=True)
    python = environment.python("klayout")
    said = [str(length), str(int(drained)), str(cuts), str(gds)]
    subprocess.run([python, "-I", "-c", DRAW, *said], check=True)
    base.run(klayout.antennas(gds), folder / "job", folder / "antenna.log")
    result = json.loads((folder / "job/antenna.json").read_text())
    assert result["layers"] == 11
    assert result["violations"] == sum(result["by_layer"].values()) == len(result["listed"])
    return dict(result["by_layer"])


def test_a_wire_may_have_400_times_its_gate(tmp_path: Path) -> None:
    longest = 400 * 0.15 / 0.35 / 2 - 0.35  # both long sides, and the ends
    assert found(tmp_path / "short", longest - 0.1) == {}
    assert found(tmp_path / "long", longest + 0.1) == {"m1": 1}


def test_a_drain_leads_charge_away(tmp_path: Path) -> None:
    longest = (2600 + 400 * 1.0) * 0.15 / 0.35 / 2 - 0.35
    assert found(tmp_path / "short", longest - 0.1, drained=True) == {}
    assert found(tmp_path / "long", longest + 0.1, drained=True) == {"m1": 1}


def test_contacts_count_by_their_area(tmp_path: Path) -> None:
    most = int(6 * 0.15 / 0.0225)
    assert found(tmp_path / "few", 50, cuts=most) == {}
    assert found(tmp_path / "many", 50, cuts=most + 1) == {"via": 1}
