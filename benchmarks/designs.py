"""What `constmatvec.py` measures: weights, and the Verilog of every style."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_gen import rom_macro
from rtl_gen.adders import (
    accumulator,
    digit_core,
    parallel_core,
    refine,
    search,
    serial_core,
    share,
)
from rtl_gen.adders.graph import matrix
from rtl_gen.blocks import const_matvec
from rtl_gen.blocks.parallel_matvec import ParallelMatVec
from rtl_gen.blocks.serial_matvec import SerialMatVec, period
from rtl_gen.fabric import rom
from rtl_gen.ir.types import IntType
from rtl_gen.verilog import convert, convert_alone

X = IntType(8)
LARGEST = {"int8": 127, "int4": 7}


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
    notes: Mapping[str, float] = field(default_factory=dict)


def quantized(kind: str, values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Weights of `kind`: int4 and int8 by the largest of a row, ternary by the mean.

    Notes
    -----
    Ternary as in BitNet b1.58 (S. Ma et al., arXiv 2402.17764, section 2): the scale is the mean of
    the magnitudes, which leaves 30 % zeros of normal numbers.
    """
    if kind == "ternary":
        return np.clip(np.round(values / abs(values).mean()), -1, 1).astype(np.int64)
    most = LARGEST[kind]
    scale = abs(values).max(axis=1, keepdims=True) / most
    scaled = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    return np.clip(np.round(scaled), -most - 1, most).astype(np.int64)


def weights(kind: str, rows: int, columns: int, seed: int) -> NDArray[np.int64]:
    """Normal numbers, quantized."""
    return quantized(kind, np.random.default_rng(seed).normal(size=(rows, columns)))


def tensor(kind: str, file: Path, name: str) -> NDArray[np.int64]:
    """Matrix `name` of a safetensors file of float32 numbers, quantized.

    Raises
    ------
    SystemExit
        If the file has no such matrix.
    """
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    entry = header.get(name)
    if entry is None or entry["dtype"] != "F32" or len(entry["shape"]) != 2:
        found = [k for k, v in header.items() if k != "__metadata__" and len(v["shape"]) == 2]
        raise SystemExit(f"{file} has no float32 matrix {name!r}; it has {', '.join(found)}")
    first, last = entry["data_offsets"]
    values = np.frombuffer(data[8 + size + first : 8 + size + last], "<f4")
    return quantized(kind, values.reshape(entry["shape"]).astype(np.float64))


def serial(weight: NDArray[np.int64], options: argparse.Namespace) -> Design:
    """Bit- or digit-serial adder graph: the core, or with ``--streams`` the whole block."""
    digit = options.digit
    if options.streams:
        block = SerialMatVec(
            weight,
            X,
            tries=options.tries,
            digit=digit,
            cells="ecp5",
            stages=options.stages,
            rounds=options.rounds,
        )
        core, text, top = block.core, convert_alone(block, "top"), "top"
    else:
        graph = search(weight, options.tries, joined=digit == 1, rounds=options.rounds)
        cycles = period(accumulator(weight, X), X, digit)
        text, top = "", "core"
        if digit == 1:
            core = serial_core(graph, cycles, top, stages=options.stages)
        else:
            core = digit_core(graph, cycles, top, digit=digit, stack=options.stack, cells="ecp5")
    notes = {
        "digit": digit, "nodes2": core.nodes2, "nodes3": core.nodes3, "twins": core.twins,
        "delays": core.delays, "chains": core.chains,
    }  # fmt: skip
    latency = core.period + core.latency + (2 if options.streams else 0)
    return Design(top, text + core.verilog, core.period, latency, notes=notes)


def parallel(weight: NDArray[np.int64], options: argparse.Namespace) -> Design:
    """Pipelined adder graph."""
    graph = refine(share(weight), options.rounds)
    if not np.array_equal(matrix(graph), weight):
        raise AssertionError("the adder graph is not the matrix")
    if options.streams:
        block = ParallelMatVec(weight, X, levels=options.levels, rounds=options.rounds)
        core, text, top = block.core, convert_alone(block, "top"), "top"
    else:
        core = parallel_core(graph, X, accumulator(weight, X).width, "core", levels=options.levels)
        text, top = "", "core"
    notes = {
        "adders": len(graph.adders), "adder_bits": core.adder_bits, "levels": options.levels,
    }  # fmt: skip
    return Design(top, text + core.verilog, 1, core.latency, notes=notes)


