"""The FPGA stages: Verilog to netlist, netlist to routed design, routed design to bitstream."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from flow import ecp5, files, floorplan, mapping
from flow.config import TargetConfig
from flow.tools import base, ecppack, nextpnr_ecp5, yosys
from rtl_gen.errors import FlowError
from rtl_gen.plan.cost import LogicShare

CELLS = "cells.json"
TIMING = "timing.json"

STATIC_BLOCK_RAMS = 0.85
"""Share of block RAMs above which `flow.floorplan` gives them sites: with 97 % of them in use
nextpnr's electrostatic placer never came to an end. It is otherwise the better one: on `names` a
fifth faster than the default, with 12 % more clock."""


def synthesize(chip: Path, top: str, target: TargetConfig, folder: Path, log: Path) -> None:
    """Map the chip, then its board wrapper, to cells of the target.

    Parameters
    ----------
    chip : Path
        ``chip.v``, with the images it reads in ``rom/`` beside it.
    top : str
        Verilog text of the board wrapper.
    folder : Path
        Receives ``netlist.json`` and ``netlist.v`` (module ``chip``, hierarchical), ``top.v``,
        ``top.json`` (the board, flattened) and ``cells.json`` (resources by unit).

    Raises
    ------
    ToolError, ToolNotFoundError
        If Yosys fails or is absent.
    """
    files.write(folder / "top.v", top)
    room = ecp5.CAPACITY[target.device]
    linked_job = folder / "link"
    manifest = files.read_json(chip.parent / "manifest.json")
    share: LogicShare | None = mapping.choose(manifest, room)
    while share is not None:
        chosen, mapped = share, shared(folder) / f"synthesis{share.suffix}"
        modules = _map_chip(chip, mapped, log, share)
        if ecp5.of_module(modules, "chip").dsp <= room.dsp:
            break
        share = mapping.enlarge(share, manifest)
        if share is not None:
            print(
                "  too few multipliers on the device: building lanes with operands of up to "
                f"{share.product_bits} bits from LUTs",
                file=sys.stderr,
            )
    base.run(
        yosys.link_board(folder / "top.v", mapped / "netlist.json", mapped / "stub.v"),
        linked_job, log.with_suffix(".board"), progress=yosys.progress,
    )  # fmt: skip
    wrapper = yosys.metrics((linked_job / "board.json").read_text())["top"]
    linked = yosys.metrics((linked_job / "stat.json").read_text())["top"]
    units = {**ecp5.by_unit(modules, "chip"), "board": ecp5.of_cells(wrapper)}
    total = ecp5.of_cells(linked)
    for name in ("netlist.json", "netlist.v"):
        files.copy(mapped / name, folder / name)
    files.copy(linked_job / "top.json", folder / "top.json")
    files.write_json(
        folder / CELLS,
        {
            "device": target.device,
            "logic_share": asdict(chosen),
            "yosys": yosys.version(),
            "cells": sum(linked.values()),
            "types": linked,
            "total": asdict(total),
            "units": {name: asdict(item) for name, item in units.items()},
        },
    )
    files.write(log, "".join(
        f"== {part}\n{log.with_suffix(f'.{part}').read_text(errors='replace')}"
        for part in ("chip", "board")
    ))  # fmt: skip
    for part in ("chip", "board"):
        log.with_suffix(f".{part}").unlink()
    amounts = ", ".join(
        f"{getattr(total, name)} of {getattr(room, name)} {ecp5.LABELS[name]}"
        for name in ecp5.NAMES
    )
    print(f"  synthesized for {target.device}: {amounts}", file=sys.stderr)


def _map_chip(
    chip: Path, mapped: Path, log: Path, share: LogicShare
) -> Mapping[str, Mapping[str, int]]:
    """Cells by type of every module of the mapped chip."""
    job = yosys.synthesize_chip(chip, chip.parent / "rom", share.defines)
    base.run(job, mapped, log.with_suffix(".chip"), progress=yosys.progress)
    return yosys.metrics((mapped / "stat.json").read_text())


def simulator(folder: Path) -> Path:
    """Folder of the netlist simulator of a target, shared with targets of the same netlist.

    Parameters
    ----------
    folder : Path
        ``results/<model>/<target>`` after `synthesize`.
    """
    share = LogicShare(**files.read_json(folder / CELLS)["logic_share"])
    return shared(folder) / f"simulator{share.suffix}"


def shared(folder: Path) -> Path:
    """Folder of the jobs that are the same for every ECP5 target of a model.

    Parameters
    ----------
    folder : Path
        ``results/<model>/<target>``.
    """
    return folder.parent / "ecp5"


def place(
    netlist: Path, cells: Path, target: TargetConfig, where: str, seed: int, folder: Path, log: Path
) -> None:
    """Place and route the board once.

    Parameters
    ----------
    netlist, cells : Path
        ``top.json`` and ``cells.json`` of `synthesize`.
    where : str
        File of the target, for messages.
    folder : Path
        Receives ``top.config`` and ``timing.json``.

    Raises
    ------
    TargetError
        If the design does not fit the device; place and route is not started.
    ToolError, ToolNotFoundError
        If nextpnr fails or is absent.
    """
    content = files.read_json(cells)
    units = {name: ecp5.Resources(**item) for name, item in content["units"].items()}
    ecp5.check_fit(ecp5.Resources(**content["total"]), units, target.device, where)
    placer = "static"
    if content["total"]["ebr"] > STATIC_BLOCK_RAMS * ecp5.CAPACITY[target.device].ebr:
        pinned = folder / "pinned.json"
        if floorplan.pin(netlist, pinned, target.device):
            netlist = pinned
        else:
            placer = "heap"
    job = nextpnr_ecp5.place(
        netlist, target.pins, device=target.device, package=target.package, speed=target.speed,
        clock_mhz=target.clock_mhz, seed=seed,
        placer=placer,
    )  # fmt: skip
    base.run(job, folder / "job", log, progress=nextpnr_ecp5.progress)
    timing = nextpnr_ecp5.metrics(
        (folder / "job/report.json").read_text(), clock_mhz=target.clock_mhz
    )
    files.copy(folder / "job/top.config", folder / "top.config")
    files.write_json(
        folder / TIMING,
        {"seed": seed, "nextpnr": job.version, "clock_mhz": target.clock_mhz, **asdict(timing)},
    )
    print(
        f"  seed {seed}: {timing.fmax_mhz:.1f} MHz, {target.clock_mhz:g} MHz asked for, "
        f"slack {timing.slack_ns:+.2f} ns",
        file=sys.stderr,
    )


def pack(runs: Sequence[Path], target: TargetConfig, folder: Path, log: Path) -> None:
    """Make the bitstream of the fastest of the place-and-route `runs` (folders).

    `folder` receives ``chip.bit`` and ``bitstream.json``, which names the seed. Of equally fast
    runs the first is taken.

    Raises
    ------
    FlowError
        If there is no run.
    ToolError, ToolNotFoundError
        If ecppack fails or is absent.
    """
    if not runs:
        raise FlowError("pack: give the folder of at least one place-and-route run")
    timings = [files.read_json(run / TIMING) for run in runs]
    best = max(range(len(runs)), key=lambda i: (timings[i]["fmax_mhz"], -i))
    job = ecppack.pack(runs[best] / "top.config", idcode=ecp5.IDCODE[target.device])
    base.run(job, folder / "pack", log)
    size = ecppack.metrics((folder / "pack/chip.bit").read_bytes())
    files.copy(folder / "pack/chip.bit", folder / "chip.bit")
    files.write_json(
        folder / "bitstream.json",
        {"seed": timings[best]["seed"], "bytes": size, "ecppack": job.version},
    )
    print(f"  bitstream of seed {timings[best]['seed']}: {folder / 'chip.bit'}, {size} bytes",
          file=sys.stderr)  # fmt: skip
