"""The stage that gives a chip to LibreLane, as far as its tools are installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from flow import files
from flow.silicon import librelane as design
from flow.silicon import macro, sram
from flow.silicon.librelane import LIBRARIES, LibrelaneTarget
from flow.silicon.macro import Macro
from flow.tools import base, librelane
from rtl_gen.errors import FlowError, ToolError

CIEL = Path.home() / ".ciel"


def harden(target: LibrelaneTarget, where: str, chip: Path, folder: Path, result: Path,
           log: Path) -> None:  # fmt: skip
    """Write a LibreLane design, load it with LibreLane's loader, and run what can run.

    Parameters
    ----------
    where : str
        File of the target, for messages.
    chip : Path
        ``chip.v``, with the images it reads in ``rom/`` beside it.
    folder : Path
        Receives ``design/``.
    result : Path
        ``librelane.json``: what was loaded, how far the flow went, what is missing and how to get
        it, and LibreLane's own metrics.

    Raises
    ------
    TargetError
        If a macro is denser than its process can be.
    ToolError
        If the loader refuses the configuration or a step fails.
    ToolNotFoundError
        If the environment of LibreLane cannot be made.
    """
    root = pdk_root(target.pdk)
    place, banks = emit(target, where, chip, folder / "design", root)
    base.run(librelane.check(place, target.pdk, LIBRARIES[target.pdk], root), folder / "check", log)
    loaded = files.read_json(folder / "check/loaded.json")
    if loaded["errors"]:
        listed = "; ".join(loaded["errors"])
        raise ToolError(f"LibreLane refuses {place / 'config.json'}: {listed}")
    absent = librelane.missing()
    said = missing(target.pdk, root, absent)
    content = {
        "librelane": librelane.version(),
        "target": target.name,
        "pdk": target.pdk,
        "clock_mhz": target.clock_mhz,
        "loaded_with_pdk": loaded["pdk_loaded"],
        "variables": loaded["variables"],
        "reached": None,
        "missing": said,
        "memories": banks,
        "metrics": {},
    }
    if root is not None:
        last = librelane.LAST_WITHOUT_OPENROAD if "openroad" in absent else None
        job = librelane.run(place, target.pdk, LIBRARIES[target.pdk], root, last)
        base.run(job, folder / "run", log, environment=librelane.variables())
        source = folder / "run" / ("state.json" if last else "metrics.json")
        content |= {
            "reached": last or "the end",
            "metrics": librelane.metrics(source.read_text()),
        }
    files.write_json(result, content)
    print(f"  reached: {content['reached'] or 'the configuration'}", file=sys.stderr)
    for line in said:
        print(f"  missing: {line}", file=sys.stderr)


def emit(
    target: LibrelaneTarget, where: str, chip: Path, folder: Path, root: Path | None
) -> tuple[Path, list[dict[str, Any]]]:
    """Write the design and give its folder, and the memories that are SRAM macros.

    Parameters
    ----------
    root : Path or None
        ``PDK_ROOT``; without it, memories stay flip-flops.
    """
    for item in target.macros:
        for path in (item.gds, item.lef, item.lib):
            if not path.is_file():
                raise FlowError(f"{where}: macros: {item.name}: {path}: no such file")
            files.copy(path, folder / "macros" / path.name)
        macro.check(item, item.lef.read_text(), target.pdk, where)
    verilog, memories, banks = _memories(target, where, chip.read_text(), root)
    for name, text in design.texts(target, verilog, memories).items():
        files.write(folder / name, text)
    images = chip.parent / "rom"
    if images.is_dir():
        visible = (path for path in images.iterdir() if not path.name.startswith("."))
        files.write_folder(folder / "rom", {path.name: path.read_text() for path in visible})
    return folder, banks


def _memories(
    target: LibrelaneTarget, where: str, verilog: str, root: Path | None
) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Verilog with SRAM macros, their variables, and what ``librelane.json`` says of them."""
    if root is None or target.memories != "sram" or not (srams := sram.macros(root, target.pdk)):
        return verilog, {}, []
    flip_flop = sram.flip_flop_um2(root, target.pdk)
    chosen = sram.banks(verilog, srams, flip_flop)
    text = sram.replaced(verilog, chosen)
    found = sram.instances(text, design.TOP, chosen)
    variables = sram.config(found, target.pdk, root, target.utilization)
    listed = []
    for bank in chosen.values():
        folder = root / target.pdk / sram.FOLDERS[target.pdk]
        abstract = folder / f"lef/{bank.sram.name}.lef"
        one = Macro(bank.sram.name, "state", bank.sram.words * bank.sram.width, abstract,
                    abstract, abstract, {})  # fmt: skip
        macro.check(one, abstract.read_text(), target.pdk, where)
        count = sum(item is bank.sram for item in found.values())
        listed.append({
            "words": bank.depth, "bits": bank.width, "macro": bank.sram.name,
            "macros_each": bank.rows * bank.columns, "macros": count,
            "area_um2": round(bank.area, 1),
            "flip_flops_um2": round(bank.depth * bank.width * flip_flop, 1),
        })  # fmt: skip
    return text, variables, listed


def pdk_root(pdk: str) -> Path | None:
    """Where the PDK lies: ``PDK_ROOT``, or where ciel puts it; None if it is in neither."""
    for root in (os.environ.get("PDK_ROOT"), CIEL):
        if root and (Path(root) / pdk / "libs.tech" / "librelane" / "config.tcl").is_file():
            return Path(root).absolute()
    return None


def missing(pdk: str, root: Path | None, absent: tuple[str, ...]) -> list[str]:
    """What keeps the flow from its end, and how to get it."""
    said = []
    if root is None:
        said.append(
            f"the PDK {pdk}: set PDK_ROOT to the folder that holds it, or fetch it with "
            f"`pip install ciel` and `ciel enable --pdk-family {_family(pdk)} VERSION`"
            + ("; memories stay flip-flops without it" if pdk in sram.FOLDERS else "")
        )
    if absent:
        said.append(f"{', '.join(absent)}: {librelane.REMEDY}")
    return said


def _family(pdk: str) -> str:
    return {"sky130A": "sky130", "gf180mcuD": "gf180mcu"}.get(pdk, pdk)
