"""What each constant tensor would cost in each style, and why it has the one it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rtl_gen.adders import accumulator, luts, parallel_core, search, serial_core, share
from rtl_gen.errors import ConfigError
from rtl_gen.fabric.rom import LATENCY
from rtl_gen.ir.integer import ConstMatVec, ExpertMatVec, IntegerGraph, Node
from rtl_gen.ir.types import IntType
from rtl_gen.plan.folding import Plan

STYLES = ("rom", "serial", "parallel")
TILE = 20
"""Rows and columns of the part of a matrix whose adder graph stands for the whole."""

REQUANTIZE = 8
"""Cycles from an accumulator to its result."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A tensor in a style.

    Parameters
    ----------
    lut, ff : int
        Of the matrix alone; `rom` shares its lanes with other tensors and counts none.
    rom_bits : int
        Bits of ROM.
    cycles : int
        From the first beat of the vector to the last beat of the result.
    """

    lut: int
    ff: int
    rom_bits: int
    cycles: int


@dataclass(frozen=True, slots=True)
class Adders:
    """Size of the adder graph of a matrix.

    Parameters
    ----------
    luts, delays : float
        LUTs of serial nodes, flip-flops that only delay.
    adder_bits, registers : float
        Of the parallel form.
    serial_latency, parallel_latency : int
        Cycles beside the serial word.
    """

    luts: float
    delays: float
    adder_bits: float
    registers: float
    serial_latency: int
    parallel_latency: int


def digits(weight: NDArray[np.int64]) -> int:
    """Nonzero digits of the weights in canonical signed-digit form.

    Notes
    -----
    The form of n has the digit +1 or -1 where n and 3n differ, shifted down by one (Reitwiesner,
    Binary arithmetic, 1960).
    """
    magnitude = np.abs(weight)
    changed = np.bitwise_xor(magnitude, 3 * magnitude) >> 1
    return int(sum(int(((changed >> bit) & 1).sum()) for bit in range(40)))


@lru_cache(maxsize=256)
def _adders(content: bytes, rows: int, columns: int, x_width: int) -> Adders:
    weight = np.frombuffer(content, np.int64).reshape(rows, columns)
    x = IntType(x_width)
    width = accumulator(weight, x).width
    graph = search(weight, 1)
    serial = serial_core(graph, max(width, x.width + 1), "core")
    parallel = parallel_core(share(weight), x, width, "core", levels=2)
    return Adders(
        luts(graph), serial.delays, parallel.adder_bits, parallel.registers,
        serial.latency, parallel.latency,
    )  # fmt: skip


def adders(weight: NDArray[np.int64], x_width: int) -> Adders:
    """Adder graph of a matrix, from that of `TILE` of its rows and columns, evenly spaced.

    A larger matrix shares more, so this is an upper estimate: 10 % at 64x64 (`docs/planner.md`).
    """
    rows, columns = (np.linspace(0, n - 1, min(n, TILE)).astype(int) for n in weight.shape)
    tile = np.ascontiguousarray(weight[np.ix_(rows, columns)])
    found = _adders(tile.tobytes(), *tile.shape, x_width)
    scale = digits(weight) / max(1, digits(tile))
    grown = max(0, (weight.shape[1] - 1).bit_length() - (tile.shape[1] - 1).bit_length())
    return Adders(
        found.luts * scale, found.delays * scale, found.adder_bits * scale, found.registers * scale,
        found.serial_latency + grown, found.parallel_latency + -(-grown // 2),
    )  # fmt: skip


def alternatives(
    weight: NDArray[np.int64], bits: int, x_width: int, plan: Plan
) -> dict[str, Alternative]:
    """Cost of a matrix in every style on a chip folded by `plan`."""
    rows, columns = weight.shape
    elements = plan.elements
    groups = -(-rows // plan.lanes)
    beats = groups * max(columns, min(rows, plan.lanes)) // elements
    size = adders(weight, x_width)
    acc = accumulator(weight, IntType(x_width)).width
    period = max(acc, x_width + 1)
    stream = (columns + rows) // elements + REQUANTIZE
    held = columns * x_width
    return {
        "rom": Alternative(
            0, 0, groups * plan.lanes * columns * bits,
            beats + rows // elements % plan.lanes + LATENCY + REQUANTIZE,
        ),
        "serial": Alternative(
            round(size.luts + columns * x_width / 4),
            round(size.luts + size.delays + held + 2 * rows * period),
            0, stream + period + size.serial_latency + 2,
        ),
        "parallel": Alternative(
            round(size.adder_bits), round(size.registers + held + rows * acc), 0,
            stream + size.parallel_latency,
        ),
    }  # fmt: skip


def matrices(graph: IntegerGraph) -> dict[str, Node]:
    """Matrices that may be wired in space, by name of their weights, with their first reader."""
    found: dict[str, Node] = {}
    for node in graph.nodes:
        if isinstance(node.op, ConstMatVec | ExpertMatVec):
            found.setdefault(node.op.weight, node)
    return found


def of_matrix(graph: IntegerGraph, node: Node, plan: Plan) -> dict[str, Alternative]:
    """Cost of the matrix of `node` in every style; all experts are stored, and one works."""
    assert isinstance(node.op, ConstMatVec | ExpertMatVec)
    constant = graph.constants[node.op.weight]
    x = graph.value(node.inputs[0]).type
    x_width = x.width + (not x.signed)
    experts = constant.data if constant.data.ndim == 3 else constant.data[None]
    each = [alternatives(data, constant.type.width, x_width, plan) for data in experts]
    return {
        name: Alternative(
            sum(item[name].lut for item in each),
            sum(item[name].ff for item in each),
            sum(item[name].rom_bits for item in each),
            max(item[name].cycles for item in each),
        )
        for name in STYLES
    }


def wanted(graph: IntegerGraph, patterns: Mapping[str, str]) -> dict[str, str]:
    """Style of every matrix that a pattern matches, the last one decides; may be ``auto``.

    Raises
    ------
    ConfigError
        If a pattern matches no matrix.
    """
    known = matrices(graph)
    found: dict[str, str] = {}
    for pattern, style in patterns.items():
        matching = [name for name in known if fnmatchcase(name, pattern)]
        if not matching:
            raise ConfigError(
                f"plan.styles: {pattern!r} matches no matrix of the network; the matrices are "
                f"{', '.join(known) or 'none'}"
            )
        found |= dict.fromkeys(matching, style)
    return found


def pinned(graph: IntegerGraph, patterns: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Matrices that a person wants in space, with their style; see `wanted`."""
    found = wanted(graph, patterns)
    return tuple((name, style) for name, style in found.items() if style in STYLES[1:])


