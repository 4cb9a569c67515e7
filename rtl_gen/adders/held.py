"""Hardware of an adder graph whose inputs hold still: every adder a carry chain, few registers.

`rtl_gen.adders.parallel` takes a vector every cycle, so a value that waits for another needs a
register for every cycle of waiting. Where inputs stay, one register between stages is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rtl_gen.adders.graph import AdderGraph, depths, value_types
from rtl_gen.ir.types import IntType

STACK = 4
"""Adders on one carry chain, which begins and ends with cells of its own."""


@dataclass(frozen=True, slots=True)
class HeldCore:
    """Verilog text of a matrix-vector product for inputs that hold still.

    Parameters
    ----------
    verilog : str
        One module. Ports: ``clk``; ``x`` (n_in elements, the first in the low bits); ``y``, the
        values that outputs read, as `places` says.
    places : tuple of (int, int) or None
        Of every output: lowest bit and width of its value in ``y``; None for a row of zeros.
        Shift and sign of the output are its reader's business.
    width : int
        Bits of ``y``.
    latency : int
        Cycles after which ``y`` is right.
    registers, adder_bits : int
        Flip-flops, and the sum of the widths of all adders.
    """

    verilog: str
    places: tuple[tuple[int, int] | None, ...]
    width: int
    latency: int
    registers: int
    adder_bits: int


def held_core(graph: AdderGraph, x: IntType, name: str, *, levels: int = 3) -> HeldCore:
    """Write `graph` as Verilog with a register behind every `levels` adders of a path.

    Parameters
    ----------
    graph : AdderGraph
    x : IntType
        Type of the inputs; signed.
    name : str
        Name of the module.
    levels : int
        Adders between registers, at least 1.

    Raises
    ------
    ValueError
        If `levels` is below 1 or `x` is unsigned.

    Notes
    -----
    With the macro ``CARRY_CELLS`` several adders of a level lie on one chain of ECP5 cells:
    nextpnr 0.11 begins and ends every chain with two LUT4 each.
    """
    if levels < 1 or not x.signed:
        raise ValueError(f"at least one adder between registers and signed inputs: {levels}, {x}")
    types = value_types(graph, x)
    levels_of = depths(graph)
    stages = [0 if not level else (level - 1) // levels + 1 for level in levels_of]
    used = sorted({o.value for o in graph.outputs if o is not None})
    registered: set[int] = set(used)

    def read(value: int, stage: int) -> str:
        if value < graph.inputs or stages[value] == stage:
            return f"v{value}"
        registered.add(value)
        return f"r{value}"

    plain, stacked = [], []
    by_level: dict[int, list[int]] = {}
    for value, level in enumerate(levels_of):
        if value >= graph.inputs:
            by_level.setdefault(level, []).append(value)
    for value, adder in enumerate(graph.adders, graph.inputs):
        left = read(adder.left, stages[value])
        right = read(adder.right, stages[value])
        right = f"$signed({{{right}, {adder.shift}'b0}})" if adder.shift else right
        sign = "+" if adder.sign > 0 else "-"
        plain.append(f"  assign v{value} = {left} {sign} {right};")
    for values in by_level.values():
        for first in range(0, len(values), STACK):
            group = values[first : first + STACK]
            stacked += _stack(graph, group, types, read, stages[group[0]])
    lines = [f"  wire signed [{x.width - 1}:0] v{k} = x[{k * x.width} +: {x.width}];"
             for k in range(graph.inputs)]  # fmt: skip
    lines += [f"  (* keep *) wire signed [{types[v].width - 1}:0] v{v};"
              for v in range(graph.inputs, len(types))]  # fmt: skip
    for value in sorted(registered):
        lines += [
            f"  reg signed [{types[value].width - 1}:0] r{value};",
            f"  always @(posedge clk) r{value} <= v{value};",
        ]
    at, width = {}, 0
    for value in used:
        at[value] = (width, types[value].width)
        width += types[value].width
    ends = [f"  assign y[{low} +: {size}] = r{v};" for v, (low, size) in at.items()]
    text = [
        f"module {name}(input clk, input [{graph.inputs * x.width - 1}:0] x,",
        f"  output [{max(width, 1) - 1}:0] y);",
        *lines, "`ifdef CARRY_CELLS", *stacked, "`else", *plain, "`endif", *ends, "endmodule", "",
    ]  # fmt: skip
    return HeldCore(
        verilog="\n".join(text),
        places=tuple(None if o is None else at[o.value] for o in graph.outputs),
        width=width,
        latency=max([max(stages[v], 1) for v in used], default=0),
        registers=sum(types[v].width for v in registered),
        adder_bits=sum(t.width for t in types[graph.inputs :]),
    )


def _stack(
    graph: AdderGraph,
    values: Sequence[int],
    types: Sequence[IntType],
    read: Callable[[int, int], str],
    stage: int,
) -> list[str]:
    """Adders of one level on one carry chain of CCU2C cells, a position before each.

    Notes
    -----
    Of a position with table INIT and D high, bits 11 … 8 are f(B, A), which the carry below inverts
    to give the sum; the carry passes where f is 1, and is bits 3 … 0 of (B, A) where f is 0 (Yosys,
    ``techlibs/ecp5/cells_sim.v``, module CCU2C). A position that begins an adder never passes one.
    """
    positions: list[tuple[str, str, str, str]] = []
    lines = []
    for value in values:
        adder = graph.adders[value - graph.inputs]
        subtracts = adder.sign < 0
        positions.append(("000F" if subtracts else "0000", "1'b0", "1'b0", ""))
        left = _bits(read(adder.left, stage), types[adder.left].width)
        right = _bits(read(adder.right, stage), types[adder.right].width)
        for k in range(types[value].width):
            a = left[min(k, len(left) - 1)]
            b = right[min(k - adder.shift, len(right) - 1)] if k >= adder.shift else "1'b0"
            positions.append(("999A" if subtracts else "666A", a, b, f"v{value}[{k}]"))
    if len(positions) % 2:
        positions.append(("0000", "1'b0", "1'b0", ""))
    name, carry = f"c{values[0]}", "1'b0"
    for k in range(0, len(positions), 2):
        after = f"{name}_{k}" if k + 2 < len(positions) else ""
        lines += [f"  wire {after};"] if after else []
        ports = ", ".join(
            f".A{i}({a}), .B{i}({b}), .C{i}(1'b0), .D{i}(1'b1), .S{i}({total})"
            for i, (_, a, b, total) in enumerate(positions[k : k + 2])
        )
        inits = ", ".join(f".INIT{i}(16'h{p[0]})" for i, p in enumerate(positions[k : k + 2]))
        lines.append(
            f'  CCU2C #({inits}, .INJECT1_0("NO"), .INJECT1_1("NO")) {name}_cells{k}'
            f" (.CIN({carry}), {ports}, .COUT({after}));"
        )
        carry = after
    return lines


def _bits(name: str, width: int) -> list[str]:
    """Its bits, lowest first."""
    return [f"{name}[{k}]" for k in range(width)]