def da4ml(weight: NDArray[np.int64], options: argparse.Namespace) -> Design:
    """What da4ml writes for the same matrix, with registers every `levels` adders.

    Notes
    -----
    da4ml (C. Sun et al., arXiv 2507.04535) is LGPL-3.0 and wanted by this measurement alone; its
    Verilog is generated, measured and dropped.
    """
    try:
        from da4ml.codegen import VerilogModel  # noqa: PLC0415  (optional: only this style)
        from da4ml.trace import (  # noqa: PLC0415
            FixedVariableArray,
            HWConfig,
            comb_trace,
        )
    except ImportError as missing:
        raise SystemExit("--style da4ml needs da4ml: pip install -e '.[benchmark]'") from missing
    columns = weight.shape[1]
    start = time.process_time()
    x = FixedVariableArray.from_lhs(
        np.full(columns, float(X.min)), np.full(columns, float(X.max)), np.ones(columns),
        HWConfig(1, -1, -1), solver_options={"search_all_decompose_dc": False},
    )  # fmt: skip
    graph = comb_trace(x, x @ weight.T.astype(np.float64))
    solve_s = time.process_time() - start
    sample = np.random.default_rng(0).integers(X.min, X.max, (8, columns), endpoint=True)
    if not np.array_equal(graph.predict(sample.astype(float)), sample @ weight.T):
        raise AssertionError("da4ml's graph is not the matrix")
    with tempfile.TemporaryDirectory() as folder:
        model = VerilogModel(
            graph, "model", folder, latency_cutoff=options.levels, print_latency=False
        )
        model.write()
        source = Path(folder) / "src"
        models = [
            path.read_text()
            for path in sorted(source.glob("model*.v"))
            if path.name != "model_wrapper.v"
        ]
        # Of its library only what the matrix uses: its table wants a file that is not there.
        library = [
            path.read_text()
            for path in sorted(source.glob("static/*.v"))
            if any(path.stem + " " in text for text in models)
        ]
    notes = {"adder_bits": float(graph.cost), "levels": options.levels, "solve_s": solve_s}
    top = next(text for text in models if "module model (" in text)
    stages = top.count("_inp <= ")
    return Design("model", "\n".join(library + models), 1, stages + 1, notes=notes)


def rom_lanes(weight: NDArray[np.int64], options: argparse.Namespace) -> Design:
    """The chip's ROM-fed lanes, requantizer included; with ``--style macro`` around black boxes."""
    rows, columns = weight.shape
    lanes = min(rows, options.lanes)
    bits = IntType.holding(int(weight.min()), int(weight.max())).width
    words = const_matvec.weight_words(weight, lanes, bits)
    row_words = const_matvec.row_words(None, np.full(rows, 1 << 15), 8)
    block = const_matvec.ConstMatVec(
        lanes=lanes, x_width=X.width, weight_width=bits, acc_width=accumulator(weight, X).width,
        bias_width=8, width=X.width, weight_depth=len(words), row_depth=len(row_words),
        max_columns=columns, max_rows=rows, max_piece=rows, packed=options.packed,
    )  # fmt: skip
    files = {
        "matvec_weight.hex": rom.image(words, lanes * bits),
        "matvec_row.hex": rom.image(row_words, const_matvec.MULTIPLIER_BITS + 8),
    }
    cycles = -(-rows // lanes) * max(columns, lanes)
    if options.style == "macro":
        boxes = rom_macro.macros([block.weights, block.row_constants])
        text = convert(block, "top", without=frozenset({"rom"})) + rom_macro.wrapper(boxes)
        text += "".join(map(rom_macro.black_box, boxes))
        notes = {"lanes": lanes, "macro_bits": sum(box.words * box.width for box in boxes)}
        return Design("top", text, cycles, cycles + 13, notes=notes)
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
    "macro": rom_lanes,
    "yosys": plain,
    "da4ml": da4ml,
}
