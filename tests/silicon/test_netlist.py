"""Netlists of standard cells: units, ports, and the way through Coriolis and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from flow.silicon import cell, floorplan, netlist, timing
from flow.tools import coriolis, klayout, opensta
from rtl_gen.errors import FlowError, TargetError

STORED = Path(__file__).parent / "stored"
LIBRARY = cell.read(STORED / "library.json")


def port(direction: str, *bits: int | str) -> dict[str, Any]:
    return {"direction": direction, "bits": list(bits)}


def instance(kind: str, **pins: int | str) -> dict[str, Any]:
    return {"type": kind, "connections": {pin: [bit] for pin, bit in pins.items()}}


def design() -> netlist.Netlist:
    """Give `o__x[0]` a register of unit ``a``, `o__x[1]` a constant, `same` a copy of `o__x[0]`."""
    module = {
        "ports": {
            "clk": port("input", 2), "i__x": port("input", 3, 4), "o__x": port("output", 5, "1"),
            "same": port("output", 5),
        },
        "netnames": {
            "a.state": {"hide_name": 0, "bits": [5]},
            "noise": {"hide_name": 1, "bits": [6]},
        },
        "cells": {
            "$1": instance("nand2_x0", i0=3, i1=5, nq=6),
            "$2": instance("dff_x1", clk=2, i=6, q=5),
        },
    }  # fmt: skip
    return netlist.from_yosys({"modules": {"chip": module}}, "chip", LIBRARY)


def test_a_gate_belongs_to_the_unit_it_feeds() -> None:
    units = {gate.cell: gate.unit for gate in design().gates}
    assert units["dff_x1"] == "a"
    assert units["nand2_x0"] == "a"
    assert netlist.area_by_unit(design(), LIBRARY)["a"] == {
        "cells": 2, "ff": 1, "area_um2": pytest.approx(46.208 + 9.2416),
    }  # fmt: skip


def test_every_port_has_a_pin_of_its_own() -> None:
    gates = design().gates
    driven = {gate.pins["q"]: gate.cell for gate in gates if "q" in gate.pins}
    assert driven["o__x[0]"] == "dff_x1"
    assert driven["o__x[1]"] == driven["same"] == "buf_x1"
    assert [gate.cell for gate in gates if gate.pins.get("i") == "i__x[1]"] == ["diode_w1"]
    assert not netlist.undriven(design(), LIBRARY)


def test_a_net_without_a_driver_is_found() -> None:
    broken = dataclasses.replace(design(), gates=design().gates[1:])
    assert netlist.undriven(broken, LIBRARY) == ["n6"]


def test_a_cell_that_is_none_is_refused() -> None:
    module = {"ports": {}, "netnames": {}, "cells": {"m": instance("$mem_v2", A=2)}}
    with pytest.raises(FlowError, match=r"\$mem_v2"):
        netlist.from_yosys({"modules": {"chip": module}}, "chip", LIBRARY)


def test_a_layout_gives_the_netlist_back_with_what_was_added() -> None:
    mapped = design()
    placed = {"instances": [
        *({"name": f"subckt_{i}_{gate.cell}", "cell": gate.cell,
           "pins": {pin: netlist.alias(net).replace("[", "(").replace("]", ")")
                    for pin, net in gate.pins.items()}}
          for i, gate in enumerate(mapped.gates)),
        {"name": "spare_buffer_0", "cell": "buf_x4", "pins": {"i": "clk", "q": "clk_root"}},
        {"name": "feed_7", "cell": "tie", "pins": {}},
    ]}  # fmt: skip
    routed = netlist.routed(placed, mapped, LIBRARY)
    assert routed.gates[:-1] == mapped.gates
    assert routed.gates[-1].unit == netlist.CLOCK_TREE
    assert netlist.from_json(netlist.to_json(routed)) == routed
    placed["instances"].pop(0)
    with pytest.raises(FlowError, match="lost 1 gates"):
        netlist.routed(placed, mapped, LIBRARY)


def test_inputs_that_place_and_route_leaves_open_are_found() -> None:
    pins = {"clk": "clk", "i": "n1"}  # an output may be open
    placed = {"instances": [{"name": "f", "cell": "dff_x1", "pins": pins},
                            {"name": "t", "cell": "tie", "pins": {}}]}  # fmt: skip
    assert netlist.open_pins(placed, LIBRARY) == []
    del pins["clk"]
    assert netlist.open_pins(placed, LIBRARY) == ["f.clk"]


def test_two_ports_with_one_alias_are_refused() -> None:
    twins = netlist.Netlist("chip", {"a_b": "input", "a__b": "input"}, ())
    with pytest.raises(FlowError, match="a_b and a__b"):
        netlist.blif(twins)


def test_verilog_keeps_the_ports() -> None:
    text = netlist.verilog(design())
    assert "input [1:0] i__x;" in text
    assert "  dff_x1 g1 (.clk(clk), .i(n6), .q(o__x[0]));" in text


def test_pins_stand_on_tracks_within_their_side() -> None:
    ports = {"clk": "input"} | {f"i[{bit}]": "input" for bit in range(8)}
    gates = tuple(netlist.Gate(f"g{n}", "dff_x1", {}, "a") for n in range(40))
    plan = floorplan.plan(netlist.Netlist("chip", ports, gates), LIBRARY, 0.6, "clk")
    assert plan.width * plan.height >= 40 * 46.208 / 0.6
    west = [at for _, side, at in plan.pins if side == "west"]
    assert len(set(west)) == 8
    assert max(west) < plan.height
    assert all(abs(at / 0.46 - round(at / 0.46)) < 1e-6 for at in west)


@pytest.mark.parametrize(("cell", "pins", "filled"), [("dff_x1", 3, 0.6), ("nand2_x0", 3, 0.2828)])
def test_small_gates_get_room_for_their_wires(cell: str, pins: int, filled: float) -> None:
    gates = tuple(netlist.Gate(f"g{n}", cell, {f"p{k}": "n" for k in range(pins)}, "a")
                  for n in range(10))  # fmt: skip
    assert floorplan.part(netlist.Netlist("chip", {}, gates), LIBRARY, 0.6) == filled


def test_more_pins_than_a_side_holds_are_refused() -> None:
    ports = {"clk": "input"} | {f"i[{bit}]": "input" for bit in range(64)}
    small = netlist.Netlist("chip", ports, (netlist.Gate("g", "dff_x1", {}, "a"),))
    with pytest.raises(TargetError, match="64 pins"):
        floorplan.plan(small, LIBRARY, 0.6, "clk")


def test_wires_are_split_between_the_ends_of_a_net() -> None:
    wires = {name: [2.0, 10.0] for name in ("n6", "o_x(0)", "o_x(1)", "i_x(0)", "i_x(1)", "clk",
                                            "same", "tie1")}  # fmt: skip
    text = timing.spef(design(), LIBRARY, wires)
    section = text.split("*D_NET n6 ")[1].split("*END")[0]
    assert section.startswith("2.0000")
    assert "1 g0:nq 1.00000" in section
    assert "2 g1:i 1.00000" in section
    assert "1 g0:nq g1:i 5.0000" in section
    with pytest.raises(FlowError, match="no wires"):
        timing.spef(design(), LIBRARY, {})


def test_coriolis_says_how_much_is_routed() -> None:
    found = coriolis.metrics((STORED / "coriolis.log").read_text())
    assert found == coriolis.Routing(wires_um=191919.0, open_segments=0, bare_gates=0)
    refused = "Net n1 (rps:4)\n        Cannot find a diode nearby <id:1 RoutingPad>.\n"
    text = refused * 2 + (STORED / "coriolis.log").read_text()
    assert coriolis.metrics(text).bare_gates == 2
    with pytest.raises(ValueError, match="no completion"):
        coriolis.metrics("")


def test_violations_are_counted_by_rule() -> None:
    item = "<item><category>'m2.2'</category></item>"
    head = "<categories><category><name>m2.2</name></category></categories>"
    found = klayout.violations(
        f"<report-database>{head}<items>{item * 2}</items></report-database>"
    )
    assert found == klayout.Rules(2, {"m2.2": 2}, 1)
    with pytest.raises(ValueError, match="no rule"):
        klayout.violations("<report-database><items></items></report-database>")


def test_a_comparison_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no instance"):
        klayout.matches('{"instances": [0, 0], "cells": {}}')


def test_slack_and_path_are_read() -> None:
    path = "   0.50    0.50 ^ g1/q (dff_x1)\n   0.25    0.75 v g0/nq (nand2_x0)\n"
    part = f"{path}           0.75   data arrival time\n           19.00   slack (MET)\n"
    log = f"== setup\n{part}== hold\n{part}== outside\n{part}== end\n"
    found = opensta.metrics(log)
    assert found.setup_ns == found.hold_ns == 19.0
    assert found.path[1] == ("nand2_x0", "g0/nq", 0.25)
    with pytest.raises(ValueError, match="no path"):
        opensta.metrics("== setup\n== hold\n== end\n")
