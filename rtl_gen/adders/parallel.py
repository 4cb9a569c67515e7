"""Parallel hardware of an adder graph: every adder a carry chain, registers every few levels."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtl_gen.adders.graph import AdderGraph, depths, value_types
from rtl_gen.ir.types import IntType


@dataclass(frozen=True, slots=True)
class ParallelCore:
    """Verilog text of a pipelined matrix-vector product.

    Parameters
    ----------
    verilog : str
        One module. Ports: ``clk``; ``en``, which every register obeys; ``x`` (n_in elements, the
        first in the low bits); ``y`` (n_out sums of `width` bits, the first in the low bits).
    latency : int
        Cycles from ``x`` to ``y``.
    registers : int
        Flip-flops.
    adder_bits : int
        Sum of the widths of all adders.
    """

    verilog: str
    latency: int
    registers: int
    adder_bits: int


@dataclass
class _Writer:
    stages: list[int]
    widths: list[int]
    lines: list[str] = field(default_factory=list)
    latest: dict[int, int] = field(default_factory=dict)

    def at(self, value: int, stage: int) -> str:
        """Name of `value` as it is in `stage`."""
        waits = stage - self.stages[value]
        self.latest[value] = max(self.latest.get(value, 0), waits)
        return f"v{value}_{waits}" if waits else f"v{value}"

    def shifted(self, value: int, stage: int, shift: int) -> str:
        name = self.at(value, stage)
        return f"$signed({{{name}, {shift}'b0}})" if shift else name


def parallel_core(
    graph: AdderGraph, x: IntType, width: int, name: str, *, levels: int = 2
) -> ParallelCore:
    """Write `graph` as Verilog with a register after every `levels` adders of a path.

    Parameters
    ----------
    graph : AdderGraph
    x : IntType
        Type of the inputs; signed.
    width : int
        Bits of every output.
    name : str
        Name of the module.
    levels : int
        Adders between registers, at least 1.

    Returns
    -------
    ParallelCore

    Raises
    ------
    ValueError
        If `levels` is below 1.

    Notes
    -----
    An output's negation is an adder too and has the last stage for itself. The wires of the adders
    carry ``keep``: without it Yosys (0.70) merges adders into carry-save trees and so undoes the
    sharing.
    """
    if levels < 1:
        raise ValueError(f"at least one adder between registers, not {levels}")
    types = value_types(graph, x)
    levels_of = depths(graph)
    # Inputs are registered once: stage 1 reads them.
    stages = [(max(level, 1) - 1) // levels + 1 for level in levels_of]
    w = _Writer(stages, [kind.width for kind in types])
    used = [o for o in graph.outputs if o is not None]
    last = max((stages[o.value] for o in used), default=1)
    for value, adder in enumerate(graph.adders, graph.inputs):
        left = w.at(adder.left, stages[value])
        right = w.shifted(adder.right, stages[value], adder.shift)
        sign = "+" if adder.sign > 0 else "-"
        w.lines.append(f"  assign v{value} = {left} {sign} {right};")
    rows = []
    for row, output in enumerate(graph.outputs):
        low = row * width
        if output is None:
            rows.append(f"  assign y[{low} +: {width}] = {width}'b0;")
            continue
        name_there = w.shifted(output.value, last, output.shift)
        minus = "-" if output.sign < 0 else ""
        rows += [
            f"  reg signed [{width - 1}:0] o{row};",
            f"  always @(posedge clk) if (en) o{row} <= {minus}{name_there};",
            f"  assign y[{low} +: {width}] = o{row};",
        ]
    registers = graph.inputs * x.width + width * len(used)
    delays = []
    for value, longest in sorted(w.latest.items()):
        bits = w.widths[value]
        for waits in range(1, longest + 1):
            source = f"v{value}_{waits - 1}" if waits > 1 else f"v{value}"
            delays += [
                f"  reg signed [{bits - 1}:0] v{value}_{waits};",
                f"  always @(posedge clk) if (en) v{value}_{waits} <= {source};",
            ]
            registers += bits
    lines = [
        f"module {name}(input clk, input en, input [{graph.inputs * x.width - 1}:0] x,",
        f"  output [{len(graph.outputs) * width - 1}:0] y);",
    ]
    for k in range(graph.inputs):
        lines += [
            f"  reg signed [{x.width - 1}:0] v{k};",
            f"  always @(posedge clk) if (en) v{k} <= x[{k * x.width} +: {x.width}];",
        ]
    for value in range(graph.inputs, len(types)):
        lines.append(f"  (* keep *) wire signed [{w.widths[value] - 1}:0] v{value};")
    text = "\n".join([*lines, *delays, *w.lines, *rows, "endmodule", ""])
    return ParallelCore(
        verilog=text,
        latency=last + 1,
        registers=registers,
        adder_bits=sum(w.widths[graph.inputs :]),
    )
