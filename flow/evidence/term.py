"""Word-level cells as terms of a solver for bit vectors (Z3), exact for all values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import z3

from flow.evidence.design import Bit, Cell, EvidenceError, Module

Term = Any
"""A bit vector of Z3."""

REGISTERS = {"$dff"}

_SAME_SIZE: Mapping[str, Callable[[Term, Term], Term]] = {
    "$and": lambda a, b: a & b, "$or": lambda a, b: a | b, "$xor": lambda a, b: a ^ b,
    "$add": lambda a, b: a + b, "$sub": lambda a, b: a - b, "$mul": lambda a, b: a * b,
}  # fmt: skip
_SIGNED: Mapping[str, Callable[[Term, Term], Term]] = {
    "$lt": lambda a, b: a < b, "$le": lambda a, b: a <= b, "$gt": lambda a, b: a > b,
    "$ge": lambda a, b: a >= b, "$eq": lambda a, b: a == b, "$ne": lambda a, b: a != b,
}  # fmt: skip
_UNSIGNED: Mapping[str, Callable[[Term, Term], Term]] = {
    **_SIGNED, "$lt": z3.ULT, "$le": z3.ULE, "$gt": z3.UGT, "$ge": z3.UGE,
}  # fmt: skip


def proved(claim: Term, given: Sequence[Term] = (), seconds: int = 60) -> str:
    """Nothing if a claim holds wherever `given` does; else what speaks against it.

    Parameters
    ----------
    claim : Boolean term
    given : sequence of Boolean terms
    seconds : int
        After which the solver gives up, which counts against the claim.
    """
    solver = z3.SolverFor("QF_BV")
    solver.set("timeout", seconds * 1000)
    solver.add(*given, z3.Not(claim))
    match solver.check():
        case z3.unsat:
            return ""
        case z3.sat:
            model = solver.model()
            values = sorted(f"{name} = {model[name]}" for name in model)
            return f"not for {', '.join(values[:8])}"
    return f"the solver gave up after {seconds} s"


class Terms:
    """Terms of the words of a module in one cycle.

    Parameters
    ----------
    module : Module
        Of word-level cells; outputs of modules inside count as inputs.
    state : mapping of Bit to Term, optional
        Terms of one bit for registers; a variable for those that are missing.
    suffix : str
        Of the names of the variables of inputs, to tell cycles apart.
    steady : collection of Bit
        Inputs whose variables have no suffix.
    """

    def __init__(
        self, module: Module, state: Mapping[Bit, Term] | None = None, *, suffix: str = "",
        steady: Sequence[Bit] = (),
    ) -> None:  # fmt: skip
        self.module = module
        self.state = dict(state or {})
        self.suffix = suffix
        self.steady = set(steady)
        self._bits: dict[Bit, Term] = {
            "0": z3.BitVecVal(0, 1), "1": z3.BitVecVal(1, 1), "x": z3.BitVec(f"x{suffix}", 1)
        }  # fmt: skip

    def word(self, bits: Sequence[Bit]) -> Term:
        """Term of some bits, the lowest first."""
        parts = [self.bit(bit) for bit in reversed(bits)]
        return z3.simplify(z3.Concat(*parts)) if len(parts) > 1 else parts[0]

    def net(self, name: str) -> Term:
        """Term of a named net.

        Raises
        ------
        EvidenceError
            If there is none.
        """
        if name not in self.module.nets:
            raise EvidenceError(f"{self.module.name} has no net {name}")
        return self.word(self.module.nets[name])

    def next(self, bits: Sequence[Bit]) -> Term:
        """Term of the next value of registers."""
        after = []
        for bit in bits:
            name, _, place = self.module.drivers[bit]
            after.append(self.module.cells[name].pins["D"][place])
        return self.word(after)

    def register(self, bit: Bit) -> bool:
        """Whether a register drives a bit."""
        place = self.module.drivers.get(bit)
        return place is not None and self.module.cells[place[0]].type in REGISTERS

    def bit(self, bit: Bit) -> Term:
        """Term of one bit."""
        if bit not in self._bits:
            place = self.module.drivers.get(bit)
            kind = "" if place is None else self.module.cells[place[0]].type
            if place is None or not kind.startswith("$") or kind.startswith(("$mem", "$paramod")):
                suffix = "" if bit in self.steady else self.suffix
                self._bits[bit] = z3.BitVec(f"i{bit}{suffix}", 1)
            elif kind in REGISTERS:
                self._bits[bit] = self.state.get(bit, z3.BitVec(f"r{bit}", 1))
            else:
                cell = self.module.cells[place[0]]
                value = self._cell(cell)
                for k, out in enumerate(cell.pins["Y"]):
                    self._bits[out] = z3.Extract(k, k, value)
        return self._bits[bit]

    def _cell(self, cell: Cell) -> Term:
        size = len(cell.pins["Y"])
        kind = cell.type
        if kind in {"$mux", "$pmux"}:
            return self._mux(cell, size)
        signed = all(cell.number(f"{p}_SIGNED", 0) for p in ("A", "B") if p in cell.pins)
        a = self.word(cell.pins["A"])
        one = z3.BitVecVal(1, 1)
        zero = z3.BitVecVal(0, 1)
        match kind:
            case "$not":
                return ~_extended(a, size, signed)
            case "$pos":
                return _extended(a, size, signed)
            case "$neg":
                return -_extended(a, size, signed)
            case "$logic_not":
                return _extended(z3.If(a == 0, one, zero), size, False)
            case "$reduce_or" | "$reduce_bool":
                return _extended(z3.If(a == 0, zero, one), size, False)
            case "$reduce_and":
                return _extended(z3.If(~a == 0, one, zero), size, False)
        b = self.word(cell.pins["B"])
        if kind in _SAME_SIZE:
            return _SAME_SIZE[kind](_extended(a, size, signed), _extended(b, size, signed))
        if kind in _SIGNED:
            wide = max(a.size(), b.size())
            table = _SIGNED if signed else _UNSIGNED
            answer = table[kind](_extended(a, wide, signed), _extended(b, wide, signed))
            return _extended(z3.If(answer, one, zero), size, False)
        if kind in {"$shl", "$shr", "$sshr"}:
            number = bool(cell.number("A_SIGNED"))
            wide = max(size, a.size(), b.size())
            value, by = _extended(a, wide, number), _extended(b, wide, False)
            arithmetic = kind == "$sshr" and number
            shifted = value << by if kind == "$shl" else (
                value >> by if arithmetic else z3.LShR(value, by)
            )  # fmt: skip
            return z3.Extract(size - 1, 0, shifted)
        if kind in {"$logic_and", "$logic_or"}:
            both = z3.And if kind == "$logic_and" else z3.Or
            return _extended(z3.If(both(a != 0, b != 0), one, zero), size, False)
        raise EvidenceError(f"{self.module.name}: no term for a {kind}")

    def _mux(self, cell: Cell, size: int) -> Term:
        value = self.word(cell.pins["A"])
        for k, bit in enumerate(cell.pins["S"]):
            chosen = self.word(cell.pins["B"][k * size : (k + 1) * size])
            value = z3.If(self.bit(bit) == 1, chosen, value)
        return value


def _extended(term: Term, size: int, signed: bool) -> Term:
    more = size - term.size()
    if more <= 0:
        return z3.Extract(size - 1, 0, term) if more else term
    return z3.SignExt(more, term) if signed else z3.ZeroExt(more, term)
