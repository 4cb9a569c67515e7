"""``intaglio plan``: what a network costs on a device, and which plan is best."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from flow import config, files, graph, planning
from flow.report import svg
from rtl_gen.errors import TargetError, UnsupportedError
from rtl_gen.plan.chooser import OBJECTIVES

EPILOG = """\
A target is a file of configs/targets or a device (LFE5U-45F, LIFCL-40, iCE40UP5K, GW2A-18, …);
several must all hold the chip. Predictions are fitted to synthesized samples: docs/planner.md says
which families have few of them.

Exit status 0 if a plan fits, 1 if none does; then the output says by how much and what would help.

examples:
  intaglio plan names
  intaglio plan names --target LFE5U-25F --objective rate
  intaglio plan stories260k --target ulx3s_85f --svg front.svg
  intaglio plan names --target LIFCL-40 --json | jq .chosen
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "plan",
        help="predict a network's cost on a device and choose how to build it",
        description="Predict a network's cost on a device and choose how to build it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="name of a file in configs/models")
    parser.add_argument(
        "--target", action="append", metavar="T",
        help="target or device, may be repeated (those of configs/config.yaml)",
    )  # fmt: skip
    parser.add_argument("--objective", choices=list(OBJECTIVES), help="instead of the configured")
    parser.add_argument(
        "--graph", type=Path, metavar="FILE",
        help="integer graph to plan (else that of the results, else a quick one)",
    )  # fmt: skip
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the Pareto front as a plot")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the plans; 0 if one fits, else 1."""
    model = config.load_model(config.model_file(args.model))
    wanted = model.plan
    if wanted.binding == "space":
        raise UnsupportedError(
            f"{args.model}: the planner does not predict chips in space; synthesize it, or leave "
            "out plan.binding"
        )
    if args.objective:
        wanted = dataclasses.replace(wanted, objective=args.objective)
    aims = planning.targets(args.target or config.read_runs().targets(args.model))
    built = Path("results") / model.name / "quantize/graph.safetensors"
    path = args.graph or (built if built.is_file() else None)
    design = graph.read(path) if path else planning.quick_graph(model)
    try:
        _, found = planning.choose(design, wanted, aims, model.adapters.slots)
    except TargetError as error:
        print(json.dumps({"misfit": str(error).splitlines()}, indent=2) if args.json else error)
        return 1
    if args.svg:
        files.write(args.svg, standalone(found))
    print(json.dumps(found, indent=2) if args.json else text(found))
    return 0 if found["chosen"]["fits"] else 1


def standalone(found: dict[str, Any]) -> str:
    """The plot as a file of its own, with the colours that a page would give."""
    style = (
        "<style>.grid{stroke:#ccc}.line{fill:none;stroke:#777}.dot{fill:#777}"
        ".front{fill:#1666c0}.chosen{fill:#c02716}text{font:11px sans-serif}</style>"
    )
    plot = svg.front(found)
    return plot.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        "\n", f"\n{style}\n", 1
    )


def text(found: dict[str, Any]) -> str:
    """The report for a terminal."""
    names = [d["name"] for d in found["devices"]]
    lines = [f"{', '.join(names)}; objective {found['objective']}"]
    head = "".join(f"{name:>9}" for name in found["chosen"]["total"][0])
    lines.append(
        f"  {'':30}{'cycles: first':>14}{'average':>10}{'longest':>10}{head}  of {names[0]}"
    )
    for item in found["candidates"]:
        if item["front"] or item["plan"] == found["chosen"]["plan"]:
            mark = "*" if item["plan"] == found["chosen"]["plan"] else " "
            lines.append(f"{mark} {item['text']:30}{_numbers(item)}")
    chosen = found["chosen"]
    for device in found["devices"]:
        if device["clock_mhz"]:
            speed = planning.rate(chosen["cycles"], device["clock_mhz"])
            lines.append(
                f"  {speed:,.0f} steps/s at the {device['clock_mhz']:g} MHz of {device['name']}"
            )
    for device, share in zip(names, chosen["from_luts"], strict=True):
        if share["product_bits"]:
            lines.append(f"  {device}: lanes' multipliers of up to {share['product_bits']} bits "
                         "are built from LUTs")  # fmt: skip
        if share["rom_bits"]:
            lines.append(
                f"  {device}: ROMs of up to {share['rom_bits']:,} bits are built from LUTs"
            )
    lines.append(f"  {100 * chosen['share']:.0f} % of what is usable of the scarcest resource")
    lines += found["misfit"]
    if found["uncounted"]:
        lines.append(f"  not counted, unknown to the cost model: {', '.join(found['uncounted'])}")
    for family, kinds in found["extrapolated"].items():
        lines.append(f"  {family}: no samples of {', '.join(kinds)}; taken from the ECP5's size")
    lines.append("units:")
    for unit, used in sorted(found["units"].items(), key=lambda u: -max(u[1].values())):
        lines.append(f"  {unit:14}" + "".join(f"{name} {n:<8,}" for name, n in used.items()))
    lines.append("tensors:")
    width = max((len(item["name"]) for item in found["tensors"]), default=0)
    for item in found["tensors"]:
        shape = "x".join(map(str, item["shape"]))
        lines.append(
            f"  {item['name']:{width}} {shape:>9} i{item['bits']} {item['style']}: {item['why']}"
        )
    return "\n".join(lines)


def _numbers(item: dict[str, Any]) -> str:
    cycles = item["cycles"]
    amounts = "".join(f"{n:>9,}" for n in item["total"][0].values())
    return (f"{cycles['first']:>14,}{cycles['average']:>10,.0f}{cycles['last']:>10,}{amounts}"
            f"{'' if item['fits'] else '  does not fit'}")  # fmt: skip
