"""Proof that a bit-serial adder graph is a matrix: exact linear forms over time.

Every bit of the design is a stream: at word time ``T + j`` it is bit j of a word. Which word is
shown node by node. A node is a register with the registers that keep its carry; all states, all
inputs and every cycle of a word are followed beside the integer sum that it should compute, and
its bit must be that sum's in each of them. That is finite and small, because a carry is: the sum
of a node's operands so far, less the bits that have left. So a node is ``± a 2^i ± b 2^j ± c 2^k``
modulo ``2^period``, exactly, and what reaches ``y`` is a row of the matrix if no row needs more
bits.

What is taken for granted of the surroundings (`rtl_gen.blocks.serial_matvec`): the phase is
one-hot and turns with every enabled cycle of a word; bit j of every element is at ``x`` in cycle
``INPUT_TIME + j`` of its word, and the sign from then on; ``en`` is ``en_next`` a cycle later and
low only in the phase in which ``y`` ends a word.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from flow.evidence.bdd import FALSE, Functions
from flow.evidence.design import Bit, EvidenceError, Module
from flow.evidence.linear import Matrix
from flow.evidence.logic import Logic

Integers = NDArray[np.int64]
Values = Mapping[Bit, int]
Table = tuple[tuple[int, ...], ...]
"""Next state of a node for every state and, inside, every value of its operands."""

INPUT_TIME = 3
"""Word time of the elements' first bits, from the contract with the serializer."""

_NODE = re.compile(r"[a-z]+(\d+)")
_MOST_DELAY = 3
_BEFORE = 3
"""Cycles before a word in which a node's registers may hold anything."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A bit whose value at word time ``time + j`` is bit j of a linear form of the inputs.

    Parameters
    ----------
    time : int
    coefficients : int64, shape (n_in,)
    """

    time: int
    coefficients: Integers


def read(module: Module) -> Matrix:
    """Matrix of a bit-serial adder graph.

    Parameters
    ----------
    module : Module
        Of gates, all in one; ports ``clk``, ``en``, ``en_next``, ``phase``, ``x`` and ``y``.

    Raises
    ------
    EvidenceError
        If a node is no sum of its operands, rows leave at different times, or a register does not
        wait with the others.
    """
    streams = _Streams(module)
    rows, times = [], set()
    zero = np.zeros(len(module.ports["x"]), np.int64)
    for bit in module.ports["y"]:
        if streams.logic.value(bit) == FALSE:
            rows.append(zero)
            continue
        found = streams.of(bit)
        rows.append(found.coefficients)
        times.add(found.time)
    if len(times) > 1:
        raise EvidenceError(f"{module.name}: rows leave at different times: {sorted(times)}")
    latency = times.pop() if times else INPUT_TIME
    streams.waits(latency % streams.period)
    return Matrix(np.array(rows), latency, len(streams.known))


