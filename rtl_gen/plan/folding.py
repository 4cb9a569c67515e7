"""Folding: how many rows of a matrix the chip multiplies at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtl_gen.errors import ConfigError

MAX_LANES = 128
MAX_TOP_K = 64
MAX_SLOTS = 64

BLOCK_RAM_SHARE = 0.97
"""Of a device's block RAMs, what memories may take where nobody says more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Choices about a chip that do not change what it computes.

    Parameters
    ----------
    lanes : int
        Rows of a constant matrix multiplied at once.
    elements : int
        Elements of a vector moved at once, a power of two that divides `lanes` and the length of
        every vector.
    heads : int
        Attention heads computed at once; divides the heads, and is a divisor or a multiple of the
        query heads that share a key head.
    slots : int
        Adapters resident at once, if the graph has adapter regions.
    styles : tuple of (str, str)
        Matrices that are adder graphs of their own instead of words of the lanes' ROM, by the name
        of their weights: ``serial`` or ``parallel``. The Verilog then depends on their values.
    top_k : int
        Largest number of logits that a draw can be restricted to; 0 builds no hardware for it.
    binding : str
        ``units`` share all work and move vectors beat by beat; in ``space`` every operator has
        hardware of its own and vectors are on wires (`rtl_gen.space`). What is above does not
        matter then.
    positions : int
        In space: positions of the cache read at once, a power of two.
    sharing : int
        In space: elements of a vector that share a multiplier in norms and in the sampler.
    tables : str
        In space, what depends on token and position alone becomes a table: ``vectors`` (embeddings
        and what follows them up to the first matrices), or ``products`` of matrices, too.
    block_rams : float
        Share of the device's block RAMs that memories may take; small ROMs become LUTs until then.

    Raises
    ------
    ConfigError
        If one of them is out of range.
    """

    lanes: int
    elements: int = 1
    heads: int = 1
    slots: int = 1
    styles: tuple[tuple[str, str], ...] = ()
    top_k: int = 0
    binding: str = "units"
    positions: int = 2
    sharing: int = 1
    tables: str = "vectors"
    block_rams: float = BLOCK_RAM_SHARE

    def __post_init__(self) -> None:
        if not 1 <= self.lanes <= MAX_LANES:
            raise ConfigError(f"plan: lanes must be 1 to {MAX_LANES}, not {self.lanes}")
        if self.elements < 1 or self.elements & (self.elements - 1) or self.lanes % self.elements:
            raise ConfigError(
                f"plan: elements must be a power of two that divides the {self.lanes} lanes, "
                f"not {self.elements}"
            )
        if self.heads < 1:
            raise ConfigError(f"plan: heads must be positive, not {self.heads}")
        if not 1 <= self.slots <= MAX_SLOTS:
            raise ConfigError(f"plan: slots must be from 1 to {MAX_SLOTS}, not {self.slots}")
        wrong = sorted({style for _, style in self.styles} - {"serial", "parallel"})
        if wrong:
            raise ConfigError(f"plan: a matrix may be serial or parallel, not {wrong[0]}")
        if self.binding not in ("units", "space") or self.tables not in ("vectors", "products"):
            raise ConfigError(
                "plan: binding must be units or space, tables vectors or products, not "
                f"{self.binding} and {self.tables}"
            )
        if self.positions < 1 or self.positions & (self.positions - 1):
            raise ConfigError(f"plan: positions must be a power of two, not {self.positions}")
        if self.sharing < 1:
            raise ConfigError(f"plan: sharing must be positive, not {self.sharing}")
        if self.binding == "space" and self.top_k:
            raise ConfigError("plan: a chip in space draws among all logits: set top_k to 0")
        if not 0 <= self.top_k <= MAX_TOP_K:
            raise ConfigError(f"plan: top_k must be from 0 to {MAX_TOP_K}, not {self.top_k}")
        if not 0 < self.block_rams <= 1:
            raise ConfigError(
                f"plan: block_rams must be above 0 and at most 1, not {self.block_rams}"
            )

    @classmethod
    def told(cls, settings: Mapping[str, Any]) -> Plan:
        """The plan of a chip, from its manifest's `plan`."""
        return cls(**{**settings, "styles": tuple(settings.get("styles", {}).items())})

    def text(self) -> str:
        """Name for people, e.g. ``16 lanes, 2 elements, 1 head``."""
        if self.binding == "space":
            many = "s" * (self.positions > 1)
            shared = f"{self.sharing} elements a multiplier, " if self.sharing > 1 else ""
            return (
                f"in space, {self.positions} position{many} at once, {shared}"
                f"tables of {self.tables}"
            )
        counts = {"lane": self.lanes, "element": self.elements, "head": self.heads}
        own = f", {len(self.styles)} etched" if self.styles else ""
        return ", ".join(f"{n} {name}{'s' * (n > 1)}" for name, n in counts.items()) + own
