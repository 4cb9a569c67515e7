"""Libraries of the cells as they ship, edges in a waveform, and the power that follows."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from benchmarks.cells import POINTS, worst
from flow.silicon import cell, power, table, toggles
from flow.silicon.netlist import Gate, Netlist
from flow.silicon.timing import SHIPPED
from rtl_gen.errors import FlowError

LIBRARY = cell.read(Path(__file__).parent / "stored/library.json")
PEER = Path(__file__).parents[3] / "shared/pdk/c4m_sky130"
CORNERS = sorted(path.stem for path in (SHIPPED / "c4m_sky130").glob("*.lib"))


def shipped(corner: str) -> table.Liberty:
    return table.read(SHIPPED / "c4m_sky130" / f"{corner}.lib")


@pytest.mark.parametrize("corner", CORNERS)
def test_the_shipped_library_has_every_cell_that_is_used(corner: str) -> None:
    used = {name for name, item in LIBRARY.cells.items() if item.usable}
    assert shipped(corner).cells.keys() == used


def test_corners_are_in_order_of_speed() -> None:
    libraries = [shipped(corner) for corner in ("ss", "tt", "ff") if corner in CORNERS]
    for name in libraries[0].cells:
        delays = [worst(item, item.cells[name], 0.15, 0.01) for item in libraries]
        for arc in delays[0]:
            found = [delay[arc] for delay in delays]
            assert found == sorted(found, reverse=True), (name, arc)
            assert found[-1] > 0


@pytest.mark.parametrize("ours", CORNERS)
def test_delays_are_near_those_of_another_library_of_the_cells(ours: str) -> None:
    if not PEER.is_dir():
        pytest.skip("needs ../shared/pdk/c4m_sky130")
    theirs = {"tt": "nom", "ss": "slow", "ff": "fast"}[ours]
    mine, other = shipped(ours), table.read(PEER / f"StdCellLib_{theirs}.lib")
    ratios = []
    for name in mine.cells.keys() & other.cells.keys():
        for point in POINTS:
            known = worst(other, other.cells[name], *point)
            found = worst(mine, mine.cells[name], *point)
            ratios += [found[arc] / known[arc] for arc in found.keys() & known.keys()]
    assert len(ratios) > 200
    assert 0.5 < median(ratios) < 1.5


def test_a_table_is_read_between_and_beyond_its_places(tmp_path: Path) -> None:
    path = tmp_path / "a.lib"
    path.write_text("""library (a) { time_unit : "1ps"; capacitive_load_unit (1, ff); /* ( */
      nom_voltage : 1.8; lu_table_template (t) { index_1 ("10, 20"); index_2 ("1, 3"); }
      cell (c) { pin (q) { timing () { cell_rise (t) { values ("1, 3", \\
        "2, 4"); } } } } }""")
    found = table.read(path)
    (timing,) = next(found.cells["c"].each("pin")).each("timing")
    values = found.table(timing.groups[0], scale=found.time_ns)
    assert values.at(0.015, 0.002) == pytest.approx(0.0025)
    assert values.at(0.010, 0.005) == pytest.approx(0.005)
    (tmp_path / "b.lib").write_text("module c; endmodule")
    with pytest.raises(FlowError, match="not a Liberty library"):
        table.read(tmp_path / "b.lib")


def test_edges_of_bits_are_counted() -> None:
    text = """$scope module chip $end
$var wire 1 ! clk $end
$var wire 1 " \\n1/x $end
$var wire 3 # i__payload [2:0] $end
$enddefinitions $end
#0
0!
1"
b101 #
#1
1!
0"
b10 #
#2
0!
b0 #
"""
    found = toggles.read_vcd(text.splitlines(keepends=True))
    assert found["clk"] == (1, 1)
    assert found["n1/x"] == (0, 1)
    assert [found[f"i__payload[{n}]"] for n in range(3)] == [(0, 1), (1, 1), (0, 1)]


def test_power_is_energy_by_time() -> None:
    gates = (
        Gate("g0", "inv_x0", {"i": "a", "nq": "n"}, "first"),
        Gate("g1", "dff_x1", {"clk": "clk", "i": "n", "q": "q"}, "second"),
    )
    design = Netlist("chip", {"a": "input", "clk": "input", "q": "output"}, gates)
    wires = {"a": [1.0, 1.0], "n": [5.0, 1.0], "clk": [1.0, 1.0], "q": [3.0, 1.0]}
    library = shipped("tt")
    edges = {"a": [10, 10], "n": [10, 10], "clk": [100, 100], "q": [5, 5]}
    found = power.of_units(design, LIBRARY, library, wires, edges, 1e-6)
    pins = power._energies(LIBRARY.cells["dff_x1"], library)
    load = pins.capacitance["i"] + 0.005
    assert found["first"]["switching"] == pytest.approx(10 * load * 1.8**2 * 1e-12 / 1e-6 * 1e3)
    assert found["second"]["internal"] > 100 * 1e-12 * 0.02 / 1e-6 * 1e3
    still = power.of_units(design, LIBRARY, library, wires, dict.fromkeys(edges, (0, 0)), 1e-6)
    assert {unit["switching"] + unit["internal"] for unit in still.values()} == {0.0}
    assert all(unit["leakage"] > 0 for unit in still.values())
    twice = power.of_units(design, LIBRARY, library, wires, edges, 2e-6)
    assert twice["second"]["internal"] == pytest.approx(found["second"]["internal"] / 2)