class _Streams:
    """Streams of the bits of a module."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.period = len(module.ports["phase"])
        self.logic = Logic(module, Functions())
        self.phase = module.ports["phase"]
        self.en, self.en_next = module.ports["en"][0], module.ports["en_next"][0]
        self.registers = [bit for bit in module.drivers if self.logic.register(bit) is not None]
        self.next = {bit: self.logic.next(bit) for bit in self.registers}
        self.controls = self._controls()
        running = {self.en: 1, self.en_next: 1}
        self.running = {
            bit: self.logic.functions.fixed(next_, running) for bit, next_ in self.next.items()
        }
        self.waves: list[Values] = [{}]
        self.names = {
            bits[0]: name for name, bits in module.nets.items()
            if len(bits) == 1 and "$" not in name
        }  # fmt: skip
        self.groups: dict[str, list[Bit]] = defaultdict(list)
        for bit in self.registers:
            if bit not in self.controls:
                self.groups[self._group(bit)].append(bit)
        self.tables: dict[tuple[object, ...], Table] = {}
        self.known: dict[Bit, Stream] = {}
        size = len(module.ports["x"])
        for k, bit in enumerate(module.ports["x"]):
            self.known[bit] = Stream(INPUT_TIME, np.eye(1, size, k, dtype=np.int64)[0])

    def _group(self, bit: Bit) -> str:
        """Node that a register belongs to, by its name: a hint, which the proof does not trust."""
        name = self.names.get(bit, f"bit {bit}")
        node = _NODE.fullmatch(name)
        return f"node {node[1]}" if node else name

    def _controls(self) -> set[Bit]:
        """Registers that depend on nothing but the phase and the enables."""
        depends = {
            bit: set(self.logic.functions.variables(next_)) - {bit}
            for bit, next_ in self.next.items()
        }
        found: set[Bit] = {*self.phase, self.en, self.en_next}
        while more := {bit for bit, of in depends.items() if of <= found} - found:
            found |= more
        return found & set(self.registers)

    def wave(self, time: int) -> Values:
        """Values of the control registers at a word time, where they are known, and the phase."""
        while len(self.waves) <= time:
            now = self._with_phase(self.waves[-1], len(self.waves) - 1)
            after = {
                bit: value for bit in self.controls
                if (value := self.logic.functions.fixed(self.running[bit], now)) in (0, 1)
            }  # fmt: skip
            self.waves.append(after)
        return self._with_phase(self.waves[time], time)

    def _with_phase(self, values: Values, time: int) -> Values:
        return {**values, **{bit: int(k == time % self.period) for k, bit in enumerate(self.phase)}}

    def of(self, bit: Bit) -> Stream:
        """Stream of a bit; proves the node that makes it, and those before it, first.

        Raises
        ------
        EvidenceError
            If it is no linear form.
        """
        if bit not in self.known:
            if bit not in self.next:
                raise EvidenceError(f"{self.module.name}: {self._name(bit)} is no stream")
            self.known[bit] = self._node(bit)
        return self.known[bit]

    def _node(self, out: Bit) -> Stream:
        state = self.groups[self._group(out)]
        functions = self.logic.functions
        reads = {name for bit in state for name in functions.variables(self.running[bit])}
        operands: list[Bit] = sorted(
            bit for bit in reads
            if bit not in state and bit not in self.controls and bit not in self.phase
        )  # fmt: skip
        streams = [self.of(bit) for bit in operands]
        if not streams:
            raise EvidenceError(f"{self.module.name}: {self._name(out)} reads no operand")
        times = [stream.time for stream in streams]
        made = cache(lambda time: self._table(state, operands, time))
        for delay, early, signs in self._guesses(times):
            begin = min(times) - early
            shifts = tuple(time - begin for time in times)
            first = max(0, begin - _BEFORE)
            last = begin + delay + self.period
            tables = tuple(map(made, range(first, last)))
            if _is_sum(tables, state.index(out), begin - first, self.period, delay, shifts, signs):
                total = sum(
                    sign * (stream.coefficients << shift)
                    for sign, shift, stream in zip(signs, shifts, streams, strict=True)
                )
                return Stream(begin + delay, np.asarray(total, np.int64))
        raise EvidenceError(
            f"{self.module.name}: {self._name(out)} is no sum of "
            f"{', '.join(map(self._name, operands))}"
        )

    def _guesses(self, times: Sequence[int]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Delays, zeros below the earliest operand, and signs that a node may have."""
        zeros = range(min(self.period, min(times) + 1)) if len(times) == 1 else range(1)
        for early in reversed(zeros):
            for delay in range(1, _MOST_DELAY + 1):
                for signs in product((1, -1), repeat=len(times)):
                    yield delay, early, signs

    def _table(self, state: Sequence[Bit], operands: Sequence[Bit], time: int) -> Table:
        """Next states at a word time; a control that is not known yet counts as an operand."""
        functions = self.logic.functions
        read = {name for bit in state for name in functions.variables(self.running[bit])}
        wave = {bit: value for bit, value in self.wave(time).items() if bit in read}
        # A control that the phase has not reached yet may be anything.
        free = sorted(read - {*state, *operands, *wave})
        key = (state[0], tuple(operands), tuple(sorted(wave.items())))
        if key not in self.tables:
            order = [*operands, *free]
            self.tables[key] = tuple(
                tuple(
                    sum(
                        functions.at(
                            self.running[bit], {**wave, **dict(zip(names, digits, strict=True))}
                        )
                        << k
                        for k, bit in enumerate(state)
                    )
                    for inputs in product((0, 1), repeat=len(order))
                    for digits in ((*held, *inputs),)
                )
                for held in product((0, 1), repeat=len(state))
                for names in ((*state, *order),)
            )
        return self.tables[key]

    def waits(self, phase: int) -> None:
        """Check that nothing moves while ``en`` is low, which it is in one phase only.

        Raises
        ------
        EvidenceError
            If a register does not hold its value, or a control comes back with another.
        """
        functions = self.logic.functions
        time = phase + 2 * self.period
        before = {**self.wave(time - 1), self.en: 1, self.en_next: 0}
        held = {bit: functions.fixed(self.next[bit], before) for bit in self.controls}
        now = {**self._with_phase(held, time), self.en: 0}
        wave = self.wave(time)
        for bit in self.registers:
            if bit not in self.controls:
                stays = functions.fixed(self.next[bit], now) == functions.variable(bit)
            else:
                again, back = (
                    functions.fixed(self.next[bit], {**now, self.en_next: value})
                    for value in (0, 1)
                )
                stays = again == held[bit] and back == wave.get(bit)
            if not stays:
                raise EvidenceError(
                    f"{self.module.name}: {self._name(bit)} does not wait while en is low"
                )

    def _name(self, bit: Bit) -> str:
        return self.names.get(bit, f"bit {bit}")


