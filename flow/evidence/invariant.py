"""Small blocks and control invariants of the RTL, proved by a solver for all values.

Where linear forms do not reach and state is small: rounding and saturation, streams that hold what
they offer, buffers that lose nothing, and groups of products that wait for room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import z3

from flow.evidence.design import Bit, Cell, Design, EvidenceError, Module
from flow.evidence.term import Term, Terms, proved

LARGEST_SHIFT = 47
"""Of a requantization, ``docs/ir.md``."""

CYCLES = 16
"""Cycles from reset in which the number of groups under way is followed."""


_ROUNDING = {"coarse", "fine", "clipped", "doubled"}
"""Registers of `rtl_gen.fabric.pipeline.round_shift`; inside larger units they are tested only."""


def findings(rtl: Design) -> tuple[list[str], dict[str, int]]:
    """Prove what is said above of every module of the elaborated RTL that has it.

    Returns
    -------
    findings : list of str
    numbers : dict of str to int
        How many of each were proved; ``cycles`` is the bound of the last.
    """
    wrong: list[str] = []
    numbers = {"roundings": 0, "streams": 0, "buffers": 0, "lanes": 0, "cycles": CYCLES}
    for name, module in sorted(rtl.items()):
        claims = [
            ("roundings", _rounds, set(module.nets) >= _ROUNDING and _leaf(module)),
            ("streams", _holds, _offers(module)),
            ("buffers", _keeps, "spare_valid" in module.nets),
            ("lanes", _room, "outstanding" in module.nets),
        ]
        for what, check, there in claims:
            if not there:
                continue
            numbers[what] += 1
            wrong += [f"{name}: {line}" for line in check(module)]
    return wrong, numbers


def _leaf(module: Module) -> bool:
    """Whether a module has no others inside: a larger unit's pipelines have enables of its own."""
    return all(cell.type.startswith("$") and not cell.type.startswith("$paramod")
               for cell in module.cells.values())  # fmt: skip


def _offers(module: Module) -> bool:
    """Whether registers of a module without others inside are a stream's valid and payload."""
    if not {"i__valid", "o__ready"} <= module.inputs:
        return False
    if not {"o__valid", _payload(module)} <= module.ports.keys():
        return False
    bits = (*module.ports["o__valid"], *module.ports[_payload(module)])
    driven = [module.drivers.get(bit) for bit in bits]
    return all(cell.type.startswith("$") for cell in module.cells.values()) and all(
        place is not None and module.cells[place[0]].type == "$dff" for place in driven
    )


def _payload(module: Module) -> str:
    outputs = set(module.ports) - module.inputs
    return "clipped" if "clipped" in outputs else "o__payload"


def _running(terms: Terms) -> list[Term]:
    return [terms.net("rst") == 0] if "rst" in terms.module.inputs else []


def _rounds(module: Module) -> Iterator[str]:
    """``clipped`` is ``min(max((x + ((1 << s) >> 1)) >> s, low), high)`` of the product x.

    Three registers in a row, each taken at the moment it is enabled: what they are given is put
    into one another.
    """
    first = Terms(module)
    state = dict(first.state)
    enabled = [first.net("o__ready") == 1]
    for name in ("coarse", "fine"):
        terms = Terms(module, state)
        bits = module.nets[name]
        after = terms.next(bits)
        state |= {bit: z3.Extract(k, k, after) for k, bit in enumerate(bits)}
    last = Terms(module, state)
    found = last.next(module.nets["clipped"])
    doubled, shift = first.net("doubled"), first.net("shift")
    wide = doubled.size() + 2 + LARGEST_SHIFT
    x = z3.SignExt(wide - doubled.size(), doubled) >> 1
    by = z3.ZeroExt(wide - shift.size(), shift)
    rounded = (x + z3.LShR(z3.BitVecVal(1, wide) << by, 1)) >> by
    low, high = (
        z3.SignExt(wide - first.net(name).size(), first.net(name)) for name in ("low", "high")
    )
    wanted = z3.If(rounded > high, high, z3.If(rounded < low, low, rounded))
    given = [*enabled, *_running(first), z3.ULE(shift, LARGEST_SHIFT), low <= high]
    claim = z3.SignExt(wide - found.size(), found) == wanted
    problem = proved(claim, given)
    if problem:
        yield f"rounding, {problem}"


def _holds(module: Module) -> Iterator[str]:
    """What is offered stays until it is taken, from any state; a pipeline stands still then."""
    terms = Terms(module)
    valid, payload = module.ports["o__valid"], module.ports[_payload(module)]
    waits = [terms.word(valid) == 1, terms.net("o__ready") == 0, *_running(terms)]
    kept = z3.And(terms.next(valid) == 1, terms.next(payload) == terms.word(payload))
    problem = proved(kept, waits)
    if problem:
        yield f"an offered payload does not stay, {problem}"
    if set(module.nets) >= _ROUNDING:
        registers = [cell for cell in module.cells.values() if cell.type == "$dff"]
        still = z3.And(
            *(terms.word(cell.pins["D"]) == terms.word(cell.pins["Q"]) for cell in registers)
        )
        problem = proved(still, waits)
        if problem:
            yield f"a pipeline moves while its output waits, {problem}"
        for cell in registers:
            yield from _moves(module, cell, valid[0])


