"""Gates of a layout against the RTL with its constants: equal, and every fault refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from flow.evidence import design, gates
from flow.evidence.design import Design, EvidenceError, Module
from flow.tools import abc, base, yosys_cells

CHIP = """\
module chip(input clk, input rst, input [1:0] i__payload, output [3:0] o__payload, output o__valid);
  reg [3:0] word;
  reg [3:0] table_ [0:3];
  initial $readmemh("rom/table.hex", table_);
  reg [1:0] count;
  reg [2:0] run_state;
  always @(posedge clk) begin
    word <= table_[i__payload ^ count];
    count <= rst ? 2'd0 : count + 2'd1;
    run_state <= rst ? 3'b001 : {run_state[1:0], run_state[2]};
  end
  assign o__payload = word + {2'b0, count};
  // Of two states at once the RTL says nothing.
  assign o__valid = run_state == 3'b100 ? 1'b1 : run_state == 3'b010 ? 1'b0
    : run_state == 3'b001 ? count[0] : 1'bx;
endmodule
"""
CELLS = """\
module inv(input i, output nq); assign nq = ~i; endmodule
module buf_(input i, output q); assign q = i; endmodule
module and2(input i0, input i1, output q); assign q = i0 & i1; endmodule
module or2(input i0, input i1, output q); assign q = i0 | i1; endmodule
module xor2(input i0, input i1, output q); assign q = i0 ^ i1; endmodule
module mux2(input i0, input i1, input cmd, output q); assign q = cmd ? i1 : i0; endmodule
module dff(input clk, input i, output reg q); always @(posedge clk) q <= i; endmodule
module zero(output zero); assign zero = 1'b0; endmodule
module one(output one); assign one = 1'b1; endmodule
"""
KINDS = {"$_NOT_": ("inv", ("i",), "nq"), "$_AND_": ("and2", ("i0", "i1"), "q"),
         "$_OR_": ("or2", ("i0", "i1"), "q"), "$_XOR_": ("xor2", ("i0", "i1"), "q"),
         "$_MUX_": ("mux2", ("i0", "i1", "cmd"), "q")}  # fmt: skip
IMAGE = "3\n9\nc\n5\n"


def translated(folder: Path, image: str = IMAGE) -> tuple[Module, Design]:
    (folder / "rom").mkdir(parents=True)
    (folder / "rom/table.hex").write_text(image)
    (folder / "chip.v").write_text(CHIP)
    (folder / "cells.v").write_text(CELLS)
    job = yosys_cells.plain_gates(folder / "chip.v", folder / "rom", folder / "cells.v")
    base.run(job, folder / "job", folder / "log")
    return (
        design.read(folder / "job/plain.json")["chip"], design.read(folder / "job/cells.json")
    )  # fmt: skip


def drawn(module: Module) -> dict[str, Any]:
    """A layout of one cell for every gate, outputs behind buffers."""
    outputs = {
        bit: name.replace("__", "_") + (f"({k})" if len(bits) > 1 else "")
        for name, bits in module.ports.items() if name in module.inputs
        for k, bit in enumerate(bits)
    }  # fmt: skip

    def net(bit: Any) -> str:
        return outputs.get(bit, f"n{0 if bit == 'x' else bit}") if bit != "1" else "tied1"

    instances = [{"name": "t0", "cell": "zero", "pins": {"zero": "n0"}},
                 {"name": "t1", "cell": "one", "pins": {"one": "tied1"}}]  # fmt: skip
    for name, cell in module.cells.items():
        if cell.type == "$_DFF_P_":
            pins = {"clk": "clk", "i": net(cell.bit("D")), "q": net(cell.bit("Q"))}
            instances.append({"name": name, "cell": "dff", "pins": pins})
        elif cell.type in KINDS:
            kind, inputs, output = KINDS[cell.type]
            pins = dict(zip(inputs, (net(cell.bit(p)) for p in "ABS" if p in cell.pins),
                            strict=True))  # fmt: skip
            instances.append(
                {"name": name, "cell": kind, "pins": {**pins, output: net(cell.bit("Y"))}}
            )
    ports = dict.fromkeys(outputs.values(), "input")
    for name, bits in module.ports.items():
        if name not in module.inputs:
            for k, bit in enumerate(bits):
                port = name.replace("__", "_") + (f"({k})" if len(bits) > 1 else "")
                ports[port] = "output"
                instances.append(
                    {"name": f"p{port}", "cell": "buf_", "pins": {"i": net(bit), "q": port}}
                )
    return {"ports": ports, "instances": instances}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Module, Design, dict[str, Any]]:
    module, cells = translated(tmp_path_factory.mktemp("gates"))
    return module, cells, drawn(module)


def compared(folder: Path, rtl: Module, cells: Design, layout: Any, mapped: Module) -> list[str]:
    pair = gates.pair(rtl, cells, layout, mapped)
    folder.mkdir(exist_ok=True)
    base.run(abc.equal(pair.wanted, pair.found), folder / "equal", folder / "equal.log")
    return abc.differing((folder / "equal.log").read_text())


def test_a_layout_is_its_rtl(made: tuple[Module, Design, Any], tmp_path: Path) -> None:
    rtl, cells, layout = made
    pair = gates.pair(rtl, cells, layout, rtl)
    assert pair.registers >= 9
    assert pair.functions >= pair.registers + 5
    assert pair.open_functions >= 1
    assert compared(tmp_path, rtl, cells, layout, rtl) == []


def test_every_wrong_gate_is_named(made: tuple[Module, Design, Any], tmp_path: Path) -> None:
    rtl, cells, layout = made
    wrong = {"xor2": "and2", "and2": "or2"}
    for index, old in enumerate(wrong):
        changed = copy.deepcopy(layout)
        item = next(item for item in changed["instances"] if item["cell"] == old)
        item["cell"] = wrong[old]
        assert compared(tmp_path / str(index), rtl, cells, changed, rtl)


def test_a_word_of_another_image_is_named(made: tuple[Module, Design, Any], tmp_path: Path) -> None:
    """The layout keeps the old ROM; the RTL has a flipped bit."""
    rtl, cells, layout = made
    other, _ = translated(tmp_path / "other", "3\n9\nd\n5\n")
    assert compared(tmp_path, other, cells, layout, rtl)


def test_a_register_that_is_there_twice(made: tuple[Module, Design, Any], tmp_path: Path) -> None:
    """A second register feeds what the first one fed, its own data behind a buffer."""
    rtl, cells, layout = made
    changed = copy.deepcopy(layout)
    found = changed["instances"]
    first = next(item for item in found if item["cell"] == "dff")
    old = first["pins"]["q"]
    reader = next(item for item in found if item is not first and old in item["pins"].values())
    reader["pins"] = {pin: "again" if net == old else net for pin, net in reader["pins"].items()}
    found.append({"name": "b", "cell": "buf_", "pins": {"i": first["pins"]["i"], "q": "late"}})
    twin = {"name": "f", "cell": "dff", "pins": {"clk": "clk", "i": "late", "q": "again"}}
    found.append(twin)
    assert compared(tmp_path / "twin", rtl, cells, changed, rtl) == []
    twin["pins"]["i"] = "i_payload(0)"
    with pytest.raises(EvidenceError, match="no register of the RTL is again"):
        gates.pair(rtl, cells, changed, rtl)


def test_a_clock_of_another_net_is_refused(made: tuple[Module, Design, Any]) -> None:
    rtl, cells, layout = made
    changed = copy.deepcopy(layout)
    item = next(item for item in changed["instances"] if item["cell"] == "dff")
    item["pins"]["clk"] = "rst"
    with pytest.raises(EvidenceError, match="clock"):
        gates.pair(rtl, cells, changed, rtl)


def test_an_answer_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no answer"):
        abc.differing("Networks are UNDECIDED.")
    assert abc.differing("Verification failed for at least 2 outputs:  a b ...\n") == ["a", "b"]
