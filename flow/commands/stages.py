"""One sub-command per Snakemake rule; each line Snakemake shows can be repeated by hand."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from flow import checkpoint, checks, config, files, fpga, graph, measure, planning
from flow.log import recorded
from rtl_gen.errors import FlowError

LARGEST = "LFE5U-85F"
"""Device of a chip that is planned for no target."""

Run = Callable[[argparse.Namespace], int]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the stages."""
    stage = add_stage(
        subparsers, "quantize", _quantize, "checkpoint to integer graph",
        "quantize configs/models/names.yaml --folder results/names/quantize",
    )  # fmt: skip
    add_files(stage, "config", "--folder")
    stage.add_argument("--checkpoint", help="instead of the configured one")

    stage = add_stage(
        subparsers, "rtl", _rtl, "integer graph to Verilog",
        "rtl configs/models/names.yaml --graph results/names/quantize/graph.safetensors"
        " --folder results/names/rtl",
    )  # fmt: skip
    add_files(stage, "config", "--graph", "--folder")
    stage.add_argument("--target", nargs="+", default=[], metavar="T",
                       help="targets that must hold the chip (the largest ECP5)")  # fmt: skip

    stage = add_stage(
        subparsers, "verify", _verify, "compare simulated hardware with the golden model",
        "verify configs/models/names.yaml --graph results/names/quantize/graph.safetensors"
        " --manifest results/names/rtl/manifest.json --design results/names/rtl/chip.v"
        " --metrics results/names/verify/metrics.json",
    )  # fmt: skip
    add_files(stage, "config", "--graph", "--manifest", "--metrics")
    stage.add_argument("--checkpoint", help="instead of the configured one")
    source = stage.add_mutually_exclusive_group(required=True)
    source.add_argument("--design", type=Path, help="chip.v")
    source.add_argument("--netlist", type=Path, help="netlist.v")
    stage.add_argument("--cells", type=Path, help="models of its standard cells (else ECP5's)")

    stage = add_stage(
        subparsers, "synthesize", _synthesize, "Verilog to netlist",
        "synthesize configs/targets/ulx3s_85f.yaml --model configs/models/names.yaml"
        " --chip results/names/rtl/chip.v"
        " --manifest results/names/rtl/manifest.json --folder results/names/ulx3s_85f",
    )  # fmt: skip
    add_files(stage, "config", "--model", "--chip", "--manifest", "--folder")

    stage = add_stage(
        subparsers, "place", _place, "netlist to routed design",
        "place configs/targets/ulx3s_85f.yaml --built results/names/ulx3s_85f --seed 1"
        " --folder results/names/ulx3s_85f/seed1",
    )  # fmt: skip
    add_files(stage, "config", "--built", "--folder")
    stage.add_argument("--seed", type=int, default=1, help="seed of the placer (1)")

    stage = add_stage(
        subparsers, "pack", _pack, "routed design to bitstream",
        "pack configs/targets/ulx3s_85f.yaml --timing results/names/ulx3s_85f/seed1/timing.json"
        " --folder results/names/ulx3s_85f",
    )  # fmt: skip
    add_files(stage, "config", "--folder")
    stage.add_argument("--timing", type=Path, nargs="+", required=True, metavar="FILE")

    stage = add_stage(
        subparsers, "measure", _measure, "collect the metrics of a chip",
        "measure configs/models/names.yaml configs/targets/ulx3s_85f.yaml …"
        " (`snakemake -p` shows the whole line)",
    )  # fmt: skip
    add_files(stage, "config", "target", "--quality", "--manifest", "--rtl", "--netlist", "--cells",
           "--bitstream", "--metrics")  # fmt: skip
    stage.add_argument("--timing", type=Path, nargs="+", required=True, metavar="FILE")

    stage = add_stage(
        subparsers, "judge", _judge, "judge the metrics of a chip; exit 0 iff all checks pass",
        "judge results/names/ulx3s_85f/metrics.json"
        " --verdict results/names/ulx3s_85f/checks.json",
    )  # fmt: skip
    add_files(stage, "metrics", "--verdict")


