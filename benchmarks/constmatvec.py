"""Cost of one constant matrix-vector product on an ECP5: the numbers of `docs/constmatvec.md`.

One case a run, e.g. ``python benchmarks/constmatvec.py --shape 64x64 --weights int4 --style serial
--seeds 3 --json``. The module is placed and routed alone, without pins.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from flow import ecp5
from flow.tools import base, nextpnr_ecp5, yosys
from rtl_gen.adders import accumulator, parallel_core, search, serial_core, share
from rtl_gen.adders.graph import matrix
from rtl_gen.blocks import const_matvec
from rtl_gen.blocks.parallel_matvec import ParallelMatVec
from rtl_gen.blocks.serial_matvec import SerialMatVec
from rtl_gen.fabric import rom
from rtl_gen.ir.types import IntType
from rtl_gen.verilog import convert

X = IntType(8)
LARGEST = {"int8": 127, "int4": 7}
ROM_LANES = 64


@dataclass(frozen=True)
class Design:
    """Verilog of one case and what its text alone tells.

    Parameters
    ----------
    top : str
    verilog : str
    cycles : int
        Cycles from one vector to the next.
    latency : int
        Cycles from a vector's entrance to its result.
    files : mapping of str to str
        Memory images.
    notes : mapping
        What the generator knows of the design.
    """

    top: str
    verilog: str
    cycles: int
    latency: int
    files: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)


def weights(kind: str, rows: int, columns: int, seed: int) -> NDArray[np.int64]:
    """Normal numbers, quantized: int4 and int8 by the largest of a row, ternary by the mean.

    Notes
    -----
    Ternary as in BitNet b1.58 (S. Ma et al., arXiv 2402.17764, section 2): the scale is the mean of
    the magnitudes, which leaves 30 % zeros.
    """
    drawn = np.random.default_rng(seed).normal(size=(rows, columns))
    if kind == "ternary":
        return np.clip(np.round(drawn / abs(drawn).mean()), -1, 1).astype(np.int64)
    most = LARGEST[kind]
    scale = abs(drawn).max(axis=1, keepdims=True) / most
    return np.clip(np.round(drawn / scale), -most - 1, most).astype(np.int64)


def serial(weight: NDArray[np.int64], options: argparse.Namespace) -> Design:
    """Bit-serial adder graph: the core, or with ``--streams`` the whole block."""
    if options.streams:
        block = SerialMatVec(weight, X, tries=options.tries)
        core, text, top = block.core, convert(block, "top", primitives=False), "top"
    else:
        period = max(accumulator(weight, X).width, X.width + 1)
        core, text, top = serial_core(search(weight, options.tries), period, "core"), "", "core"
    notes = {"nodes2": core.nodes2, "nodes3": core.nodes3, "delays": core.delays}
    latency = core.period + core.latency + (2 if options.streams else 0)
    return Design(top, text + core.verilog, core.period, latency, notes=notes)


def parallel(weight: NDArray[np.int64], options: argparse.Namespace) -> Design:
    """Pipelined adder graph."""
    if options.streams:
        block = ParallelMatVec(weight, X, levels=options.levels)
        core, text, top = block.core, convert(block, "top", primitives=False), "top"
    else:
        graph = share(weight)
        core = parallel_core(graph, X, accumulator(weight, X).width, "core", levels=options.levels)
        text, top = "", "core"
    notes = {"adder_bits": core.adder_bits, "levels": options.levels}
    return Design(top, text + core.verilog, 1, core.latency, notes=notes)


def rom_lanes(weight: NDArray[np.int64], options: argparse.Namespace) -> Design:
    """The chip's ROM-fed lanes, requantizer included."""
    rows, columns = weight.shape
    lanes = min(rows, ROM_LANES)
    bits = IntType.holding(int(weight.min()), int(weight.max())).width
    words = const_matvec.weight_words(weight, lanes, bits)
    row_words = const_matvec.row_words(None, np.full(rows, 1 << 15), 8)
    block = const_matvec.ConstMatVec(
        lanes=lanes, x_width=X.width, weight_width=bits, acc_width=accumulator(weight, X).width,
        bias_width=8, width=X.width, weight_depth=len(words), row_depth=len(row_words),
        max_columns=columns, max_rows=rows,
    )  # fmt: skip
    files = {
        "matvec_weight.hex": rom.image(words, lanes * bits),
        "matvec_row.hex": rom.image(row_words, const_matvec.MULTIPLIER_BITS + 8),
    }
    cycles = -(-rows // lanes) * max(columns, lanes)
    return Design("top", convert(block, "top"), cycles, cycles + 13, files, {"lanes": lanes})


def plain(weight: NDArray[np.int64], options: argparse.Namespace) -> Design:
    """``*`` and ``+`` of constants between two registers, as Yosys finds them."""
    rows, columns = weight.shape
    width = accumulator(weight, X).width
    lines = [f"module top(input clk, input [{columns * 8 - 1}:0] x,",
             f"  output reg [{rows * width - 1}:0] y);",
             f"  reg [{columns * 8 - 1}:0] h;",
             "  always @(posedge clk) h <= x;"]  # fmt: skip
    for row, numbers in enumerate(weight.tolist()):
        terms = [
            f"{'-' if n < 0 else ''}{width}'sd{abs(n)} * $signed(h[{8 * k} +: 8])"
            for k, n in enumerate(numbers)
            if n
        ]
        total = " + ".join(terms) or f"{width}'sd0"
        lines.append(f"  wire signed [{width - 1}:0] s{row} = {total};")
        lines.append(f"  always @(posedge clk) y[{row * width} +: {width}] <= s{row};")
    return Design("top", "\n".join([*lines, "endmodule", ""]), 1, 2)


STYLES: dict[str, Callable[[NDArray[np.int64], argparse.Namespace], Design]] = {
    "serial": serial,
    "parallel": parallel,
    "rom": rom_lanes,
    "yosys": plain,
}


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Generate, synthesize, place and route one case."""
    rows, columns = (int(part) for part in options.shape.split("x"))
    weight = weights(options.weights, rows, columns, options.draw)
    start = time.process_time()
    design = STYLES[options.style](weight, options)
    generate_s = time.process_time() - start
    if options.style in {"serial", "parallel"}:
        graph = share(weight)
        assert np.array_equal(matrix(graph), weight)
    images = folder / "images"
    images.mkdir()
    for name, text in design.files.items():
        (images / name).write_text(text)
    source = folder / "design.v"
    source.write_text(design.verilog)

    job = yosys.synthesize_alone(source, design.top, images if design.files else None)
    start = time.monotonic()
    base.run(job, folder / "synth", folder / "synth.log")
    synth_s = time.monotonic() - start
    cells = yosys.metrics((folder / "synth/stat.json").read_text())[design.top]
    total = ecp5.of_cells(cells)
    seeds = []
    for seed in range(1, options.seeds + 1):
        job = nextpnr_ecp5.place_alone(
            folder / "synth/netlist.json", device=options.device, speed=options.speed,
            clock_mhz=options.clock, seed=seed,
        )  # fmt: skip
        start = time.monotonic()
        base.run(job, folder / f"place{seed}", folder / f"place{seed}.log")
        timing = nextpnr_ecp5.metrics(
            (folder / f"place{seed}/report.json").read_text(), clock_mhz=options.clock
        )
        seeds.append(
            {
                "seed": seed,
                "fmax_mhz": round(timing.fmax_mhz, 1),
                "comb": timing.used["TRELLIS_COMB"],
                "ff": timing.used["TRELLIS_FF"],
                "place_s": round(time.monotonic() - start, 1),
            }
        )
    return {
        "shape": options.shape,
        "weights": options.weights,
        "style": options.style,
        "boundary": "streams" if options.streams or options.style == "rom" else "core",
        "draw": options.draw,
        "nonzero": round(float((weight != 0).mean()), 4),
        "lut": total.lut,
        "ff": total.ff,
        "ebr": total.ebr,
        "dsp": total.dsp,
        "lut_per_weight": round(total.lut / weight.size, 4),
        "cycles_per_matvec": design.cycles,
        "latency_cycles": design.latency,
        "lut_cycles_per_weight": round(total.lut * design.cycles / weight.size, 3),
        **design.notes,
        "generate_s": round(generate_s, 1),
        "synth_s": round(synth_s, 1),
        "seeds": seeds,
        "conditions": {
            "device": options.device, "speed": options.speed, "clock_mhz": options.clock,
            "x": str(X), "tries": options.tries, "times": "wall clock, generate: CPU",
        },
        "tools": {
            "Amaranth": importlib.metadata.version("amaranth"),
            "Yosys": yosys.version(), "nextpnr-ecp5": nextpnr_ecp5.version(),
        },
    }  # fmt: skip


def main() -> None:
    """Measure the case on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="64x64", help="rows x columns, e.g. 256x64")
    parser.add_argument("--weights", choices=["int4", "int8", "ternary"], default="int4")
    parser.add_argument("--style", choices=list(STYLES), default="serial")
    parser.add_argument("--seeds", type=int, default=1, help="place-and-route runs")
    parser.add_argument("--draw", type=int, default=0, help="seed of the weights")
    parser.add_argument("--tries", type=int, default=8, help="serial: graphs to choose from")
    parser.add_argument("--levels", type=int, default=2, help="parallel: adders per register")
    parser.add_argument("--streams", action="store_true", help="the block with its streams")
    parser.add_argument("--device", default="LFE5U-85F")
    parser.add_argument("--speed", type=int, default=6)
    parser.add_argument("--clock", type=float, default=300.0, help="wanted clock, MHz")
    parser.add_argument("--keep", type=Path, help="new folder to leave the files of the run in")
    parser.add_argument("--json", action="store_true", help="JSON instead of lines")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True)
        found = measure(options, options.keep)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(options, Path(folder))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:24}{value}")


if __name__ == "__main__":
    main()