@lru_cache(maxsize=4096)
def _is_sum(
    tables: tuple[Table, ...],
    out: int,
    begin: int,
    period: int,
    delay: int,
    shifts: tuple[int, ...],
    signs: tuple[int, ...],
) -> bool:
    """Whether a node's bit is that of the signed sum of its shifted operands, in every case.

    Parameters
    ----------
    tables
        One per cycle, the first of them `begin` cycles before the sum's bit 0 is added. States
        and operands are numbered with the first as the highest digit, next states as the lowest.
    out : int
        Place of the bit in the state.
    """
    bits = len(tables[0]).bit_length() - 1
    # A state, the sum so far less the bits that left it, and bits that are still to be seen.
    cases: set[tuple[int, int, tuple[int, ...]]] = {
        (state, 0, ()) for state in range(len(tables[0]))
    }
    places = {
        held: sum(int(digit) << k for k, digit in enumerate(held))
        for held in product((0, 1), repeat=bits)
    }
    rows = {place: row for row, place in enumerate(places.values())}
    for cycle, table in enumerate(tables):
        time = cycle - begin
        after = set[tuple[int, int, tuple[int, ...]]]()
        for state, rest, waiting in cases:
            coming: tuple[int, ...] = waiting
            if delay <= time < delay + period:
                if state >> out & 1 != waiting[0]:
                    return False
                coming = waiting[1:]
            row = table[rows[state]]
            digits = product((0, 1), repeat=len(row).bit_length() - 1)
            for inputs, next_ in zip(digits, row, strict=True):
                if not 0 <= time < period:
                    after.add((next_, rest if time < period else 0, coming))
                    continue
                total = rest + sum(
                    sign * digit for sign, digit, shift in zip(signs, inputs, shifts, strict=False)
                    if time >= shift
                )  # fmt: skip
                after.add((next_, total >> 1, (*coming, total & 1)))
        cases = after
    return True
