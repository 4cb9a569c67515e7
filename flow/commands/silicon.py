"""One sub-command per rule of an asic target; each line Snakemake shows can be repeated by hand."""

from __future__ import annotations

import argparse

from flow import checkpoint, config, files
from flow.commands.stages import add_files, add_stage
from flow.report import page
from flow.silicon import (
    characterize,
    harden,
    hierarchy,
    layout,
    library,
    librelane,
    measure,
    power,
    target,
    timing,
    toggles,
)


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
    stage.add_argument("--jobs", type=int, default=1, metavar="N", help="tiles at once (default 1)")

    stage = add_stage(
        subparsers, "lvs", _lvs, "compare a layout with its netlist",
        "lvs --gds results/cartpole_mlp/sky130/chip.gds"
        " --placed results/cartpole_mlp/sky130/layout.json --views results/pdk/c4m_sky130"
        " --result results/cartpole_mlp/sky130/lvs.json",
    )  # fmt: skip
    add_files(stage, "--gds", "--placed", "--views", "--result")

    stage = add_stage(
        subparsers, "timing", _timing, "static timing of a layout at all corners",
        "timing configs/targets/sky130.yaml --views results/pdk/c4m_sky130"
        " --folder results/cartpole_mlp/sky130 --result results/cartpole_mlp/sky130/timing.json",
    )  # fmt: skip
    add_files(stage, "config", "--views", "--folder", "--result")

    stage = add_stage(
        subparsers, "toggles", _toggles, "simulate a layout's gates and count edges of its nets",
        "toggles configs/models/cartpole_mlp.yaml"
        " --graph results/cartpole_mlp/quantize/graph.safetensors"
        " --manifest results/cartpole_mlp/rtl/manifest.json"
        " --cells results/pdk/c4m_sky130/cells.v --folder results/cartpole_mlp/sky130",
    )  # fmt: skip
    add_files(stage, "config", "--graph", "--manifest", "--cells", "--folder")
    stage.add_argument("--checkpoint", help="instead of the configured one")

    stage = add_stage(
        subparsers, "power", _power, "power of a layout at all corners",
        "power configs/targets/sky130.yaml --views results/pdk/c4m_sky130"
        " --folder results/cartpole_mlp/sky130 --result results/cartpole_mlp/sky130/power.json",
    )  # fmt: skip
    add_files(stage, "config", "--views", "--folder", "--result")

    stage = add_stage(
        subparsers, "harden", _harden, "Verilog to a LibreLane design, run as far as tools allow",
        "harden configs/targets/ihp_sg13g2.yaml --chip results/cartpole_mlp/rtl/chip.v"
        " --folder results/cartpole_mlp/ihp_sg13g2"
        " --result results/cartpole_mlp/ihp_sg13g2/librelane.json --model cartpole_mlp"
        " --page results/cartpole_mlp/ihp_sg13g2/librelane.html",
    )  # fmt: skip
    add_files(stage, "config", "--chip", "--folder", "--result", "--page")
    stage.add_argument("--model", required=True, help="name of the model, for the page")

    stage = add_stage(
        subparsers, "characterize", _characterize, "Liberty of the standard cells at one corner",
        "characterize --views results/pdk/c4m_sky130 --corner tt --liberty tt.lib",
    )  # fmt: skip
    add_files(stage, "--views", "--liberty")
    corners = [item.name for item in characterize.CORNERS]
    stage.add_argument("--corner", required=True, choices=corners)

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
    hierarchy.place(args.mapped, chosen, str(args.config), args.views, args.folder,
                    args.log or args.folder / "layout.log", args.jobs)  # fmt: skip
    return 0


def _lvs(args: argparse.Namespace) -> int:
    layout.compare(
        args.gds, args.placed, args.views, args.result, args.log or args.result.with_suffix(".log")
    )
    return 0


def _timing(args: argparse.Namespace) -> int:
    log = args.log or args.result.with_suffix(".log")
    timing.analyze(target.load(args.config), args.views, args.folder, args.result, log)
    return 0


def _toggles(args: argparse.Namespace) -> int:
    model = config.load_model(args.config)
    path = checkpoint.locate(args.checkpoint or model.checkpoint)
    log = args.log or args.folder / "toggles.log"
    toggles.count(model, path, args.graph, args.manifest, args.folder, args.cells, log)
    return 0


def _power(args: argparse.Namespace) -> int:
    power.analyze(target.load(args.config), args.views, args.folder, args.result)
    return 0


def _harden(args: argparse.Namespace) -> int:
    harden.harden(
        librelane.load(args.config), str(args.config), args.chip, args.folder, args.result,
        args.log or args.result.with_suffix(".log"),
    )  # fmt: skip
    files.write(args.page, page.hardened_page(args.model, files.read_json(args.result)))
    return 0


def _characterize(args: argparse.Namespace) -> int:
    log = args.log or args.liberty.with_suffix(".log")
    characterize.run(args.views, args.corner, args.liberty, log)
    return 0


def _measure(args: argparse.Namespace) -> int:
    parts = ("cells", "place", "finish", "lvs", "drc", "antenna", "timing", "power")
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
