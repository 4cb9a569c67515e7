"""One sub-command per rule of an asic target; each line Snakemake shows can be repeated by hand."""

from __future__ import annotations

import argparse

from flow import config, files
from flow.commands.stages import add_files, add_stage
from flow.silicon import layout, library, measure, target


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the stages."""
    stage = add_stage(
        subparsers, "cells", _cells, "views of the standard cells",
        "cells --folder results/pdk/c4m_sky130",
    )  # fmt: skip
    add_files(stage, "--folder")

    stage = add_stage(
        subparsers, "map", _map, "Verilog to standard cells",
        "map --chip results/cartpole_mlp/rtl/chip.v --views results/pdk/c4m_sky130"
        " --folder results/cartpole_mlp/sky130",
    )  # fmt: skip
    add_files(stage, "--chip", "--views", "--folder")

    stage = add_stage(
        subparsers, "layout", _layout, "standard cells to a layout, routed and checked",
        "layout configs/targets/sky130.yaml --mapped results/cartpole_mlp/sky130/mapped.json"
        " --views results/pdk/c4m_sky130 --folder results/cartpole_mlp/sky130",
    )  # fmt: skip
    add_files(stage, "config", "--mapped", "--views", "--folder")

    stage = add_stage(
        subparsers, "lvs", _lvs, "compare a layout with its netlist",
        "lvs --gds results/cartpole_mlp/sky130/chip.gds"
        " --placed results/cartpole_mlp/sky130/layout.json --views results/pdk/c4m_sky130"
        " --result results/cartpole_mlp/sky130/lvs.json",
    )  # fmt: skip
    add_files(stage, "--gds", "--placed", "--views", "--result")

    stage = add_stage(
        subparsers, "measure-layout", _measure, "collect the metrics of a layout",
        "measure-layout configs/models/cartpole_mlp.yaml configs/targets/sky130.yaml …"
        " (`snakemake -p` shows the whole line)",
    )  # fmt: skip
    add_files(stage, "config", "target", "--quality", "--manifest", "--rtl", "--folder",
              "--metrics")  # fmt: skip


def _cells(args: argparse.Namespace) -> int:
    library.make(args.folder, args.log or args.folder / "cells.log")
    return 0


def _map(args: argparse.Namespace) -> int:
    layout.synthesize(args.chip, args.views, args.folder, args.log or args.folder / "map.log")
    return 0


def _layout(args: argparse.Namespace) -> int:
    chosen = target.load(args.config)
    layout.place(args.mapped, chosen, str(args.config), args.views, args.folder,
                 args.log or args.folder / "layout.log")  # fmt: skip
    return 0


def _lvs(args: argparse.Namespace) -> int:
    layout.compare(
        args.gds, args.placed, args.views, args.result, args.log or args.result.with_suffix(".log")
    )
    return 0


def _measure(args: argparse.Namespace) -> int:
    parts = ("cells", "place", "finish", "lvs", "drc")
    metrics = measure.collect(
        config.load_model(args.config),
        target.load(args.target),
        quality=files.read_json(args.quality),
        manifest=files.read_json(args.manifest),
        rtl=files.read_json(args.rtl),
        netlist=files.read_json(args.folder / "verify.json"),
        **{name: files.read_json(args.folder / f"{name}.json") for name in parts},
    )
    files.write_json(args.metrics, metrics)
    return 0
