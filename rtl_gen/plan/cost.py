"""Resources of a whole chip, predicted from its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtl_gen.plan.fit import fit
from rtl_gen.plan.part import Part
from rtl_gen.plan.resource import Resources, total

BLOCK_RAM_SHARE = 0.97
"""Of the block RAMs, what memories may take: placement needs some room."""


@dataclass(frozen=True, slots=True)
class LogicShare:
    """What synthesis builds from LUTs because the device has too few blocks.

    Parameters
    ----------
    product_bits : int
        Lane multipliers with an operand of at most so many bits.
    rom_bits : int
        ROMs of at most so many bits.
    """

    product_bits: int = 0
    rom_bits: int = 0

    @property
    def defines(self) -> dict[str, int]:
        """Verilog macros, see `rtl_gen.fabric.product` and `rtl_gen.fabric.rom`."""
        values = {"LUT_PRODUCTS": self.product_bits, "LOGIC_ROM_BITS": self.rom_bits}
        return {name: value for name, value in values.items() if value}

    @property
    def suffix(self) -> str:
        """Ending of the names of folders made with it."""
        return "".join(f"_{name.lower()}{value}" for name, value in self.defines.items())


@dataclass(frozen=True, slots=True)
class Cost:
    """Predicted resources of a chip.

    Parameters
    ----------
    units : mapping of str to Resources
        Of every unit, with what is inside of it; ``control`` is what joins them.
    share : LogicShare
    """

    units: Mapping[str, Resources]
    share: LogicShare

    @property
    def total(self) -> Resources:
        """Sum over the units."""
        return total(self.units.values())


def predict(
    units: Mapping[str, Sequence[Part]], family: str, room: Resources | None = None
) -> Cost:
    """Resources of a chip of `units` (from `rtl_gen.plan.part.of_chip`).

    Parameters
    ----------
    room : Resources, optional
        Of the device: with fewer blocks than the chip wants, narrow multipliers of lanes and small
        ROMs are built from LUTs, the narrowest and smallest first, as the flow does.
    """
    cost = _cost(units, family, LogicShare())
    if room is None:
        return cost
    parts = [item for found in units.values() for item in found]
    lanes = sorted({min(p.sizes["a"], p.sizes["b"]) for p in parts if p.kind == "lane"})
    for bits in lanes:
        if cost.total.dsp > room.dsp:
            cost = _cost(units, family, LogicShare(bits, 0))
    roms = sorted({p.sizes["width"] * p.sizes["depth"] for p in parts if p.kind == "rom"})
    for bits in roms:
        if cost.total.ebr > BLOCK_RAM_SHARE * room.ebr:
            cost = _cost(units, family, LogicShare(cost.share.product_bits, bits))
    return cost


def _cost(units: Mapping[str, Sequence[Part]], family: str, share: LogicShare) -> Cost:
    return Cost({name: of_parts(parts, family, share) for name, parts in units.items()}, share)


def of_parts(parts: Sequence[Part], family: str, share: LogicShare) -> Resources:
    """Resources of some parts together."""
    known = fit(family)
    return total(known.part(item.kind, _built(item, share)) * item.count for item in parts)


def _built(item: Part, share: LogicShare) -> Mapping[str, int]:
    """Sizes of a part and what it is built from."""
    sizes = item.sizes
    if item.kind == "lane":
        narrow = min(sizes["a"], sizes["b"]) <= share.product_bits
        return {**sizes, "lut_products": int(narrow)}
    if item.kind == "rom":
        return {**sizes, "logic": int(sizes["width"] * sizes["depth"] <= share.rom_bits)}
    return sizes
