"""What a read-only memory gives at every address, from the gates that Yosys made of it.

Nothing is assumed of how a memory was cut into blocks, narrowed, or mapped to LUTs: every address
is applied, all of them at once, and the bits that arrive at the data port are the memory. Its
registers only delay (their enables must be on and their resets off), so they count as wires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow.evidence import block_ram
from flow.evidence.design import Bit, Cell, EvidenceError, Module

Bits = NDArray[np.uint8]

LutInit = Callable[[str, Cell], int]
"""Truth table of a LUT4, given its name and cell."""

BlockContents = Callable[[str, Cell], block_ram.Contents]
"""Contents of a block RAM, given its name and cell."""


def lut_of_netlist(name: str, cell: Cell) -> int:
    """Truth table that the netlist says."""
    return cell.number("INIT")


def block_of_netlist(name: str, cell: Cell) -> block_ram.Contents:
    """Contents that the netlist says."""
    return block_ram.of_cell(cell)


class _Evaluation:
    """Values of bits for all inputs at once."""

    def __init__(
        self,
        module: Module,
        inputs: Mapping[Bit, Bits],
        lut: LutInit,
        block: BlockContents,
        count: int,
    ) -> None:
        self.module = module
        self.lut = lut
        self.block = block
        self.known = dict(inputs)
        self.known["0"] = np.zeros(count, np.uint8)
        self.known["1"] = np.ones(count, np.uint8)
        self.open: set[Bit] = set()
        self.stray: list[str] = []
        self.read = {bit for bits in module.ports.values() for bit in bits} | {
            bit
            for cell in module.cells.values()
            for pin, bits in cell.pins.items()
            if pin not in cell.outputs
            for bit in bits
        }

    def value(self, bit: Bit) -> Bits:
        """Value of a bit; evaluates what drives it first."""
        if bit not in self.known:
            if bit not in self.module.drivers:
                raise EvidenceError(f"{self.module.name}: bit {bit} of a ROM has no driver")
            if bit in self.open:
                raise EvidenceError(f"{self.module.name}: a ROM has feedback through bit {bit}")
            self.open.add(bit)
            name, pin, _ = self.module.drivers[bit]
            self._cell(name, self.module.cells[name], pin)
            self.open.discard(bit)
        return self.known[bit]

    def constant(self, cell: Cell, pin: str, wanted: int, name: str) -> None:
        """Check that a pin always has one value; a pin that is not connected has no effect."""
        bit = cell.bit(pin)
        if bit == "x" or (self.value(bit) == wanted).all():
            return
        raise EvidenceError(f"{self.module.name}: {pin} of {name} is not always {wanted}")

    def _cell(self, name: str, cell: Cell, pin: str) -> None:
        match cell.type:
            case "LUT4":
                inputs = [self.value(cell.bit(p)) for p in "ABCD"]
                index = sum(v.astype(np.int64) << k for k, v in enumerate(inputs))
                table = np.array([self.lut(name, cell) >> k & 1 for k in range(16)], np.uint8)
                self.known[cell.bit("Z")] = table[index]
            case "PFUMX":
                high, low, chooser = (self.value(cell.bit(p)) for p in ("ALUT", "BLUT", "C0"))
                self.known[cell.bit("Z")] = np.where(chooser, high, low)
            case "L6MUX21":
                low, high, chooser = (self.value(cell.bit(p)) for p in ("D0", "D1", "SD"))
                self.known[cell.bit("Z")] = np.where(chooser, high, low)
            case "TRELLIS_FF":
                self._register(name, cell)
            case "DP16KD":
                self._block(name, cell, pin)
            case _:
                raise EvidenceError(
                    f"{self.module.name}: cell {name} of a ROM is a {cell.type}, "
                    "which is not part of a ROM"
                )

    def _register(self, name: str, cell: Cell) -> None:
        if cell.parameters.get("CEMUX", "CE") == "CE":
            self.constant(cell, "CE", 1, name)
        elif cell.parameters["CEMUX"] not in {"1", "CE"}:
            raise EvidenceError(f"{self.module.name}: {name} has CEMUX {cell.parameters['CEMUX']}")
        data = self.value(cell.bit("DI"))
        if cell.bit("LSR") != "x" and self.value(cell.bit("LSR")).any():
            # Yosys makes resets of address bits above which a bit of the words has one value.
            if cell.parameters.get("SRMODE", "LSR_OVER_CE") != "LSR_OVER_CE":
                raise EvidenceError(f"{self.module.name}: {name} is reset without its clock")
            set_ = cell.parameters.get("REGSET", "RESET") == "SET"
            data = np.where(self.value(cell.bit("LSR")), np.uint8(set_), data)
        self.known[cell.bit("Q")] = data

    def _block(self, name: str, cell: Cell, pin: str) -> None:
        where = f"{self.module.name}: {name}"
        self._unwritten(name, cell)
        wide = cell.number("DATA_WIDTH_B") == 36
        # Two words at once are read through port B: the lower leaves at A's pins.
        port = "B" if wide else pin[2]
        width = 36 if wide else cell.number(f"DATA_WIDTH_{port}")
        decode = cell.parameters.get(f"CSDECODE_{port}", "0b000")
        if decode not in {"0b000", "000"} or cell.parameters.get(f"REGMODE_{port}") != "NOREG":
            raise EvidenceError(f"{where}: chip select or output register is used")
        for pins, wanted in ((f"CE{port}", 1), (f"RST{port}", 0)):
            self.constant(cell, pins, wanted, name)
        for k in range(3):
            self.constant(cell, f"CS{port}{k}", 0, name)
        # The low address bits of a wide port select bytes to be written.
        low = max(0, (min(width, 36) * 8 // 9).bit_length() - 1) if width > 4 else width // 2
        address = sum(
            (self.value(cell.bit(f"AD{port}{k}")).astype(np.int64) << k for k in range(low, 14)),
            np.zeros(len(self.known["0"]), np.int64),
        )
        contents = self.block(name, cell)
        word = block_ram.read(contents, width, address, where)
        outputs = [
            cell.bit(f"DO{'AB'[k // 18]}{k % 18}" if wide else f"DO{port}{k}") for k in range(width)
        ]
        self.known.update((bit, word[:, k]) for k, bit in enumerate(outputs))
        live = [k for k, bit in enumerate(outputs) if bit in self.read]
        stray = block_ram.unread(contents, width, address, live)
        if stray:
            self.stray.append(f"{name}: {stray} bits are set that no address brings to the data")

    def _unwritten(self, name: str, cell: Cell) -> None:
        """Check that no port of a block RAM writes: its enable or its write enable is always 0."""
        for port in "AB":
            # A pin left open may be anything.
            open_or = [cell.bit(f"{pin}{port}") for pin in ("WE", "CE")]
            write, enable = (self.value("1" if bit == "x" else bit) for bit in open_or)
            if (write & enable).any():
                raise EvidenceError(f"{self.module.name}: port {port} of {name} writes")


@dataclass(frozen=True, slots=True)
class Read:
    """A read-only memory as it was read.

    Parameters
    ----------
    words : uint8, shape (depth, width)
        Bits, the lowest first.
    stray : tuple of str
        What its cells hold beside them.
    """

    words: Bits
    stray: tuple[str, ...]


def ports(module: Module) -> list[tuple[str, str]]:
    """Address and data ports of a memory: ``addr`` and ``data``, or one such pair a reader.

    Raises
    ------
    EvidenceError
        If there is none.
    """
    found = []
    for port in sorted(module.inputs):
        if port.startswith("addr"):
            data = port.replace("addr", "data", 1)
            found.append((port, data if data in module.ports else port.replace("addr", "word", 1)))
    if not found or any(data not in module.ports for _, data in found):
        raise EvidenceError(f"{module.name}: no ports addr… and data…, is it a memory?")
    return found


def rom(
    module: Module,
    depth: int,
    *,
    lut: LutInit = lut_of_netlist,
    block: BlockContents = block_of_netlist,
) -> Read:
    """Read a memory at every address below `depth`, through each of its ports.

    Parameters
    ----------
    module : Module
        Of mapped ECP5 cells; its other inputs are enables, held on.
    depth : int
        Its words.
    lut, block : callable, optional
        Where truth tables and contents come from; the netlist unless given.

    Returns
    -------
    Read

    Raises
    ------
    EvidenceError
        If the module is not a read-only memory, or its ports give different words.
    """
    reads = [_read(module, depth, *pair, lut, block) for pair in ports(module)]
    if any((read.words != reads[0].words).any() for read in reads):
        raise EvidenceError(f"{module.name}: its ports read different words")
    return reads[0]


def _read(
    module: Module, depth: int, address: str, data: str, lut: LutInit, block: BlockContents
) -> Read:
    inputs: dict[Bit, Bits] = {}
    for port in module.inputs:
        for bit in module.ports[port]:
            inputs[bit] = np.ones(depth, np.uint8)
    for k, bit in enumerate(module.ports[address]):
        inputs[bit] = (np.arange(depth) >> k & 1).astype(np.uint8)
    evaluation = _Evaluation(module, inputs, lut, block, depth)
    words = np.stack([evaluation.value(bit) for bit in module.ports[data]], axis=1)
    return Read(words, tuple(evaluation.stray))
