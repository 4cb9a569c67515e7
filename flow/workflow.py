"""What the Snakemake rules ask: files, settings, and the digests that decide what runs again.

Everything here depends on wildcards and configuration alone, as Snakemake wants of the ``params``
it records: a stage runs again when its recorded digests differ from these.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from flow import checkpoint, config, digest
from flow.evidence import artefact, ledger, obligation
from flow.silicon import harden, librelane
from flow.silicon import target as asic
from flow.tools import (
    ecppack,
    icarus,
    klayout,
    nextpnr_ecp5,
    ngspice,
    opensta,
    verilator,
    yosys,
)
from rtl_gen.errors import FlowError, ToolNotFoundError

LOCK = Path(".snakemake") / "intaglio.lock"

# What each stage's numbers depend on beside its input files.
_SOURCES = {
    "quantize": (
        "rtl_gen/checkpoint", "rtl_gen/adapter", "rtl_gen/ir", "rtl_gen/quantize", "rtl_gen/passes",
        "rtl_gen/reference", "rtl_gen/golden", "flow/data.py", "flow/arrays.py", "flow/text.py",
        "flow/quantize.py", "flow/adapters.py",
    ),
    "rtl": ("rtl_gen", "flow/planning.py"),
    "verify": (
        "flow/compare.py", "flow/verify.py", "flow/simulate.py", "flow/activity.py",
        "flow/testbench", "flow/text.py", "flow/adapters.py", "flow/adapter_driver.py",
        "flow/evidence/carry.py", "flow/evidence/coverage.py", "flow/evidence/part_coverage.py",
        "flow/evidence/structure.py",
    ),
    "evidence": artefact.PROGRAM,
    "synthesize": (
        "rtl_gen/board.py", "flow/contents.py", "flow/ecp5.py", "flow/filling.py", "flow/fpga.py",
        "flow/mapping.py", "flow/tools/ecp5_carry_cells.v", "flow/tools/ecp5_rom_cells.v",
        "flow/tools/yosys.py", "flow/tools/yosys_rom.py",
    ),
    "place": (
        "flow/contents.py", "flow/ecp5.py", "flow/filling.py", "flow/floorplan.py", "flow/fpga.py",
        "flow/tools/nextpnr_ecp5.py",
    ),
    "pack": ("flow/fpga.py", "flow/tools/ecppack.py"),
    "report": (
        "flow/report", "flow/metrics.py", "flow/measure.py", "flow/checks.py",
        "flow/silicon/measure.py",
    ),
    "cells": (
        "flow/engines/pdkmaster.txt", "flow/engines/sky130_library.py", "flow/silicon/library.py",
        "flow/silicon/cell.py",
    ),
    "map": (
        "flow/silicon/cell.py", "flow/silicon/liberty.py", "flow/silicon/netlist.py",
        "flow/tools/yosys.py", "flow/tools/yosys_cells.py", "flow/tools/rom_banks.v",
    ),
    "layout": (
        "flow/engines/coriolis.txt", "flow/engines/coriolis_place.py",
        "flow/engines/coriolis_strap.py", "flow/engines/klayout.txt",
        "flow/engines/klayout_antenna.py", "flow/engines/klayout_finish.py",
        "flow/engines/klayout_stitch.py", "flow/engines/precheck.txt", "flow/silicon/channel.py",
        "flow/silicon/floorplan.py", "flow/silicon/hierarchy.py", "flow/silicon/layout.py",
        "flow/silicon/netlist.py", "flow/silicon/partition.py", "flow/silicon/tiles.py",
    ),
    "lvs": ("flow/engines/klayout.txt", "flow/engines/klayout_lvs.py"),
    "timing": (
        "pdks", "flow/silicon/cell.py", "flow/silicon/netlist.py", "flow/silicon/timing.py",
        "flow/tools/opensta.py",
    ),
    "toggles": (
        "flow/compare.py", "flow/silicon/netlist.py", "flow/silicon/toggles.py",
        "flow/simulate.py", "flow/testbench", "flow/text.py",
    ),
    "power": (
        "pdks", "flow/silicon/cell.py", "flow/silicon/netlist.py", "flow/silicon/power.py",
        "flow/silicon/table.py", "flow/silicon/timing.py",
    ),
    "librelane": (
        "flow/engines/librelane.txt", "flow/engines/librelane_check.py",
        "flow/engines/yosys_wheel.py", "flow/report/hardened.py", "flow/report/librelane.html.j2",
        "flow/silicon/harden.py", "flow/silicon/librelane.py",
        "flow/silicon/macro.py", "flow/silicon/sram.py", "flow/tools/librelane.py",
    ),
    "characterize": (
        "flow/silicon/cell.py", "flow/silicon/characterize.py", "flow/silicon/liberty.py",
        "flow/silicon/spice.py", "flow/tools/ngspice.py",
    ),
}  # fmt: skip

_VIEWED = {
    "architecture": ("chip", "images", "manifest"),
    "netlist_structure": ("netlist",),
    "skeleton": ("graph",),
    "checkpoint": (),
    "held_out": (),
    "bound": (),
}
"""Files behind inputs of obligations that are less than a file, or more."""

_TOOLS: Mapping[str, Callable[[], str]] = {
    "yosys": yosys.version,
    "nextpnr": nextpnr_ecp5.version,
    "ecppack": ecppack.version,
    "verilator": verilator.version,
    "icarus": icarus.version,
    "klayout": klayout.program_version,
    "ngspice": ngspice.version,
    "opensta": opensta.version,
}


@dataclass(frozen=True)
class Workflow:
    """The configuration of one Snakemake invocation.

    Parameters
    ----------
    runs : Runs
        Content of ``configs/config.yaml`` with the overrides of the command line.
    """

    runs: config.Runs

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of all models, sorted."""
        return _stems(config.FOLDER / "models")

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Names of all targets, sorted."""
        return _stems(config.FOLDER / "targets")

    def model(self, name: str) -> config.ModelConfig:
        """Read the configuration of a model."""
        return config.load_model(config.model_file(name))

    def target(self, name: str) -> config.TargetConfig:
        """Read the configuration of an FPGA target."""
        return config.load_target(config.target_file(name))

    def kind(self, target: str) -> str:
        """Kind of a target: ``fpga``, ``asic`` or ``librelane``."""
        return asic.kind(config.target_file(target))

    def targets_of(self, kind: str) -> tuple[str, ...]:
        """Names of the targets of a kind, sorted."""
        return tuple(name for name in self.targets if self.kind(name) == kind)

    def seeds(self, target: str) -> Sequence[int]:
        """Seeds of place and route."""
        return range(1, (self.runs.seeds or self.target(target).seeds) + 1)

    def pins(self, target: str) -> str:
        """Pin file of the target's board."""
        return str(self.target(target).pins)

    def checkpoint(self, model: str) -> str:
        """Path of a model's checkpoint; a hub id is downloaded."""
        return str(checkpoint.locate(self.runs.checkpoint_of(self.model(model))))

    def content(self, model: str) -> str:
        """Digest of a model's checkpoint and tokenizer, wherever they lie and however old."""
        path = Path(self.checkpoint(model))
        folder = path if path.is_dir() else path.parent
        tokenizer = folder / "tokenizer.json"
        words = digest.file(tokenizer) if tokenizer.is_file() else ""
        return digest.text([checkpoint.content_digest(path), words])

    def settings(self, model: str, *sections: str) -> str:
        """Digest of sections of a model's configuration."""
        values = asdict(self.model(model))
        return digest.text({name: values[name] for name in sections})

    def target_settings(self, target: str, *keys: str) -> str:
        """Digest of keys of a target's configuration."""
        known = asic.load(config.target_file(target)) if self.kind(target) == "asic" else None
        values = asdict(known or self.target(target))
        return digest.text({key: str(values[key]) for key in keys})

    def librelane_settings(self, target: str) -> str:
        """Digest of a target's configuration, its macros' files too, and of where its PDK is."""
        known = librelane.load(config.target_file(target))
        paths = [path for item in known.macros for path in (item.gds, item.lef, item.lib)]
        contents = [_content(str(path)) for path in paths]
        return digest.text([str(known), str(harden.pdk_root(known.pdk)), *contents])

    def target_names(self, model: str) -> str:
        """FPGA targets of a model, separated by spaces: what its plan has to fit."""
        return " ".join(self._fpga_targets(model))

    def _fpga_targets(self, model: str) -> tuple[str, ...]:
        return tuple(name for name in self.runs.targets(model) if self.kind(name) == "fpga")

    def products(self, target: str) -> tuple[str, ...]:
        """Files that end the work on a chip."""
        if self.kind(target) == "librelane":
            return ("librelane.json", "librelane.html")
        return ("report.html", "signoff.json")

    def records(self, model: str, target: str) -> list[str]:
        """Records of every obligation of a chip."""
        required = {item.name for item in obligation.required(self.kind(target))}
        return [proof.record.format(model=model, target=target)
                for proof in obligations() if proof.name in required]  # fmt: skip

    def held_out(self, model: str) -> str:
        """Digest of what else obligations about the float side depend on."""
        known = self.model(model)
        case = artefact.Case(Path("results"), model, "", Path(self.checkpoint(model)))
        return digest.text([case.digest("held_out"), known.quantize.loss_increase])

    def devices(self, model: str) -> str:
        """Digest of what the planner wants to know of a model's targets."""
        return "".join(
            self.target_settings(name, "device", "clock_mhz") for name in self._fpga_targets(model)
        )

    def data(self, model: str) -> str:
        """Digest of the data files and adapters that a model's configuration names."""
        found = self.model(model)
        trained = found.adapters.trained
        where = [path for item in trained for path in (item.path, item.data.path)]
        return (
            digest.text([_content(found.data.path), *map(_content, where)])
            if where
            else (_content(found.data.path))
        )

    def pin_file(self, target: str) -> str:
        """Digest of the pin file of the target's board."""
        return digest.file(self.target(target).pins)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a rule needs to know of an obligation; `files` and others with wildcards."""

    name: str
    rule: str
    files: tuple[str, ...]
    record: str
    log: str
    of_checkpoint: bool
    kind: str
    message: str


def obligations() -> tuple[Proof, ...]:
    """Every obligation as a rule."""
    return tuple(_proof(item) for item in obligation.OBLIGATIONS)


def _proof(item: ledger.Obligation) -> Proof:
    names = [name for given in item.inputs for name in _VIEWED.get(given, (given,))]
    # Which seed became the bitstream is always asked.
    names += ["choice"] if item.kind == "fpga" else []
    place = "{model}/{target}" if item.kind else "{model}"
    where = " on {wildcards.target}" if item.kind else ""
    return Proof(
        name=item.name,
        rule=f"prove_{item.name.replace('.', '_')}",
        files=tuple(f"results/{artefact.FILES[name]}" for name in dict.fromkeys(names)),
        record=f"results/{place}/evidence/{item.name}.json",
        log=f"logs/{place}/evidence/{item.name}.log",
        of_checkpoint="checkpoint" in item.inputs,
        kind=item.kind,
        message=f"{{wildcards.model}}{where}: {item.name}",
    )


def prefer_this_python() -> None:
    """Make ``python`` of the rules' shell lines the interpreter that runs Snakemake."""
    folder = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])