def _moves(module: Module, cell: Cell, valid: Bit) -> Iterator[str]:
    """Check that a register of a pipeline takes a new value whenever the pipeline may move.

    Its next value is then the same whatever its own value is.
    """
    own = {bit: z3.BitVec(f"own{bit}", 1) for bit in cell.pins["Q"] if bit != valid}
    one, other = Terms(module), Terms(module, own)
    same = one.word(cell.pins["D"]) == other.word(cell.pins["D"])
    free = z3.Or(one.net("o__ready") == 1, one.bit(valid) == 0)
    problem = proved(same, [free, *_running(one)])
    if problem:
        yield f"a pipeline stands still without cause, {problem}"


def _keeps(module: Module) -> Iterator[str]:
    """A buffer of two places gives what it takes, all of it and in order."""
    terms = Terms(module)
    names = ("o__valid", "spare_valid", "o__payload", "spare")
    front, back, first, second = (terms.net(name) for name in names)
    front_, back_, first_, second_ = (terms.next(module.nets[name]) for name in names)
    taken = z3.And(terms.net("i__valid") == 1, terms.net("i__ready") == 1)
    given_ = z3.And(front == 1, terms.net("o__ready") == 1)
    new = terms.net("i__payload")
    legal = z3.Implies(back == 1, front == 1)
    # The list of what waits: its length, its head and what is behind that.
    length = z3.ZeroExt(2, front) + z3.ZeroExt(2, back)
    after = z3.ZeroExt(2, front_) + z3.ZeroExt(2, back_)
    left = length - z3.If(given_, z3.BitVecVal(1, 3), z3.BitVecVal(0, 3))
    heads = z3.If(given_, second, first)
    claims = {
        "loses or repeats": after == left + z3.If(taken, z3.BitVecVal(1, 3), z3.BitVecVal(0, 3)),
        "takes without room": z3.Implies(taken, length < 2),
        "has a spare without a first": z3.Implies(back_ == 1, front_ == 1),
        "changes the order": z3.And(
            z3.Implies(left >= 1, first_ == heads),
            z3.Implies(z3.And(left == 0, taken), first_ == new),
            z3.Implies(z3.And(left >= 1, taken), second_ == new),
            z3.Implies(z3.And(left == 2, z3.Not(taken)), second_ == second),
        ),
    }
    for what, claim in claims.items():
        problem = proved(claim, [legal, *_running(terms)])
        if problem:
            yield f"a buffer {what}, {problem}"


def _room(module: Module) -> Iterator[str]:
    """Never more than two groups of products under way, none leaves that did not begin.

    From reset, for all inputs, as long as `CYCLES` cycles; what instructions say stands still.
    """
    pulses = {"i__valid", "o__ready", "rst", "drain", "start"}
    steady = [bit for name in module.inputs - pulses for bit in module.ports[name]]
    registers = [
        bit for cell in module.cells.values() if cell.type == "$dff" for bit in cell.pins["Q"]
    ]
    state: dict[Bit, Term] = {bit: z3.BitVecVal(0, 1) for bit in registers}
    counts, given = [], []
    needed = _cone(module, module.nets["outstanding"])
    for cycle in range(CYCLES):
        terms = Terms(module, state, suffix=f"@{cycle}", steady=steady)
        given += [terms.net("rst") == 0, terms.net("start") == int(cycle == 0)]
        counts.append(terms.net("outstanding"))
        after = {bit: z3.simplify(terms.next([bit])) for bit in needed}
        state = {**state, **after}
    never = z3.And(
        *(z3.ULE(count, 2) for count in counts),
        *(z3.Not(z3.And(a == 0, z3.UGE(b, 2))) for a, b in pairwise(counts)),
    )
    problem = proved(never, given, seconds=120)
    if problem:
        yield f"outstanding groups, {problem}"


def _cone(module: Module, bits: Sequence[Bit]) -> set[Bit]:
    """Registers that some registers depend on, over any number of cycles."""
    found: set[Bit] = set()
    left = list(bits)
    seen: set[Bit] = set()
    while left:
        bit = left.pop()
        if bit in seen or bit not in module.drivers:
            continue
        seen.add(bit)
        name, _, place = module.drivers[bit]
        cell = module.cells[name]
        if cell.type == "$dff":
            found.add(bit)
            left.append(cell.pins["D"][place])
        elif cell.type.startswith("$") and not cell.type.startswith(("$mem", "$paramod")):
            left += [bit for pin, pins in cell.pins.items() if pin not in cell.outputs
                     for bit in pins]  # fmt: skip
    if not found:
        raise EvidenceError(f"{module.name}: no registers")
    return found
