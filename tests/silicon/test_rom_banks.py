"""A large ROM becomes banks of gates that share nothing, and still says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flow import files
from flow.silicon import cell, layout, netlist
from rtl_gen.fabric import rom
from tests.harness import seed
from tests.silicon.test_chain import simulate

CHIP = (
    rom.VERILOG
    + """
module chip(clk, addr, data);
  input clk;
  input [9:0] addr;
  output [7:0] data;
  rom #(.WIDTH(8), .DEPTH(%d), .ABITS(10), .FILE("rom/table.hex"))
    table_(.clk(clk), .en(1'b1), .addr(addr), .data(data));
endmodule
"""
)
BENCH = """module bench;
  reg clk = 0;
  reg [9:0] addr = 0;
  wire [7:0] data;
  integer k;
  chip chip(.clk(clk), .addr(addr), .data(data));
  initial for (k = 0; k <= %d; k = k + 1) begin
    addr = k;
    #1 clk = 1;
    #1 clk = 0;
    if (k >= 1) $display("%%h", data);
  end
endmodule
"""
BANK = {f"addr[{bit}]" for bit in range(7)}
"""What chooses one of the 128 words of a bank."""


@pytest.mark.parametrize(("depth", "groups"), [(600, 5), (512, 1)])
def test_a_large_rom_is_gates_in_banks_that_say_the_same(
    depth: int, groups: int, views: Path, tmp_path: Path
) -> None:
    words = np.random.default_rng(seed()).integers(256, size=depth).tolist()
    for folder in (tmp_path / "rtl", tmp_path / "sim_rtl"):
        files.write(folder / "rom/table.hex", rom.image(words, 8))
    files.write(tmp_path / "rtl/chip.v", CHIP % depth)
    layout.synthesize(tmp_path / "rtl/chip.v", views, tmp_path, tmp_path / "map.log")
    library = cell.read(views / "library.json")
    mapped = netlist.from_json(files.read_json(tmp_path / "mapped.json"))
    files.write(tmp_path / "gates.v", netlist.verilog(mapped))
    bench = BENCH % depth
    said = simulate(tmp_path / "sim_rtl", tmp_path / "rtl/chip.v", bench=bench)
    assert said.split() == [f"{word:02x}" for word in words]
    gates = (tmp_path / "gates.v", views / "cells.v")
    assert simulate(tmp_path / "sim_gates", *gates, bench=bench) == said
    assert _separate(mapped, library) == groups


def _separate(mapped: netlist.Netlist, library: cell.Library) -> int:
    """Groups of gates that see no more of the address than a bank does, and share no net."""
    inside = set(BANK)
    group: dict[str, str] = {}

    def root(net: str) -> str:
        while group.setdefault(net, net) != net:
            net = group[net]
        return net

    left = [gate for gate in mapped.gates if not library.cells[gate.cell].flip_flop]
    while True:
        found = []
        for gate in left:
            outputs = library.cells[gate.cell].outputs
            if {net for pin, net in gate.pins.items() if pin not in outputs} <= inside:
                found.append(gate)
        if not found:
            return len({root(net) for net in group})
        for gate in found:
            nets = set(gate.pins.values()) - BANK
            inside |= nets
            for net in nets:
                group[root(net)] = root(min(nets))
        left = [gate for gate in left if gate not in found]