def sources(stage: str) -> str:
    """Digest of the program text that a stage runs."""
    return digest.sources(*_SOURCES[stage])


def versions(*tools: str) -> str:
    """Names and versions of tools; a tool that is not installed is ``absent``."""
    return ", ".join(f"{tool} {_version(tool)}" for tool in tools)


def hold(path: Path = LOCK) -> IO[str]:
    """Keep other invocations out of this folder until the process ends.

    Snakemake's own lock survives a killed run and then has to be removed by hand; the kernel drops
    this one.

    Raises
    ------
    FlowError
        If another invocation holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("w")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.close()
        raise FlowError(
            f"another snakemake works in {Path.cwd()}: wait for it, or use another folder"
        ) from error
    return stream


def load(values: Mapping[str, Any]) -> Workflow:
    """Check the configuration that Snakemake read and merged.

    Raises
    ------
    ConfigError
        If it breaks its schema.
    """
    return Workflow(config.load_runs(values))


def _content(where: str) -> str:
    """Digest of a file or folder, "" if there is none."""
    path = Path(where)
    if not where or not path.exists():
        return ""
    return digest.tree(path, path.rglob("*")) if path.is_dir() else digest.file(path)


def _version(tool: str) -> str:
    try:
        return _TOOLS[tool]()
    except ToolNotFoundError:
        return "absent"


def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))
