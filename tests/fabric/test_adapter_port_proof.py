"""Proved for every sequence of host writes: the slot in use is never written, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow.tools import base, yosys
from rtl_gen.errors import ToolError
from rtl_gen.fabric.adapter_memory import Geometry
from rtl_gen.fabric.adapter_port import AdapterPort
from rtl_gen.verilog import convert

GEOMETRIES = {
    "one_slot": Geometry(1, (3, 2, 2), (8, 32, 16)),
    "two_slots": Geometry(2, (5, 7, 4), (40, 64, 16)),
    "five_slots": Geometry(5, (2, 9, 3), (33, 130, 64)),
}


def claims(geometry: Geometry, written: str) -> str:
    """Assertions about the registers of `AdapterPort`; `written` is about a write."""
    slots = geometry.slots
    lines = [
        f"assert (active <= {slots} && selected <= {slots} && opened <= {slots});",
        # Bit 0 of `usable` is the base alone.
        "assert (usable[active] && usable[selected]);",
        "assert (opened == 0 || !usable[opened]);",
        f"assert (!memory_write || ({written}));",
        "assert (changeable || active == before);",
        "assert (bank <= 3 && (bank != 3 || (offset == 0 && piece == 0)));",
    ]
    for bank, words in enumerate(geometry.words):
        pieces = len(geometry.pieces(bank))
        lines.append(f"assert (bank != {bank} || (offset < {words} && piece < {pieces}));")
    return "\n".join([
        f"wire [{(2 << slots.bit_length()) - 1}:0] usable = {{valid, 1'b1}};",
        f"reg changeable = 1; reg [{slots.bit_length() - 1}:0] before = 0;",
        "always @(posedge clk) begin changeable <= boundary | rst; before <= active; end",
        "always @* begin", *lines, "end", "",
    ])  # fmt: skip


def prove(folder: Path, geometry: Geometry, written: str) -> None:
    text = convert(AdapterPort(geometry), "port")
    end = text.index("endmodule", text.index("module port("))
    folder.mkdir(exist_ok=True)
    (folder / "port.v").write_text(text[:end] + claims(geometry, written) + text[end:])
    # The digest in the ROM may be any: it decides when a slot becomes valid, nothing else.
    base.run(yosys.prove(folder / "port.v", "port", free=("base",)), folder / "job", folder / "log")


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_write_goes_into_a_slot_that_is_neither_used_nor_selected(name: str, tmp_path) -> None:
    written = "bank < 3 && opened != 0 && opened != active && opened != selected"
    prove(tmp_path / name, GEOMETRIES[name], written)


def test_a_claim_that_is_wrong_is_not_proved(tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        prove(tmp_path / "wrong", GEOMETRIES["two_slots"], "opened == 1")
