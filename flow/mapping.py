"""Which multipliers and ROMs of a chip are built from LUTs, so that it fits the device's blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow.ecp5 import Resources
from rtl_gen.plan.cost import LogicShare, least
from rtl_gen.plan.folding import BLOCK_RAM_SHARE

SINGLE_MODES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
"""Width and depth of a DP16KD that is written and read on one port each, FPGA-TN-02204."""

DISTRIBUTED_DEPTH = 16
"""Words up to which a memory that is written lies in the LUTs of a few slices."""


def block_rams(width: int, depth: int, ports: int = 1) -> int:
    """Block RAMs of a memory; one that is read on two ports cannot use the widest mode."""
    modes = SINGLE_MODES if ports == 1 else SINGLE_MODES[1:]
    return min(-(-width // w) * -(-depth // d) for w, d in modes)


def product_widths(manifest: Mapping[str, Any]) -> list[int]:
    """Widths at which the narrower operand of a lane multiplier lies, ascending."""
    return sorted({min(item["a"], item["b"]) for item in manifest["products"]})


def choose(manifest: Mapping[str, Any], room: Resources) -> LogicShare:
    """Least share for which the lanes and the memories alone fit `room`.

    Parameters
    ----------
    manifest : mapping
        Of the chip.
    room : Resources
        Capacity of the device.
    """
    constants = [
        item for item in manifest["memories"] if item["class"] == "constant" and item["ports"] == 1
    ]

    def used(share: LogicShare) -> tuple[float, float]:
        products = sum(item["count"] for item in manifest["products"]
                       if not share.has_product(item["a"], item["b"]))  # fmt: skip
        return products, _memories(manifest, share)

    roms = [item["width"] * item["depth"] for item in constants]
    block_rams = manifest.get("plan", {}).get("block_rams", BLOCK_RAM_SHARE)
    return least(product_widths(manifest), roms, used, room.dsp, room.ebr, block_rams)


def _memories(manifest: Mapping[str, Any], share: LogicShare) -> int:
    return sum(
        item["copies"] * block_rams(item["width"], item["depth"], item["ports"])
        for item in manifest["memories"]
        if (item["class"] != "constant" and item["depth"] > DISTRIBUTED_DEPTH)
        or item["ports"] > 1
        or not share.has_rom(item["width"], item["depth"])
    )


def enlarge(share: LogicShare, manifest: Mapping[str, Any]) -> LogicShare | None:
    """Share with the next wider lane multipliers built from LUTs too; None if all are."""
    wider = [bits for bits in product_widths(manifest) if bits > share.product_bits]
    return LogicShare(wider[0], share.rom_bits) if wider else None
