"""Yosys: a chip's ROMs or its board alone, and a netlist that was filled as Verilog."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flow.tools import yosys
from flow.tools.base import Job

# Each in a module of its own.
_ROMS = """\
read_verilog -sv chip.v
read_verilog -sv roms.v
synth_ecp5 -noflatten -noiopad -top roms
write_json roms.json
"""

# As `flow.tools.yosys.link_board` does before it links.
_WRAPPER = """\
read_verilog stub.v
blackbox chip
read_verilog -sv top.v
synth_ecp5 -top top
setattr -unset src *
write_json wrapper.json
"""

_WRITE = """\
read_json netlist.json
write_verilog -noattr netlist.v
"""


def map_alone(chip: Path, text: str, images: Path) -> Job:
    """Map constant memories of a chip alone, ``roms.json``.

    Parameters
    ----------
    chip : Path
        Has their modules.
    text : str
        Verilog of a module ``roms`` with instances of them.
    images : Path
        Folder with the folders of images that they name.
    """
    inputs = {"chip.v": chip, **{path.name: path for path in images.iterdir()}}
    job = yosys.job(_ROMS, inputs, ("roms.json",))
    return replace(job, files={**job.files, "roms.v": text})


def map_wrapper(top: Path, stub: Path) -> Job:
    """Map the board wrapper ``top`` around a chip that is an empty box, ``wrapper.json``."""
    return yosys.job(_WRAPPER, {"top.v": top, "stub.v": stub}, ("wrapper.json",))


def write_verilog(netlist: Path) -> Job:
    """Write a netlist as Verilog, ``netlist.v``."""
    return yosys.job(_WRITE, {"netlist.json": netlist}, ("netlist.v",))
