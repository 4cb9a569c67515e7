"""What a bit of a design computes: a function of the registers and inputs that it depends on.

Knows the gates of Yosys (after ``techmap``) and the cells of the ECP5. A register's function is
its next value; if it keeps its value, that is one of the variables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from flow.evidence.bdd import FALSE, TRUE, Functions
from flow.evidence.design import Bit, Cell, EvidenceError, Module, text
from flow.evidence.evaluate import LutInit, lut_of_netlist

_GATES: Mapping[str, int] = {
    "$_BUF_": 0b10, "$_NOT_": 0b01, "$_AND_": 0b1000, "$_NAND_": 0b0111, "$_OR_": 0b1110,
    "$_NOR_": 0b0001, "$_XOR_": 0b0110, "$_XNOR_": 0b1001, "$_ANDNOT_": 0b0010,
    "$_ORNOT_": 0b1011,
}  # fmt: skip
"""Truth tables of A, the index's lowest bit, and B."""

_REGISTERS = {"$_DFF_P_", "$_DFFE_PP_", "$_DFFE_PN_", "TRELLIS_FF"}

CarryInit = Callable[[str, Cell, int], int]
"""Truth table of one half of a CCU2C, given its name, cell and which half."""


def carry_of_netlist(name: str, cell: Cell, half: int) -> int:
    """Truth table that the netlist says."""
    return cell.number(f"INIT{half}")


class Logic:
    """Functions of the bits of a module.

    Parameters
    ----------
    module : Module
        Of gates or of ECP5 cells.
    functions : Functions
        Where they are kept; two designs that are compared share one.
    same : mapping of Bit to Bit, optional
        Other names for inputs and registers as variables; a bit that is missing has its own. The
        value ``"0"`` or ``"1"`` makes it a constant.
    lut, carry : callable, optional
        Where truth tables come from; the netlist unless given.
    opaque : collection of str
        Types of cells whose outputs are variables: modules, memories.

    Attributes
    ----------
    variables : set of Bit
        Inputs and registers that were met so far.
    """

    def __init__(
        self,
        module: Module,
        functions: Functions,
        same: Mapping[Bit, Bit] | None = None,
        *,
        lut: LutInit = lut_of_netlist,
        carry: CarryInit = carry_of_netlist,
        opaque: Collection[str] = (),
    ) -> None:
        self.module = module
        self.functions = functions
        self.same = same or {}
        self.lut = lut
        self.carry = carry
        self.opaque = opaque
        self.inputs = {bit for port in module.inputs for bit in module.ports[port]}
        self._known: dict[Bit, int] = {"0": FALSE, "1": TRUE}
        self.variables: set[Bit] = set()

    def register(self, bit: Bit) -> Cell | None:
        """The register that drives a bit, if one does."""
        if bit not in self.module.drivers:
            return None
        cell = self.module.cells[self.module.drivers[bit][0]]
        return cell if cell.type in _REGISTERS else None

    def value(self, bit: Bit) -> int:
        """Function of a bit; that of an input or a register is a variable.

        Raises
        ------
        EvidenceError
            If something drives it that is no gate.
        """
        if bit not in self._known:
            if bit == "x":
                # Either value: Yosys leaves one where the enable of a register is off.
                self._known[bit] = self.functions.variable("x")
            elif bit in self.inputs or self.register(bit) is not None or self._opaque(bit):
                name = self.same.get(bit, bit)
                self.variables.add(bit)
                self._known[bit] = (
                    int(name) if name in ("0", "1") else self.functions.variable(name)
                )
            elif bit in self.module.drivers:
                name, pin, _ = self.module.drivers[bit]
                self._known[bit] = self._cell(name, self.module.cells[name], pin)
            else:
                raise EvidenceError(f"{self.module.name}: bit {bit} has no driver")
        return self._known[bit]

    def _opaque(self, bit: Bit) -> bool:
        place = self.module.drivers.get(bit)
        return place is not None and self.module.cells[place[0]].type in self.opaque

    def next(self, bit: Bit) -> int:
        """Function of a register's next value.

        Raises
        ------
        EvidenceError
            If `bit` is no register's, or the register has a mode that is not known here.
        """
        cell = self.register(bit)
        if cell is None:
            raise EvidenceError(f"{self.module.name}: bit {bit} is no register")
        f = self.functions
        held = self.value(bit)
        if cell.type != "TRELLIS_FF":
            data = self.value(cell.bit("D"))
            if cell.type == "$_DFF_P_":
                return data
            enable = self.value(cell.bit("E"))
            high, low = (data, held) if cell.type == "$_DFFE_PP_" else (held, data)
            return f.choose(enable, high, low)
        mux = text(cell.parameters.get("CEMUX", "1"))
        if mux not in {"CE", "1", "INV"} or cell.parameters.get("LSRMUX", "LSR") != "LSR":
            raise EvidenceError(
                f"{self.module.name}: a register with CEMUX {mux}, or an inverted reset"
            )
        enable = TRUE if mux == "1" or cell.bit("CE") == "x" else self.value(cell.bit("CE"))
        enable = f.inverse(enable) if mux == "INV" else enable
        kept = f.choose(enable, self.value(cell.bit("DI")), held)
        if cell.bit("LSR") in ("0", "x"):
            return kept
        if cell.parameters.get("SRMODE", "LSR_OVER_CE") != "LSR_OVER_CE":
            raise EvidenceError(f"{self.module.name}: a register is reset without its clock")
        value = TRUE if cell.parameters.get("REGSET", "RESET") == "SET" else FALSE
        return f.choose(self.value(cell.bit("LSR")), value, kept)

    def _cell(self, name: str, cell: Cell, pin: str) -> int:
        f = self.functions
        if cell.type in _GATES:
            table = _GATES[cell.type]
            return f.table(table, [self.value(cell.bit(p)) for p in "AB" if p in cell.pins])
        match cell.type:
            case "$_MUX_":
                return f.choose(*(self.value(cell.bit(p)) for p in "SBA"))
            case "LUT4":
                return f.table(self.lut(name, cell), [self._pin(cell, p) for p in "ABCD"])
            case "PFUMX":
                return f.choose(*(self.value(cell.bit(p)) for p in ("C0", "ALUT", "BLUT")))
            case "L6MUX21":
                return f.choose(*(self.value(cell.bit(p)) for p in ("SD", "D1", "D0")))
            case "CCU2C":
                return self._carry(name, cell, pin)
        raise EvidenceError(f"{self.module.name}: {name} is a {cell.type}, which is no gate")

    def _pin(self, cell: Cell, pin: str) -> int:
        """Function of a LUT's input; one that is not connected must not matter, and reads 0."""
        bit = cell.bit(pin)
        return FALSE if bit == "x" else self.value(bit)

    def _carry(self, name: str, cell: Cell, pin: str) -> int:
        """Sum or carry of a CCU2C (Yosys, ``techlibs/ecp5/cells_sim.v``)."""
        f = self.functions
        carry = FALSE if cell.bit("CIN") == "x" else self.value(cell.bit("CIN"))
        sums = []
        for half in (0, 1):
            inject = cell.parameters.get(f"INJECT1_{half}", "YES") == "YES"
            init = self.carry(name, cell, half)
            inputs = [self._pin(cell, f"{letter}{half}") for letter in "ABCD"]
            passes = f.table(init, inputs)
            made = FALSE if inject else f.table(init & 0xF, inputs[:2])
            sums.append(f.differ(passes, FALSE if inject else carry))
            carry = f.choose(passes, carry, made)
        return {"S0": sums[0], "S1": sums[1], "COUT": carry}[pin]
