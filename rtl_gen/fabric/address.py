"""Nested-loop address generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

LEVELS = 4


@dataclass(frozen=True, slots=True)
class Loop:
    """Addresses ``base + sum_i index_i * stride_i``, last dimension fastest.

    Parameters
    ----------
    base : int
        First address.
    counts, strides : sequence of int
        At most four dimensions, slowest first.
    """

    base: int
    counts: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.strides) or not 0 < len(self.counts) <= LEVELS:
            raise ValueError(f"a loop has 1 to {LEVELS} dimensions, not {self.counts}")
        if min(self.counts) < 1:
            raise ValueError(f"loop counts must be positive: {self.counts}")

    @property
    def length(self) -> int:
        """Number of addresses."""
        total = 1
        for count in self.counts:
            total *= count
        return total

    def addresses(self) -> NDArray[np.int64]:
        """All addresses in order, int64, shape (length,)."""
        grid = np.full((), self.base, np.int64)
        for count, stride in zip(self.counts, self.strides, strict=True):
            grid = grid[..., None] + np.arange(count, dtype=np.int64) * stride
        return grid.ravel()

    def repeat(self, times: int) -> Loop:
        """Run the loop `times` times."""
        return self if times == 1 else Loop(self.base, (times, *self.counts), (0, *self.strides))

    def fields(self, prefix: str) -> dict[str, int]:
        """Microinstruction fields: base, last index and address step per level, fastest first."""
        counts = [1] * (LEVELS - len(self.counts)) + list(self.counts)
        strides = [0] * (LEVELS - len(self.counts)) + list(self.strides)
        fields = {f"{prefix}_base": self.base}
        travelled = 0
        for level, (count, stride) in enumerate(
            zip(reversed(counts), reversed(strides), strict=True)
        ):
            fields[f"{prefix}_last{level}"] = count - 1
            fields[f"{prefix}_step{level}"] = stride - travelled if count > 1 else 0
            travelled += (count - 1) * stride
        return fields


def lag(reads: NDArray[np.int64], written: NDArray[np.int64]) -> int | None:
    """How many beats a reader stays behind a writer that it follows.

    Parameters
    ----------
    reads, written : int64, shape (n,) and (m,)
        Addresses in order.

    Returns
    -------
    int or None
        Read k may go when more than ``k + lag`` beats are written; None if it reads none of them.
    """
    last = {int(address): place for place, address in enumerate(written)}
    behind = [last[int(a)] - k for k, a in enumerate(reads) if int(a) in last]
    return max(0, *behind) if behind else None


class AddressGenerator(wiring.Component):
    """Walks a `Loop`, one address per cycle while `en` is high.

    Address and `last` are registered: valid from the cycle after `start`.

    Parameters
    ----------
    address_bits : int
        Width of the address.
    last_bits : sequence of int
        Width of the index counter per level, fastest first.
    """

    def __init__(self, address_bits: int, last_bits: Sequence[int]) -> None:
        self.address_bits = address_bits
        self.last_bits = tuple(last_bits)
        ports: dict[str, Any] = {
            "start": In(1),
            "en": In(1),
            "base": In(address_bits),
            "addr": Out(address_bits),
            "last": Out(1),
            "valid": Out(1),
        }
        for level, bits in enumerate(self.last_bits):
            ports[f"last{level}"] = In(bits)
            ports[f"step{level}"] = In(signed(address_bits + 1))
        super().__init__(ports)

    def elaborate(self, platform: Any) -> Module:
        """Build the counters and the one adder."""
        m = Module()
        index = [Signal(max(1, bits), name=f"index{i}") for i, bits in enumerate(self.last_bits)]
        lasts = [getattr(self, f"last{i}") for i in range(len(index))]
        steps = [getattr(self, f"step{i}") for i in range(len(index))]
        wrap = [Signal(name=f"wrap{i}") for i in range(len(index))]
        m.d.comb += [w.eq(i == last) for w, i, last in zip(wrap, index, lasts, strict=True)]

        step = steps[-1]
        for level in reversed(range(len(index) - 1)):
            step = Mux(wrap[level], step, steps[level])
        all_wrapped = wrap[0]
        for w in wrap[1:]:
            all_wrapped = all_wrapped & w
        m.d.comb += self.last.eq(all_wrapped)

        with m.If(self.start):
            m.d.sync += [self.addr.eq(self.base), self.valid.eq(1)]
            m.d.sync += [i.eq(0) for i in index]
        with m.Elif(self.en & self.valid):
            m.d.sync += self.addr.eq(self.addr + step)
            carry = 1
            for i, w in zip(index, wrap, strict=True):
                with m.If(carry):
                    m.d.sync += i.eq(Mux(w, 0, i + 1))
                carry = carry & w
            with m.If(all_wrapped):
                m.d.sync += self.valid.eq(0)
        return m