def table(
    graph: IntegerGraph, plan: Plan, chosen: Mapping[str, str] | None = None
) -> dict[str, tuple[str, str]]:
    """Style of every matrix and why, by tensor name.

    Parameters
    ----------
    chosen : mapping of str to str, optional
        Styles of those in space; the others are `rom`.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, node in matrices(graph).items():
        style = (chosen or {}).get(name, "rom")
        size = graph.constants[name].data.size
        found[name] = (style, _why(style, of_matrix(graph, node, plan), size))
    return found


def _why(style: str, costs: Mapping[str, Alternative], size: int) -> str:
    rom, serial, parallel = (costs[name] for name in STYLES)
    if style != "rom":
        own = costs[style]
        return (f"about {own.lut:,} LUTs of its own, {own.cycles} cycles instead of "
                f"{rom.cycles}, {rom.rom_bits:,} bits of ROM saved")  # fmt: skip
    faster = rom.cycles - serial.cycles
    text = f"{rom.cycles} cycles, {rom.rom_bits:,} bits of ROM on shared lanes; "
    if faster <= 0:
        return text + (f"serial would be no faster ({serial.cycles}) and take about "
                       f"{serial.lut:,} LUTs ({serial.lut / size:.2f} per weight)")  # fmt: skip
    return text + (
        f"serial would save {faster} cycles for about {serial.lut:,} LUTs, parallel "
        f"{rom.cycles - parallel.cycles} for {parallel.lut:,}"
    )
