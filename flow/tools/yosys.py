"""Yosys: Verilog to ECP5 or standard cells, with the `pyosys` wheel or what ``YOSYS`` names."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from flow.tools import base
from flow.tools.base import Job

NAME = "Yosys"
REMEDY = "install it with `pip install pyosys`"

# A Yosys error ends the whole process, so the library always gets a process of its own.
_RUN = (
    "import sys; from pyosys import libyosys as ys;"
    " ys.run_pass('script ' + sys.argv[1], ys.Design())"
)
_HEADER = re.compile(r"^\d+(?:\.\d+)*\. Executing (.+?) pass")
_PASSES = ("PROC", "FLATTEN", "MEMORY", "SYNTH_ECP5", "ABC9", "HIERARCHY", "STAT", "TECHMAP")

# Word-level and unmapped: a `case` stays logic, a memory stays one cell with its contents.
_ELABORATE = """\
read_verilog -sv chip.v
hierarchy -check -top chip
proc -norom
opt_clean
memory_collect
setattr -unset src *
setattr -mod -unset src *
write_json rtl.json
flatten
opt_clean
write_json flat.json
"""

CARRY_CELLS = Path(__file__).parent / "ecp5_carry_cells.v"
ROM_CELLS = Path(__file__).parent / "ecp5_rom_cells.v"

# Registers with their enables, adders as words; nothing is merged or mapped.
_WORDS = """\
read_verilog -sv design.v
hierarchy -check -top {top}
proc
opt_expr
opt_dff
opt_clean
setattr -unset src *
setattr -mod -unset src *
write_json words.json
"""

# Some modules alone: registers with their enables and adders as words, then the same as gates.
# Resets become choices in front of a register, so that there is one kind of register.
_GATES = """\
read_verilog -sv chip.v
hierarchy -check -top chip
delete {modules} %n
proc
opt_expr
opt_dff -nosdff
opt_clean
setattr -unset src *
setattr -mod -unset src *
write_json words.json
techmap
opt_expr
opt_clean
write_json gates.json
"""

# Instances named in `free` are taken out: what they drove may have any value.
_PROVE = """\
read_verilog -sv -formal design.v
{free}hierarchy -top {top}
proc
flatten
opt_clean
chformal -lower
sat -tempinduct -prove-asserts -seq 0 -maxsteps {steps} -verify {top}
tee -q -o proved.json stat -json
"""

CHIP_OUTPUTS = ("netlist.json", "netlist.v", "stub.v", "stat.json")

_CHIP = """\
read_verilog -sv -DCARRY_CELLS ecp5_carry_cells.v
read_verilog -sv -DCARRY_CELLS {defines}chip.v
{tables}synth_ecp5 -noflatten -noiopad -top chip
setattr -unset src *
setattr -mod -unset src *
tee -q -o stat.json stat -json
write_json -selected netlist.json
write_verilog -noattr netlist.v
blackbox chip
select =chip
write_verilog -noattr -blackboxes -selected stub.v
"""

# Some modules keep their hierarchy against the mapper; it has no use after mapping.
_ALONE = """\
read_verilog -sv design.v
synth_ecp5 -noiopad -top {top}
setattr -mod -unset keep_hierarchy *
flatten
opt_clean -purge
tee -q -o stat.json stat -json
write_json netlist.json
"""

# These scripts keep no netlist: only the numbers of cells are wanted.
_FAMILY = {
    "ecp5": "synth_ecp5 -noflatten -noiopad -top {top}",
    "ice40": "synth_ice40 -noflatten -dsp -top {top}",
    "nexus": "synth_lattice -family lifcl -noflatten -noiopad -top {top}",
    "gowin": "synth_gowin -noflatten -noiopads -top {top}",
    "gatemate": "synth_gatemate -noflatten -noiopad -nomult -top {top}",
}
FAMILIES = tuple(_FAMILY)
"""FPGA families that `count_cells` maps to."""

_COUNT = """\
read_verilog -sv {defines}design.v
hierarchy -top {top}
{boxes}
{synth}
tee -q -o stat.json stat -json
"""

# The mapped chip is linked after the wrapper is mapped: its cells reach the board as simulated.
_BOARD = """\
read_verilog stub.v
blackbox chip
read_verilog -sv top.v
synth_ecp5 -top top
setattr -unset src *
tee -q -o board.json stat -json
write_json wrapper.json
delete =chip
read_json netlist.json
hierarchy -check -top top
setattr -mod -unset keep_hierarchy *
flatten
opt_clean -purge
setattr -mod -unset src *
check -assert
tee -q -o stat.json stat -json
write_json -selected top.json
"""


def version() -> str:
    """Version of Yosys, e.g. ``0.70``.

    Raises
    ------
    ToolNotFoundError
        If neither the wheel nor the program is there.
    """
    if not os.environ.get("YOSYS"):
        return base.wheel("pyosys", "pyosys")
    program = base.executable("yosys", "YOSYS", REMEDY)
    text = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Yosys (\S+)", text)
    return found[1] if found else text.strip()


def synthesize_chip(
    chip: Path, rom: Path, defines: Mapping[str, int] | None = None, *, tables: bool = False
) -> Job:
    """Map module ``chip`` to ECP5 cells, keeping its hierarchy.

    Parameters
    ----------
    chip : Path
        Verilog text.
    rom : Path
        Folder of the images that ``chip.v`` reads as ``rom/<name>.hex``.
    defines : mapping of str to int, optional
        Verilog macros.
    tables : bool, optional
        Whether ROMs that lie in LUTs become tables that `flow.contents` fills.
    """
    inputs = {"chip.v": chip, "ecp5_carry_cells.v": CARRY_CELLS}
    inputs |= {ROM_CELLS.name: ROM_CELLS} if tables else {}
    inputs |= {"rom": rom} if rom.is_dir() else {}
    read = f"read_verilog -sv -overwrite {ROM_CELLS.name}\n" if tables else ""
    return job(_CHIP.format(defines=_macros(defines), tables=read), inputs, CHIP_OUTPUTS)


def _macros(defines: Mapping[str, int] | None) -> str:
    return "".join(f"-D{name}={value} " for name, value in (defines or {}).items())


def elaborate(chip: Path, rom: Path) -> Job:
    """Read module ``chip`` and the images it names; nothing is optimized or mapped.

    The job leaves ``rtl.json``, with the hierarchy, and ``flat.json``, without it.
    """
    inputs = {"chip.v": chip, "rom": rom} if rom.is_dir() else {"chip.v": chip}
    return job(_ELABORATE, inputs, ("rtl.json", "flat.json"))


def words(design: Path, top: str) -> Job:
    """Read one module as word-level cells, ``words.json``."""
    return job(_WORDS.format(top=top), {"design.v": design}, ("words.json",))


def adders(chip: Path, rom: Path) -> Job:
    """Read the adder graphs of a chip alone, ``etched_core…``: as words and as gates.

    The job leaves ``words.json`` and ``gates.json``.
    """
    return _gates(chip, rom, "*etched_core* chip.etched.core* %u")


def adapters(chip: Path, rom: Path) -> Job:
    """Read what a host writes adapters through, and the chip around it, each without its insides.

    The job leaves ``words.json`` and ``gates.json``.
    """
    return _gates(chip, rom, "chip chip.adapter_port chip.adapter_memory %u %u")


def _gates(chip: Path, rom: Path, modules: str) -> Job:
    inputs = {"chip.v": chip, "rom": rom} if rom.is_dir() else {"chip.v": chip}
    return job(_GATES.format(modules=modules), inputs, ("words.json", "gates.json"))


def prove(design: Path, top: str, *, free: tuple[str, ...] = (), steps: int = 4) -> Job:
    """Prove the assertions of one module for every input, by induction over cycles.

    The job fails if one does not hold from the power-on values on, or cannot be proved from `steps`
    cycles in which all held.

    Parameters
    ----------
    design : Path
        SystemVerilog text with immediate assertions.
    top : str
        The module.
    free : tuple of str
        Instances in it whose outputs may have any value.
    steps : int
    """
    script = _PROVE.format(
        free="".join(f"delete {top}/{name}\n" for name in free), top=top, steps=steps
    )
    return job(script, {"design.v": design}, ("proved.json",))


def link_board(top: Path, netlist: Path, stub: Path) -> Job:
    """Map the board wrapper ``top`` (``wrapper.json``); link it with the mapped chip, flattened."""
    return job(
        _BOARD,
        {"top.v": top, "netlist.json": netlist, "stub.v": stub},
        ("top.json", "stat.json", "board.json", "wrapper.json"),
    )


def synthesize_alone(design: Path, top: str, rom: Path | None = None) -> Job:
    """Map one module to ECP5 cells, flattened, to measure it without a chip around it.

    Parameters
    ----------
    design : Path
        Verilog text.
    top : str
        The module.
    rom : Path, optional
        Folder of the images it reads as ``rom/<name>.hex``.
    """
    inputs = {"design.v": design} | ({"rom": rom} if rom is not None else {})
    return job(_ALONE.format(top=top), inputs, ("netlist.json", "stat.json"))


def count_cells(
    design: Path, top: str, rom: Path, family: str, defines: Mapping[str, int] | None = None,
    *, boxes: str = "",
) -> Job:  # fmt: skip
    """Map a design to cells of an FPGA family, keeping its hierarchy; leaves ``stat.json``.

    Parameters
    ----------
    design : Path
        Verilog text.
    top : str
        Its top module.
    rom : Path
        Folder of the images it reads as ``rom/<name>.hex``.
    family : str
        One of `FAMILIES`.
    defines : mapping of str to int, optional
        Verilog macros.
    boxes : str, optional
        Command that turns modules into black boxes.
    """
    inputs = {"design.v": design, "rom": rom}
    script = _COUNT.format(
        defines=_macros(defines), synth=_FAMILY[family].format(top=top),
        top=top, boxes=boxes,
    )  # fmt: skip
    if family == "ecp5":  # as chips are
        first, _, rest = script.partition("-sv ")
        script = (
            f"read_verilog -sv -DCARRY_CELLS {CARRY_CELLS.name}\n{first}-sv -DCARRY_CELLS {rest}"
        )
        inputs[CARRY_CELLS.name] = CARRY_CELLS
    return job(script, inputs, ("stat.json",))


def progress(line: str) -> str | None:
    """Name of the pass that starts, for the larger passes."""
    found = _HEADER.match(line)
    if found and found[1].split()[0] in _PASSES and line.count(".") <= 2:
        return found[1].lower()
    return None


def metrics(stat: str) -> Mapping[str, Mapping[str, int]]:
    """Cells by type of every module in the output of ``stat -json``.

    Raises
    ------
    ValueError
        If `stat` has no modules.
    """
    modules = json.loads(stat).get("modules")
    if not modules:
        raise ValueError("no modules in the output of Yosys `stat -json`")
    return {
        name.removeprefix("\\"): dict(module["num_cells_by_type"])
        for name, module in modules.items()
    }


def job(script: str, inputs: Mapping[str, Path], outputs: tuple[str, ...]) -> Job:
    """Run a script of Yosys' commands."""
    argv = ["python", "-c", _RUN, "synth.ys"]
    if os.environ.get("YOSYS"):
        argv = [base.executable("yosys", "YOSYS", REMEDY), "-s", "synth.ys"]
    return Job(NAME, argv, version(), {"synth.ys": script}, inputs, outputs)
