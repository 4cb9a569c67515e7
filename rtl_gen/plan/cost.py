"""Resources of a whole chip, predicted from its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtl_gen.plan.fit import fit
from rtl_gen.plan.part import Part
from rtl_gen.plan.resource import Resources, total


@dataclass(frozen=True, slots=True)
class Cost:
    """Predicted resources of a chip.

    Parameters
    ----------
    units : mapping of str to Resources
        Of every unit, with what is inside of it; ``control`` is what joins them.
    lut_products : bool
        The multipliers of lanes are built from LUTs.
    """

    units: Mapping[str, Resources]
    lut_products: bool

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
        Of the device: with fewer multipliers than the chip wants, its lanes are built from LUTs, as
        the flow does.
    """
    cost = Cost({name: of_parts(parts, family) for name, parts in units.items()}, False)
    if room is None or cost.total.dsp <= room.dsp:
        return cost
    return Cost(
        {name: of_parts(parts, family, lut_products=True) for name, parts in units.items()}, True
    )


def of_parts(parts: Sequence[Part], family: str, *, lut_products: bool = False) -> Resources:
    """Resources of some parts together."""
    known = fit(family)
    return total(
        known.part(item.kind, {**item.sizes, "lut_products": int(lut_products)}
                   if item.kind == "lane" else item.sizes) * item.count
        for item in parts
    )  # fmt: skip
