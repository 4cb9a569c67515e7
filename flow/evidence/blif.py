"""Gates as a combinational network in BLIF, registers cut; values that the RTL leaves open."""

from __future__ import annotations

from collections.abc import Mapping

from flow.evidence.design import Bit, EvidenceError, Module

_COVERS: Mapping[str, str] = {
    "$_BUF_": "1 1\n", "$_NOT_": "0 1\n", "$_AND_": "11 1\n", "$_NAND_": "0- 1\n-0 1\n",
    "$_OR_": "1- 1\n-1 1\n", "$_NOR_": "00 1\n", "$_XOR_": "01 1\n10 1\n",
    "$_XNOR_": "00 1\n11 1\n", "$_ANDNOT_": "10 1\n", "$_ORNOT_": "1- 1\n-0 1\n",
    "$_MUX_": "1-0 1\n-11 1\n",
}  # fmt: skip


class Network:
    """Text of a network; nets of one design have one letter in front.

    Parameters
    ----------
    module : Module
        Of gates.
    leaves : mapping of Bit to str
        Names of inputs, or ``0`` or ``1``, of the bits at which it begins.
    letter : str
    """

    def __init__(self, module: Module, leaves: Mapping[Bit, str], letter: str) -> None:
        self.module = module
        self.leaves = leaves
        self.letter = letter
        self.lines = [f".names {letter}0\n", f".names {letter}1\n1\n"]
        self.inputs: set[str] = set()
        self._written: set[Bit] = set()
        self._open: dict[Bit, bool] = {"0": False, "1": False, "x": True}
        self._known: set[Bit] = set()

    def net(self, bit: Bit) -> str:
        """Name of a bit's net; an open one reads 0."""
        return f"{self.letter}{0 if bit in ('x', 'z') else bit}"

    def operands(self, bit: Bit) -> tuple[str, list[Bit]]:
        """Type and inputs of the gate that drives a bit.

        Raises
        ------
        EvidenceError
            If it is no gate.
        """
        name, *_ = self.module.drivers[bit]
        cell = self.module.cells[name]
        if cell.type not in _COVERS:
            raise EvidenceError(f"{name} is a {cell.type}, which is no gate")
        return cell.type, [cell.bit(pin) for pin in "ABS" if pin in cell.pins]

    def write(self, bit: Bit) -> None:
        """Write everything that a bit depends on."""
        left = [bit]
        while left:
            one = left.pop()
            if one in self._written or not isinstance(one, int):
                continue
            self._written.add(one)
            if one in self.leaves:
                leaf = self.leaves[one]
                if leaf in ("0", "1"):
                    self.lines.append(f".names {self.net(one)}\n{'1' if leaf == '1' else ''}\n")
                else:
                    self.inputs.add(leaf)
                    self.lines.append(f".names {leaf} {self.net(one)}\n1 1\n")
            elif one in self.module.drivers:
                kind, inputs = self.operands(one)
                names = " ".join(map(self.net, inputs))
                self.lines.append(f".names {names} {self.net(one)}\n{_COVERS[kind]}")
                left += inputs
            else:
                self.lines.append(f".names {self.net(one)}\n")

    def is_open(self, bit: Bit) -> bool:
        """Whether a bit depends on one that the design leaves open."""
        left = [bit]
        while left:
            one = left.pop()
            if one in self._open:
                continue
            if one in self.leaves or one not in self.module.drivers:
                self._open[one] = one not in self.leaves
                continue
            inputs = self.operands(one)[1]
            missing = [item for item in inputs if item not in self._open]
            if missing:
                left += [one, *missing]
            else:
                self._open[one] = any(self._open[item] for item in inputs)
        return self._open[bit]

    def known(self, bit: Bit) -> str:
        """Net that is 1 where a bit has one value, whatever the open ones are; writes it.

        A choice is known where its chooser and the chosen one are, or where both are known and
        equal; an and (or) where both inputs are, or one is a known 0 (1).
        """
        if not isinstance(bit, int) or not self.is_open(bit):
            return f"{self.letter}{0 if bit in ('x', 'z') else 1}"
        name = f"{self.letter}k{bit}"
        left: list[Bit] = [bit]
        while left:
            one = left.pop()
            if one in self._known or not isinstance(one, int) or not self.is_open(one):
                continue
            self._known.add(one)
            here = f"{self.letter}k{one}"
            if one not in self.module.drivers:
                self.lines.append(f".names {here}\n")
                continue
            kind, inputs = self.operands(one)
            self.write(one)
            pairs = [(self.net(item), self._known_net(item)) for item in inputs]
            names = " ".join(net for pair in pairs for net in pair)
            self.lines.append(f".names {names} {here}\n{_KNOWN[kind]}")
            left += inputs
        return name

    def _known_net(self, bit: Bit) -> str:
        if not isinstance(bit, int):
            return f"{self.letter}{0 if bit in ('x', 'z') else 1}"
        return f"{self.letter}k{bit}" if self.is_open(bit) else f"{self.letter}1"


# Covers of (value, known) of every input in turn.
_ALL_TWO = "-1-1 1\n"
_KNOWN: Mapping[str, str] = {
    "$_BUF_": "-1 1\n", "$_NOT_": "-1 1\n", "$_XOR_": _ALL_TWO, "$_XNOR_": _ALL_TWO,
    "$_AND_": f"{_ALL_TWO}01-- 1\n--01 1\n", "$_NAND_": f"{_ALL_TWO}01-- 1\n--01 1\n",
    "$_OR_": f"{_ALL_TWO}11-- 1\n--11 1\n", "$_NOR_": f"{_ALL_TWO}11-- 1\n--11 1\n",
    "$_ANDNOT_": f"{_ALL_TWO}01-- 1\n--11 1\n", "$_ORNOT_": f"{_ALL_TWO}11-- 1\n--01 1\n",
    "$_MUX_": "-1--01 1\n---111 1\n0101-- 1\n1111-- 1\n",
}  # fmt: skip
