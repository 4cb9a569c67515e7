"""The standard cells: what each computes, as Verilog for simulation.

The cells are those of the Chips4Makers sky130 library (``library.json``, see
`flow.engines.sky130_library`). A cell's function follows from its name; a test compares it with the
transistors of the library's circuits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow import files
from rtl_gen.errors import FlowError

SUPPLIES = ("vdd", "vss")
OUTPUTS = ("q", "nq", "one", "zero")
DIODE = "diode"
_LATCH = "nsnrlatch"

# Liberty's operators are also Verilog's: ! & | ^ and parentheses.
_FUNCTIONS = {
    "inv": "!i",
    "buf": "i",
    "mux2": "(cmd & i1) | (!cmd & i0)",
    "and21nor": "!((i0 & i1) | i2)",
    "or21nand": "!((i0 | i1) & i2)",
    "xor2": "i0 ^ i1",
    "nexor2": "i0 ^ i1",
}
# A stronger gate loads what drives it more; long nets get buffers when they are placed.
# The circuit and layout of nexor2 in c4m-flexcell 0.4.7 are those of xor2, whatever its name says:
# its function here is what its transistors do, and nothing uses it.
_WRONG = {"nexor2"}
_USED = {"inv": ("x0", "x1", "x2", "x4"), "buf": ("x1", "x2", "x4")}
_SMALLEST = ("x0", "x1")
_GATES = {"nand": ("!", "&"), "and": ("", "&"), "nor": ("!", "|"), "or": ("", "|")}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Parameters
    ----------
    name : str
    width, height : float
        In micrometres.
    pins : tuple of str
        Signal pins.
    functions : mapping of str to str
        Output pin to its function of the inputs, in Liberty's syntax; of a flip-flop ``IQ``.
    flip_flop : bool
        Rising edge of ``clk`` takes ``i``; a pin ``nrst`` clears while low.
    usable : bool
        Whether synthesis and place and route may choose it; only these are characterized.
    """

    name: str
    width: float
    height: float
    pins: tuple[str, ...]
    functions: Mapping[str, str]
    flip_flop: bool
    usable: bool

    @property
    def area(self) -> float:
        """Area in square micrometres."""
        return round(self.width * self.height, 4)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Input pins."""
        return tuple(pin for pin in self.pins if pin not in OUTPUTS)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output pins."""
        return tuple(pin for pin in self.pins if pin in OUTPUTS)


@dataclass(frozen=True, slots=True)
class Library:
    """All cells.

    Parameters
    ----------
    row_height, grid : float
        Height of a row and the step of places in it, in micrometres.
    cells : mapping of str to Cell
    """

    row_height: float
    grid: float
    cells: Mapping[str, Cell]


def read(path: Path) -> Library:
    """Read ``library.json``.

    Raises
    ------
    FlowError
        If the file is absent or names a cell whose function is not known.
    """
    if not path.is_file():
        raise FlowError(f"{path}: no such file; build it with `snakemake {path}`")
    content = files.read_json(path)
    cells = {
        name: _cell(name, item, tuple(content["cells"]), path)
        for name, item in content["cells"].items()
    }
    return Library(content["row_height"], content["grid"], cells)


def _chosen(name: str, kind: str, names: Iterable[str]) -> bool:
    """Whether the flow uses this gate, in this drive strength."""
    if kind in _WRONG:
        return False
    strength = name.rsplit("_", 1)[1]
    if kind in _USED:
        return strength in _USED[kind]
    return strength == next(item for item in _SMALLEST if f"{kind}_{item}" in names)


def _cell(name: str, item: Mapping[str, Any], names: tuple[str, ...], path: Path) -> Cell:
    width, height = item["width"], item["height"]
    signals = tuple(pin for pin in item["pins"] if pin not in SUPPLIES)
    kind = re.sub(r"_[xw]\d+$", "", name)
    outputs = tuple(pin for pin in signals if pin in OUTPUTS)
    if not outputs or kind == _LATCH:  # fillers, ties, the antenna diode; the latch is not used
        return Cell(name, width, height, signals, {}, flip_flop=False, usable=False)
    if kind in {"dff", "dffnr"}:
        return Cell(name, width, height, signals, {"q": "IQ"}, flip_flop=True, usable=kind == "dff")
    if kind in {"one", "zero", "zeroone"}:
        functions = {pin: "1" if pin == "one" else "0" for pin in outputs}
        return Cell(name, width, height, signals, functions, flip_flop=False, usable=False)
    gate = re.fullmatch(r"(nand|and|nor|or)([234])", kind)
    if gate:
        inverted, sign = _GATES[gate[1]]
        function = f"{inverted}({f' {sign} '.join(f'i{n}' for n in range(int(gate[2])))})"
    elif kind in _FUNCTIONS:
        function = _FUNCTIONS[kind]
    else:
        raise FlowError(f"{path}: there is no function for cell {name!r}; add it to {__name__}")
    return Cell(name, width, height, signals, {outputs[0]: function}, flip_flop=False,
                usable=_chosen(name, kind, names))  # fmt: skip


def verilog(library: Library) -> str:
    """Verilog models of all cells with signal pins, for simulation without delays."""
    return "\n".join(_model(cell) for _, cell in sorted(library.cells.items()) if cell.pins)


def _model(cell: Cell) -> str:
    ports = [f"input {pin}" for pin in cell.inputs]
    if not cell.flip_flop:
        ports += [f"output {pin}" for pin in cell.outputs]
        body = [f"  assign {pin} = {_bitwise(text)};" for pin, text in cell.functions.items()]
    elif "nrst" in cell.pins:
        ports.append("output reg q")
        body = ["  always @(posedge clk or negedge nrst) if (!nrst) q <= 1'b0; else q <= i;"]
    else:
        ports.append("output reg q")
        body = ["  always @(posedge clk) q <= i;"]
    if not cell.functions and cell.outputs:
        return ""  # the latch: no netlist of this flow has one
    return "\n".join([f"module {cell.name} ({', '.join(ports)});", *body, "endmodule\n"])


def _bitwise(function: str) -> str:
    return f"1'b{function}" if function in {"0", "1"} else function.replace("!", "~")


def evaluate(function: str, levels: Mapping[str, int]) -> int:
    """Value of a function in Liberty's syntax."""
    text = re.sub(r"[a-z]\w*", lambda found: str(levels[found[0]]), function)
    text = text.replace("!", "~")  # of the same rank as in Liberty: before all others
    return int(eval(text, {"__builtins__": {}}) & 1)  # digits and operators alone
