"""The FPGA stages: Verilog to netlist, netlist to routed design, routed design to bitstream.

Mapping, placing and routing see ROMs of no meaning; what they made is filled with the words of the
checkpoint afterwards (`flow.contents`). Their jobs are done again when what they see changes, so
not for other weights of the same architecture.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flow import contents, ecp5, files, filling, floorplan, mapping
from flow.config import TargetConfig
from flow.tools import base, ecppack, nextpnr_ecp5, yosys, yosys_rom
from rtl_gen.errors import FlowError
from rtl_gen.fabric.rom import image
from rtl_gen.plan.cost import LogicShare

CELLS = "cells.json"
TIMING = "timing.json"
RESETS = "resets.json"

STATIC_BLOCK_RAMS = 0.85
"""Share of block RAMs above which `flow.floorplan` gives them sites: with 97 % of them in use
nextpnr's electrostatic placer never came to an end. It is otherwise the better one: on `names` a
fifth faster than the default, with 12 % more clock."""


def synthesize(
    chip: Path, top: str, target: TargetConfig, folder: Path, log: Path, bare: str = ""
) -> None:
    """Map the chip, then its board wrapper, to cells of the target.

    Parameters
    ----------
    chip : Path
        ``chip.v``, with the images it reads in ``rom/`` beside it.
    top : str
        Verilog text of the board wrapper.
    bare : str, optional
        The same with reset values that depend on no checkpoint; `top` if left out.
    folder : Path
        Receives ``netlist.json`` and ``netlist.v`` (module ``chip``, hierarchical), ``top.v``,
        ``top.json`` (the board, flattened, with ROMs of no meaning and the reset values of `bare`),
        ``resets.json`` (those of `top`) and ``cells.json`` (resources by unit).

    Raises
    ------
    ToolError, ToolNotFoundError
        If Yosys fails or is absent.
    """
    files.write(folder / "top.v", top)
    room = ecp5.CAPACITY[target.device]
    manifest = files.read_json(chip.parent / "manifest.json")
    images = shared(folder) / "empty"
    files.write_folder(images, {
        **{path.name: path.read_text() for path in (chip.parent / "rom").glob("*.hex")},
        **{
            name: image(contents.empty(Path(name).stem, width, len(words)), width)
            for name, (width, words) in _words(chip).items()
        },
    })  # fmt: skip
    share: LogicShare | None = mapping.choose(manifest, room)
    while share is not None:
        chosen, mapped = share, shared(folder) / f"synthesis{share.suffix}"
        modules = _map_chip(chip, images, mapped, log, share)
        if ecp5.of_module(modules, "chip").dsp <= room.dsp:
            break
        share = mapping.enlarge(share, manifest)
        if share is not None:
            print(
                "  too few multipliers on the device: building lanes with operands of up to "
                f"{share.product_bits} bits from LUTs",
                file=sys.stderr,
            )
    linked_job, resets = _link(mapped, bare or top, folder, log)
    wrapper = yosys.metrics((linked_job / "board.json").read_text())["top"]
    linked = yosys.metrics((linked_job / "stat.json").read_text())["top"]
    units = {**ecp5.by_unit(modules, "chip"), "board": ecp5.of_cells(wrapper)}
    total = ecp5.of_cells(linked)
    _fill(chip, mapped, folder, log)
    files.copy(linked_job / "top.json", folder / "top.json")
    files.write_json(folder / RESETS, resets)
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
    parts = [
        log.with_suffix(f".{part}") for part in ("chip", "board", "wrapper", "roms", "verilog")
    ]
    files.write(log, "".join(
        f"== {part.suffix[1:]}\n{part.read_text(errors='replace')}"
        for part in parts if part.is_file()
    ))  # fmt: skip
    for part in parts:
        part.unlink(missing_ok=True)
    amounts = ", ".join(
        f"{getattr(total, name)} of {getattr(room, name)} {ecp5.LABELS[name]}"
        for name in ecp5.NAMES
    )
    print(f"  synthesized for {target.device}: {amounts}", file=sys.stderr)


def _words(chip: Path) -> dict[str, tuple[int, list[int]]]:
    """Width and words of the image of every constant memory of a chip, by the image's name."""
    found = {}
    for item in files.read_json(chip.parent / "manifest.json")["memories"]:
        if item["class"] == "constant":
            text = (chip.parent / item["image"]).read_text()
            words = [int(line, 16) for line in text.split()]
            found[Path(item["image"]).name] = int(item["width"]), words
    return found


