"""Cost of one constant matrix-vector product on an ECP5: the numbers of `docs/constmatvec.md`.

One case a run, e.g. ``python benchmarks/constmatvec.py --shape 64x64 --weights int4 --style serial
--seeds 3 --json``. The module is placed and routed alone, without pins.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.designs import STYLES, X, tensor, weights
from flow import ecp5
from flow.tools import base, nextpnr_ecp5, yosys


def chosen(options: argparse.Namespace) -> NDArray[np.int64]:
    """Weights of the case."""
    if not options.tensor:
        rows, columns = (int(part) for part in options.shape.split("x"))
        return weights(options.weights, rows, columns, options.draw)
    file, _, name = options.tensor.rpartition(":")
    return tensor(options.weights, Path(file), name)


def children_s() -> float:
    """Processor seconds of the tools that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Generate, synthesize, place and route one case."""
    if options.style == "macro" and options.seeds:
        raise SystemExit("--style macro has black boxes, which no FPGA can place: --seeds 0")
    weight = chosen(options)
    start = time.process_time()
    design = STYLES[options.style](weight, options)
    generate_s = time.process_time() - start
    generate_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if options.emit:
        return {
            "shape": "x".join(map(str, weight.shape)), "weights": options.weights,
            "style": options.style, **design.notes, "verilog_bytes": len(design.verilog),
            "generate_s": round(generate_s, 1), "peak_mb": round(generate_mb),
        }  # fmt: skip
    images = folder / "images"
    images.mkdir()
    for name, text in design.files.items():
        (images / name).write_text(text)
    source = folder / "design.v"
    source.write_text(design.verilog)

    job = yosys.synthesize_alone(source, design.top, images if design.files else None)
    start = children_s()
    base.run(job, folder / "synth", folder / "synth.log")
    synth_s = children_s() - start
    cells = yosys.metrics((folder / "synth/stat.json").read_text())[design.top]
    total = ecp5.of_cells(cells)
    # nextpnr ends every one of these carry chains with a cell of its own.
    total += ecp5.Resources(lut=2 * int(design.notes.get("chains", 0)))
    seeds = []
    for seed in range(1, options.seeds + 1):
        job = nextpnr_ecp5.place_alone(
            folder / "synth/netlist.json", device=options.device, speed=options.speed,
            clock_mhz=options.clock, seed=seed,
        )  # fmt: skip
        start = children_s()
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
                "place_s": round(children_s() - start, 1),
            }
        )
    return {
        "shape": "x".join(map(str, weight.shape)),
        "weights": options.weights,
        "source": Path(options.tensor).name if options.tensor else "normal numbers",
        "style": options.style,
        "boundary": "streams" if options.streams or options.style in {"rom", "macro"} else "core",
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
        "generate_peak_mb": round(generate_mb),
        "synth_s": round(synth_s, 1),
        "seeds": seeds,
        "conditions": {
            "device": options.device, "speed": options.speed, "clock_mhz": options.clock,
            "x": str(X), "tries": options.tries, "rounds": options.rounds,
            "times": "processor",
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
    parser.add_argument(
        "--tensor", help="FILE.safetensors:NAME, a float32 matrix to quantize instead"
    )
    parser.add_argument("--style", choices=list(STYLES), default="serial")
    parser.add_argument("--seeds", type=int, default=1, help="place-and-route runs; 0: none")
    parser.add_argument("--draw", type=int, default=0, help="seed of the weights")
    parser.add_argument("--tries", type=int, default=8, help="serial: graphs to choose from")
    parser.add_argument("--rounds", type=int, default=0, help="serial, parallel: refining")
    parser.add_argument("--digit", type=int, default=1, help="serial: bits of an element a cycle")
    parser.add_argument("--stack", type=int, default=4, help="digits: adders on one carry chain")
    parser.add_argument("--stages", type=int, default=2, help="serial: of a sum of three, 1 or 2")
    parser.add_argument("--lanes", type=int, default=64, help="rom, macro: rows at once")
    parser.add_argument("--packed", action="store_true", help="rom, macro: two lanes a DSP")
    parser.add_argument("--emit", action="store_true", help="only generate the Verilog")
    parser.add_argument("--levels", type=int, default=2, help="parallel, da4ml: adders a register")
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