def add_stage(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Run,
    title: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add the stage called `name`, done by `run`."""
    stage = subparsers.add_parser(
        name, help=f"stage: {title}", description=f"{title[0].upper()}{title[1:]}.",
        epilog=f"example:\n  intaglio {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    stage.add_argument("--log", type=Path, metavar="FILE", help="write messages here, too")
    stage.set_defaults(run=recorded(run))
    return stage


def add_files(stage: argparse.ArgumentParser, *names: str) -> None:
    """Add arguments that are paths: options if their name begins with two dashes."""
    for name in names:
        if name.startswith("--"):
            stage.add_argument(name, type=Path, required=True, metavar="PATH")
        else:
            stage.add_argument(name, type=Path, metavar=name.upper())


def _quantize(args: argparse.Namespace) -> int:
    from flow import quantize  # noqa: PLC0415  # other stages need none of what it imports

    model = config.load_model(args.config)
    path = checkpoint.locate(args.checkpoint or model.checkpoint)
    quantize.run(model, path, args.folder)
    return 0


def _rtl(args: argparse.Namespace) -> int:
    from rtl_gen import emit  # noqa: PLC0415  # Amaranth takes a second to import

    design = graph.read(args.graph)
    model = config.load_model(args.config)
    aims = planning.targets(args.target or [LARGEST])
    plan, found = planning.choose(design, model.plan, aims, model.adapters.slots)
    emitted = emit.emit(design, plan)
    files.write(args.folder / "chip.v", emitted.verilog)
    files.write_json(args.folder / "manifest.json", {**emitted.manifest, "planning": found})
    files.write_folder(args.folder / "rom", {
        name.removeprefix("rom/"): text for name, text in emitted.images.items()
    })  # fmt: skip
    return 0


def _verify(args: argparse.Namespace) -> int:
    from flow import compare  # noqa: PLC0415  # other stages need none of what it imports

    model = config.load_model(args.config)
    design = compare.Design(
        "rtl" if args.design else "netlist",
        args.design or args.netlist,
        args.graph,
        args.manifest,
        args.cells,
    )
    path = checkpoint.locate(args.checkpoint or model.checkpoint)
    compare.run(model, path, design, args.metrics, args.log or args.metrics.with_suffix(".log"))
    return 0


def _synthesize(args: argparse.Namespace) -> int:
    from rtl_gen import board  # noqa: PLC0415  # Amaranth takes a second to import

    target = config.load_target(args.config)
    start = config.load_model(args.model).generate
    bare = partial(
        board.top, files.read_json(args.manifest), clock_mhz=target.clock_mhz,
        oscillator_mhz=target.oscillator_mhz, baud=target.baud,
    )  # fmt: skip
    top = bare(temperature=start.temperature, seed=start.seed, limit=start.limit, top_k=start.top_k)
    log = args.log or args.folder / "synthesize.log"
    fpga.synthesize(args.chip, top, target, args.folder, log, bare())
    return 0


def _place(args: argparse.Namespace) -> int:
    fpga.place(
        args.built, config.load_target(args.config), str(args.config), args.seed, args.folder,
        args.log or args.folder / "place.log",
    )  # fmt: skip
    return 0


def _pack(args: argparse.Namespace) -> int:
    fpga.pack(
        [path.parent for path in args.timing], config.load_target(args.config), args.folder,
        args.log or args.folder / "pack.log",
    )  # fmt: skip
    return 0


def _measure(args: argparse.Namespace) -> int:
    metrics = measure.collect(
        config.load_model(args.config),
        config.load_target(args.target),
        quality=files.read_json(args.quality),
        manifest=files.read_json(args.manifest),
        rtl=files.read_json(args.rtl),
        netlist=files.read_json(args.netlist),
        cells=files.read_json(args.cells),
        timings=[files.read_json(path) for path in args.timing],
        bitstream=files.read_json(args.bitstream),
    )
    files.write_json(args.metrics, metrics)
    return 0


def _judge(args: argparse.Namespace) -> int:
    verdicts = checks.judge(files.read_json(args.metrics))
    for check in verdicts:
        print(f"{'pass' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
    failed = [check.name for check in verdicts if not check.ok]
    if failed:
        raise FlowError(f"{args.metrics}: failed checks: {', '.join(failed)}; the report page "
                        f"{args.metrics.with_name('report.html')} shows the numbers")  # fmt: skip
    files.write_json(args.verdict, [asdict(check) for check in verdicts])
    return 0