def _fill(chip: Path, mapped: Path, folder: Path, log: Path) -> None:
    """Fill the mapped chip with its words: ``netlist.json`` and ``netlist.v`` in `folder`."""
    netlist = json.loads((mapped / "netlist.json").read_text())
    modules = netlist["modules"]
    memories = contents.memories(modules)
    words = _words(chip)
    values: dict[str, contents.Values] = {}
    if blocks := contents.alone(memories):
        images = shared(folder) / "images"
        masks = {name: contents.mask(Path(name).stem, *item) for name, item in words.items()}
        for part, drawn in (
            (contents.MASK, masks),
            (contents.SUM, {n: contents.added(masks[n], words[n][1]) for n in words}),
        ):
            texts = {name: image(item, words[name][0]) for name, item in drawn.items()}
            files.write_folder(images / part, texts)
        job = shared(folder) / f"roms{mapped.name.removeprefix('synthesis')}"
        base.run(yosys_rom.map_alone(chip, blocks, images), job, log.with_suffix(".roms"))
        alone = files.read_json(job / "roms.json")["modules"]
        values.update(contents.of_blocks(modules, alone))
    for name, item in memories.items():
        if name not in values:
            values[name] = contents.of_tables(item, words[item.image][1])
    filling.netlist(modules, values)
    files.write(folder / "netlist.json", json.dumps(netlist))
    written = folder / "netlist"
    base.run(yosys_rom.write_verilog(folder / "netlist.json"), written, log.with_suffix(".verilog"))
    files.copy(written / "netlist.v", folder / "netlist.v")


def _link(mapped: Path, bare: str, folder: Path, log: Path) -> tuple[Path, contents.Values]:
    """Link the board with the mapped chip: where, and the reset values that it is to have."""
    files.write(folder / "bare.v", bare)

    def link(top: Path, job: Path) -> Path:
        linked = yosys.link_board(top, mapped / "netlist.json", mapped / "stub.v")
        base.run(linked, job, log.with_suffix(".board"), progress=yosys.progress)
        return job

    found = link(folder / "bare.v", folder / "link")
    if files.same(folder / "bare.v", folder / "top.v"):
        return found, {}
    wrapper = yosys_rom.map_wrapper(folder / "top.v", mapped / "stub.v")
    base.run(wrapper, folder / "wrapper", log.with_suffix(".wrapper"))
    one, other = (files.read_json(job / "wrapper.json")["modules"]["top"]
                  for job in (found, folder / "wrapper"))  # fmt: skip
    resets = filling.resets(one, other)
    if resets is not None:
        return found, resets
    print("  what the board begins with is more than reset values: it is placed and routed for it",
          file=sys.stderr)  # fmt: skip
    return link(folder / "top.v", folder / "own"), {}


def _map_chip(
    chip: Path, images: Path, mapped: Path, log: Path, share: LogicShare
) -> Mapping[str, Mapping[str, int]]:
    """Cells by type of every module of the mapped chip."""
    job = yosys.synthesize_chip(chip, images, share.defines, tables=True)
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
    built: Path, target: TargetConfig, where: str, seed: int, folder: Path, log: Path
) -> None:
    """Place and route the board once, and fill it.

    Parameters
    ----------
    built : Path
        Folder of `synthesize`.
    where : str
        File of the target, for messages.
    folder : Path
        Receives ``job``, as nextpnr wrote it; ``top.config`` and ``routed.json``, filled; and
        ``timing.json``.

    Raises
    ------
    TargetError
        If the design does not fit the device; place and route is not started.
    ToolError, ToolNotFoundError
        If nextpnr fails or is absent.
    """
    netlist = built / "top.json"
    content = files.read_json(built / CELLS)
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
    if not base.run(job, folder / "job", log, progress=nextpnr_ecp5.progress):
        print(f"  seed {seed}: placed and routed before; ROMs are filled anew", file=sys.stderr)
    timing = nextpnr_ecp5.metrics(
        (folder / "job/report.json").read_text(), clock_mhz=target.clock_mhz
    )
    modules = files.read_json(built / "netlist.json")["modules"]
    _fill_routed(modules, files.read_json(built / RESETS), folder)
    files.write_json(
        folder / TIMING,
        {"seed": seed, "nextpnr": job.version, "clock_mhz": target.clock_mhz, **asdict(timing)},
    )
    print(
        f"  seed {seed}: {timing.fmax_mhz:.1f} MHz, {target.clock_mhz:g} MHz asked for, "
        f"slack {timing.slack_ns:+.2f} ns",
        file=sys.stderr,
    )


def _fill_routed(modules: Mapping[str, Any], resets: contents.Values, folder: Path) -> None:
    """Fill what nextpnr wrote with the words of the mapped and filled chip, and reset values."""
    values = {**filling.flat(modules, contents.of_netlist(modules), "chip"), **resets}
    routed = files.read_json(folder / "job" / nextpnr_ecp5.ROUTED)
    cells = routed["modules"]["top"]["cells"]
    empty = (folder / "job/top.config").read_text()
    filling.routed(cells, values)
    files.write(folder / "top.config", filling.configuration(empty, cells, values))
    files.write(folder / nextpnr_ecp5.ROUTED, json.dumps(routed))


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
