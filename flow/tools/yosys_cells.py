"""Yosys: Verilog to standard cells, and to plain gates to compare them with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flow.tools.base import Job
from flow.tools.yosys import job

ROM_BANKS = Path(__file__).parent / "rom_banks.v"

_MAP = """\
synth -top {top} -run coarse:fine
memory_map
opt -full
techmap
opt -fast
opt_merge
opt_clean
dfflibmap -liberty cells.lib
opt
abc -liberty cells.lib
opt_merge
"""

# A power-on value is a habit of FPGAs: without reset a register of a chip starts anywhere.
# Constant memories become gates (`memory_map`), state becomes flip-flops; equal copies of a memory
# with one write port merge.
_CELLS = """\
read_verilog -sv chip.v
read_verilog -sv -overwrite rom_banks.v
hierarchy -check -top chip
setattr -mod -unset keep_hierarchy *
setattr -mod -set keep_hierarchy 1 A:rom_bank
proc
attrmap -remove init
flatten
{map}setattr -mod -unset keep_hierarchy *
flatten
opt_clean -purge
setattr -unset src *
read_liberty -lib cells.lib
hierarchy -check -top chip
check -assert
tee -q -o stat.json stat -liberty cells.lib -json
write_json netlist.json
""".replace("{map}", _MAP.format(top="chip"))

# As `_CELLS` maps a chip, and what it takes.
_COUNT = """\
read_verilog -sv design.v
hierarchy -top {top}
{boxes}
setattr -mod -unset keep_hierarchy *
proc
attrmap -remove init
flatten
{map}opt_clean -purge
tee -q -o stat.json stat -json -liberty cells.lib
"""

# As `_CELLS` up to its gates, without optimizing the logic of constants; and the cells as gates.
_PLAIN = """\
read_verilog -sv chip.v
hierarchy -check -top chip
setattr -mod -unset keep_hierarchy *
proc
attrmap -remove init
flatten
synth -top chip -run coarse:fine
memory_map
opt_merge
opt_clean
techmap
opt_expr
dffunmap
simplemap
opt_merge
opt_clean
write_json plain.json
delete *
read_verilog -sv cells.v
proc
techmap
simplemap
opt_clean
write_json cells.json
"""


def plain_gates(chip: Path, rom: Path, cells: Path) -> Job:
    """Translate a chip into gates (``plain.json``), and standard cells (``cells.json``).

    Parameters
    ----------
    chip, rom : Path
        As in `synthesize_cells`, whose registers this has, by name.
    cells : Path
        Verilog models.
    """
    return job(_PLAIN, {"chip.v": chip, "rom": rom, "cells.v": cells},
                ("plain.json", "cells.json"))  # fmt: skip


def synthesize_cells(chip: Path, rom: Path, liberty: str) -> Job:
    """Map module ``chip`` to the cells of a Liberty text, flattened; large ROMs in banks.

    Parameters
    ----------
    chip : Path
        Verilog text.
    rom : Path
        Folder of the images that ``chip.v`` reads as ``rom/<name>.hex``.
    """
    inputs = {"chip.v": chip, ROM_BANKS.name: ROM_BANKS}
    inputs |= {"rom": rom} if rom.is_dir() else {}
    mapped = job(_CELLS, inputs, ("netlist.json", "stat.json"))
    return replace(mapped, files={**mapped.files, "cells.lib": liberty})


def count_area(design: Path, top: str, rom: Path, liberty: Path, *, boxes: str = "") -> Job:
    """Map a design to the standard cells of a Liberty file; leaves ``stat.json`` with areas."""
    script = _COUNT.format(top=top, boxes=boxes, map=_MAP.format(top=top))
    return job(script, {"design.v": design, "rom": rom, "cells.lib": liberty}, ("stat.json",))
