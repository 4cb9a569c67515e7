"""Block RAMs of a memory: how Yosys cuts words and addresses into blocks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Blocks:
    """Block RAMs of a family.

    Parameters
    ----------
    shapes : tuple of (int, int)
        Words and bits that one block holds, every aspect ratio.
    distributed : bool
        Whether small written memories go to LUTs (16 words of 4 bits each) instead.
    size : float
        What one such block counts: half, where the smallest is half of a block.
    flip_flops : int
        Bits of the largest written memory that is flip-flops instead.

    Notes
    -----
    Geometries: ``brams*.txt`` of Yosys 0.70 (share/lattice, ice40, gowin, gatemate), which follow
    the families' memory guides.
    """

    shapes: tuple[tuple[int, int], ...]
    distributed: bool = True
    size: float = 1
    flip_flops: int = 0


_LATTICE = tuple((16384 >> k, width) for k, width in enumerate((1, 2, 4, 9, 18, 36)))
FAMILIES = {
    "ecp5": Blocks(_LATTICE),
    "nexus": Blocks(_LATTICE),
    "gowin": Blocks(_LATTICE),
    "ice40": Blocks(tuple((2048 >> k, width) for k, width in enumerate((2, 4, 8, 16))), False),
    "gatemate": Blocks(
        tuple((16384 >> k, width) for k, width in enumerate((1, 2, 5, 10, 20, 40))), False, 0.5, 128
    ),
}


def blocks(
    width: int, depth: int, family: str, *, written: bool = False, readers: int = 1
) -> float:
    """Block RAMs of `depth` words of `width` bits; 0 if LUTs or flip-flops hold them.

    Of the aspect ratios the one with the fewest blocks; two readers cannot use the widest, which
    takes both ports of a block.
    """
    known = FAMILIES[family]
    shapes = known.shapes[: -1 if readers > 1 else None]
    count = min(-(-width // bits) * -(-depth // words) for words, bits in shapes)
    # Yosys compares costs (memory_libmap.cc): 128 for a block, 4 for a distributed RAM and half of
    # one for every bit chosen between two rows of them; equal ones go to blocks.
    rows = -(-depth // 16)
    distributed = 4 * -(-width // 4) * rows + (rows - 1) * (width + 1) / 2
    if written and (
        (known.distributed and distributed < 128 * count) or width * depth <= known.flip_flops
    ):
        return 0
    return count * known.size


def banks(width: int, depth: int, family: str) -> int:
    """Blocks that share a bit of the word, between which the address's high bits choose."""
    shapes = FAMILIES[family].shapes
    words, _ = min(shapes, key=lambda s: (-(-width // s[1]) * -(-depth // s[0]), s[1]))
    return -(-depth // words)
