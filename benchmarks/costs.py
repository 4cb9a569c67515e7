"""Samples behind the planner's cost model: every kind of part of a chip, synthesized alone.

``python benchmarks/costs.py --family ecp5`` synthesizes what is not yet in
``rtl_gen/plan/samples/ecp5.json`` and adds it; ``--kind norm --again`` repeats one kind. Numbers of
cells are kept as Yosys gives them, so that their interpretation may change without another run.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.parts import Tied, chips, samples
from flow import files
from flow.silicon import table
from flow.tools import base, yosys, yosys_cells
from rtl_gen.fabric import rom
from rtl_gen.plan.part import Part, of_component
from rtl_gen.verilog import convert

FOLDER = Path(__file__).parents[1] / "rtl_gen/plan/samples"
PRIMITIVES = {"rom", "rom_pair", "ram", "lane"}
"""Kinds whose module is only a shell around an instance that belongs to the part."""

GRAPHS = {"serial_graph", "parallel_graph"}
"""Kinds whose Verilog lies beside that of their component."""

MOST_BITS = 4096
"""Bits of the largest memory that is mapped to standard cells."""

OWN = (
    "*.queue", "*.scale", "*.k_cache", "*.v_cache",
    "$paramod*adder*", "$paramod*add_or_load*", "$paramod*queue_memory*",
)  # fmt: skip
"""Modules that are sampled with the one they are in, as patterns of names."""

_ROM = re.compile(r"\.DEPTH\(32'd(\d+)\),\s*\.FILE\(\"(rom/\w+\.hex)\"\),\s*\.WIDTH\(32'd(\d+)\)")


def images(verilog: str, folder: Path) -> None:
    """Write random contents for every ROM of `verilog`; constant ones would be optimized away."""
    rng = np.random.default_rng(1)
    (folder / "rom").mkdir()
    for depth, name, width in set(_ROM.findall(verilog)):
        count, bits = int(depth), int(width)
        octets = rng.integers(0, 256, (count, -(-bits // 8)), np.uint8)
        words = (int.from_bytes(row.tobytes(), "little") for row in octets)
        (folder / name).write_text(rom.image(words, bits))


def boxes(alone: str) -> str:
    """Command that leaves out what is a part of its own inside of module `alone`."""
    own = f"{' '.join(OWN)} {'%u ' * (len(OWN) - 1)}%d"
    return f"blackbox {alone}.* $paramod* %u {own}"


def own_cells(modules: Mapping[str, Mapping[str, int]], top: str) -> dict[str, int]:
    """Cells of `top` and of the modules in it that are no black boxes."""
    total: Counter[str] = Counter()
    for name, count in modules[top].items():
        if name in modules:
            for inner, each in own_cells(modules, name).items():
                total[inner] += count * each
        elif not name.startswith(("chip.", "$paramod")):  # a black box
            total[name] += count
    return dict(sorted(total.items()))


def measure(component: Any, what: Part, family: str, liberty: Path | None) -> dict[str, Any]:
    """Synthesize one component and give its record."""
    start = time.monotonic()
    top = "chip.unit" if isinstance(component, Tied) else "chip"
    deep = what.kind in PRIMITIVES | GRAPHS
    left_out = "" if deep else boxes(top)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        verilog = convert(component, "chip")
        if what.kind in GRAPHS:
            verilog += component.core.verilog
        (folder / "design.v").write_text(verilog)
        images(verilog, folder)
        if liberty is None:
            defines = {
                "LUT_PRODUCTS": MOST_BITS * what.sizes.get("lut_products", 0),
                "LOGIC_ROM_BITS": 16 * MOST_BITS * what.sizes.get("logic", 0),
            }
            job = yosys.count_cells(
                folder / "design.v", "chip", folder / "rom", family,
                {name: value for name, value in defines.items() if value}, boxes=left_out,
            )  # fmt: skip
        else:
            job = yosys_cells.count_area(
                folder / "design.v", "chip", folder / "rom", liberty, boxes=left_out
            )
        base.run(job, folder / "job", folder / "log")
        text = (folder / "job/stat.json").read_text()
    # Standard cells are mapped after what holds the unit and the unit have become one.
    counted = top if liberty is None else "chip"
    cells: dict[str, float] = {**own_cells(yosys.metrics(text), counted)}
    if liberty is not None:
        each = {
            name: float(cell.values["area"]) for name, cell in table.read(liberty).cells.items()
        }
        total = sum(count * each[name] for name, count in cells.items())
        cells = {"area": round(total, 2), "cells": sum(cells.values())}
    return {
        "kind": what.kind, "parameters": what.sizes, "cells": cells,
        "seconds": round(time.monotonic() - start, 1),
    }  # fmt: skip


def cells_can_build(part: Part) -> bool:
    """Whether standard cells make this part in reasonable time: memories are gates there."""
    bits = part.sizes.get("width", 0) * part.sizes.get("depth", 0)
    return part.sizes.get("lut_products") != 0 and not part.sizes.get("logic") and bits <= MOST_BITS


def conditions(family: str, liberty: Path | None) -> dict[str, str]:
    """Tools and scripts of the samples."""
    found = {"Amaranth": importlib.metadata.version("amaranth"), "Yosys": yosys.version()}
    return found | {"liberty": liberty.name if liberty else ""}


def liberty_file(given: Path, folder: Path) -> Path:
    """Copy of a Liberty file (may be gzipped) in `folder`, without cells for power switching."""
    content = given.read_bytes()
    content = gzip.decompress(content) if given.suffix == ".gz" else content
    kept, blocks = [], content.decode().split("\n    cell (")
    for block in blocks:
        if "lpflow" not in block.split(")", 1)[0]:
            kept.append(block)
    if "lpflow" in blocks[-1].split(")", 1)[0]:
        kept[-1] += "\n}\n"
    plain = folder / given.name.removesuffix(".gz")
    plain.write_text("\n    cell (".join(kept))
    return plain


def main() -> None:
    """Synthesize the samples that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=[*yosys.FAMILIES, "sky130"], default="ecp5")
    parser.add_argument("--kind", help="only this kind of part")
    parser.add_argument("--again", action="store_true", help="repeat samples that are there")
    parser.add_argument("--liberty", type=Path, help="sky130: Liberty file, may be gzipped")
    options = parser.parse_args()
    if (options.family == "sky130") != (options.liberty is not None):
        parser.error("--liberty goes with --family sky130, and the other way round")
    path = FOLDER / f"{options.family}.json"
    known = files.read_json(path)["samples"] if path.is_file() else []
    # What is repeated may have other parameters than it had.
    kept = [r for r in known if not options.again or options.kind not in {None, r["kind"]}]
    found = {(row["kind"], tuple(sorted(row["parameters"].items()))): row for row in kept}
    with tempfile.TemporaryDirectory() as name:
        liberty = liberty_file(options.liberty, Path(name)) if options.liberty else None
        for sample in chain(samples(), chips(Path(name) / "checkpoints")):
            part = sample.part or of_component(sample.component)[0]
            key = (part.kind, part.parameters)
            if options.kind not in {None, part.kind} or key in found:
                continue
            if options.family != "ecp5" and not sample.everywhere:
                continue
            if liberty is not None and not cells_can_build(part):
                continue
            found[key] = measure(sample.component, part, options.family, liberty)
            print(found[key], flush=True)
            rows = [found[key] for key in sorted(found)]
            files.write_json(path, {"conditions": conditions(options.family, liberty),
                                    "samples": rows})  # fmt: skip


if __name__ == "__main__":
    main()
