"""Resources of a whole chip, predicted from its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rtl_gen.plan.fit import fit
from rtl_gen.plan.folding import BLOCK_RAM_SHARE
from rtl_gen.plan.part import Part
from rtl_gen.plan.resource import Resources, total


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

    def has_product(self, a: int, b: int) -> bool:
        """Whether a lane's multiplier of operands of `a` and `b` bits is built from LUTs."""
        return min(a, b) <= self.product_bits

    def has_rom(self, width: int, depth: int) -> bool:
        """Whether a ROM of `depth` words of `width` bits is built from LUTs."""
        return width * depth <= self.rom_bits

    @property
    def defines(self) -> dict[str, int]:
        """Verilog macros, see `rtl_gen.fabric.product` and `rtl_gen.fabric.rom`."""
        values = {"LUT_PRODUCTS": self.product_bits, "LOGIC_ROM_BITS": self.rom_bits}
        return {name: value for name, value in values.items() if value}

    @property
    def suffix(self) -> str:
        """Ending of the names of folders made with it."""
        return "".join(f"_{name.lower()}{value}" for name, value in self.defines.items())


def least(
    products: Iterable[int],
    roms: Iterable[int],
    used: Callable[[LogicShare], tuple[float, float]],
    dsp: float,
    ebr: float,
    block_rams: float = BLOCK_RAM_SHARE,
) -> LogicShare:
    """Least share with which a chip's multipliers and memories fit: the rule of flow and planner.

    Narrow multipliers go first, the narrowest before all, then small ROMs, the smallest before all.
    Where not even all of them help, the share is all of them.

    Parameters
    ----------
    products : iterable of int
        Widths of the narrower operand of the lanes' multipliers.
    roms : iterable of int
        Bits of the ROMs that may be built from LUTs.
    used : callable
        Share to the multipliers and block RAMs that are needed then.
    dsp, ebr : float
        Multipliers and block RAMs of the device.
    block_rams : float
        Share of the block RAMs that memories may take.
    """
    share = LogicShare()
    for bits in sorted(set(products)):
        if used(share)[0] <= dsp:
            break
        share = LogicShare(bits, 0)
    for bits in sorted(set(roms)):
        if used(share)[1] <= block_rams * ebr:
            break
        share = LogicShare(share.product_bits, bits)
    return share


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
    units: Mapping[str, Sequence[Part]],
    family: str,
    room: Resources | None = None,
    built: LogicShare | None = None,
    block_rams: float = BLOCK_RAM_SHARE,
) -> Cost:
    """Resources of a chip of `units` (from `rtl_gen.plan.part.of_chip`).

    Parameters
    ----------
    room : Resources, optional
        Of the device: with fewer blocks than the chip wants, narrow multipliers of lanes and small
        ROMs are built from LUTs, the narrowest and smallest first, as the flow does.
    built : LogicShare, optional
        What is built from LUTs where there is no `room`: nothing if left out.
    block_rams : float
        Share of the block RAMs in `room` that memories may take.
    """
    if room is None:
        return _cost(units, family, built or LogicShare())
    costs: dict[LogicShare, Cost] = {}

    def used(share: LogicShare) -> tuple[float, float]:
        if share not in costs:
            costs[share] = _cost(units, family, share)
        found = costs[share].total
        return found.dsp, found.ebr

    parts = [item for found in units.values() for item in found]
    products = [min(p.sizes["a"], p.sizes["b"]) for p in parts if p.kind == "lane"]
    roms = [p.sizes["width"] * p.sizes["depth"] for p in parts if p.kind == "rom"]
    share = least(products, roms, used, room.dsp, room.ebr, block_rams)
    return costs.get(share) or _cost(units, family, share)


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
        return {**sizes, "lut_products": int(share.has_product(sizes["a"], sizes["b"]))}
    if item.kind == "rom":
        return {**sizes, "logic": int(share.has_rom(sizes["width"], sizes["depth"]))}
    return sizes
