"""Contents of ECP5 block RAMs, as a netlist, a routed configuration and a bitstream hold them.

All of them become one form: 2,048 bytes of 9 bits, int64, byte ``2 k`` the low half of the k-th
18-bit word.

Notes
-----
Lattice FPGA-TN-02204 (ECP5 memory usage guide): a block holds 1,024 words of 18 bits; a port of
width 9 sees bytes, one of 36 two words side by side, one of 1, 2 or 4 bits skips every ninth bit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flow.evidence.design import Cell, EvidenceError

BYTES = 2048
BYTE_BITS = 9
_WIDTHS = (1, 2, 4, 9, 18, 36)
_LINES = 64
_LINE_WORDS = 16
_WORD_STEP = 20  # bits from one 18-bit word to the next in a line of 320

_SECTION = re.compile(r"^\.bram_init (\d+)\n((?:[0-9a-f ]+\n)*)", re.MULTILINE)

Contents = NDArray[np.int64]


def of_cell(cell: Cell) -> Contents:
    """Initial contents of a DP16KD of a netlist: its parameters ``INITVAL_00`` … ``INITVAL_3F``.

    Raises
    ------
    EvidenceError
        If a line has a bit that is neither 0 nor 1.
    """
    contents = np.zeros(BYTES, np.int64)
    for line in range(_LINES):
        digits = cell.parameters.get(f"INITVAL_{line:02X}", "0")
        if not set(digits) <= {"0", "1"}:
            raise EvidenceError(f"INITVAL_{line:02X} of a block RAM has undefined bits")
        value = int(digits, 2)
        for word in range(_LINE_WORDS):
            both = value >> _WORD_STEP * word
            place = 2 * (line * _LINE_WORDS + word)
            contents[place] = both & 0x1FF
            contents[place + 1] = both >> BYTE_BITS & 0x1FF
    return contents


def of_config(config: str) -> Mapping[int, Contents]:
    """Contents of every block of a routed configuration by its number (``.bram_init``).

    Raises
    ------
    EvidenceError
        If a block has another size.
    """
    found: dict[int, Contents] = {}
    for section in _SECTION.finditer(config):
        values = [int(word, 16) for word in section[2].split()]
        if len(values) != BYTES or max(values) > 0x1FF:
            raise EvidenceError(
                f".bram_init {section[1]} has {len(values)} bytes of 9 bits, a block {BYTES}"
            )
        found[int(section[1])] = np.array(values, np.int64)
    return found


def bits(contents: Contents) -> NDArray[np.uint8]:
    """The bits of every byte. uint8, shape (2048, 9)."""
    return np.asarray(contents[:, None] >> np.arange(BYTE_BITS) & 1, np.uint8)


def read(
    contents: Contents, width: int, address: NDArray[np.int64], where: str
) -> NDArray[np.uint8]:
    """What a port of `width` bits gives at each `address` (14 bits, as at the pins).

    Parameters
    ----------
    contents : int64, shape (2048,)
    width : {1, 2, 4, 9, 18, 36}
    address : int64, shape (n,)
    where : str
        For the message.

    Returns
    -------
    uint8, shape (n, width)

    Raises
    ------
    EvidenceError
        If there is no such width.
    """
    if width not in _WIDTHS:
        raise EvidenceError(f"{where}: a block RAM port of {width} bits does not exist")
    byte, bit = _places(width, address)
    return np.asarray(bits(contents)[byte, bit], np.uint8)


def unread(contents: Contents, width: int, address: NDArray[np.int64], live: Sequence[int]) -> int:
    """How many set bits no `address` brings to one of the `live` places of a port's word."""
    byte, bit = _places(width, address)
    left = bits(contents) != 0
    left[byte[:, live], bit[:, live]] = False
    return int(left.sum())


def _places(width: int, address: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Byte and bit of every place of the words at `address`; two arrays of shape (n, width)."""
    place = np.arange(width)[None, :]
    byte = address[:, None] >> 3
    if width < BYTE_BITS:
        return byte + 0 * place, (address[:, None] & 7) // width * width + place
    count = width // BYTE_BITS
    return byte // count * count + place // BYTE_BITS, place % BYTE_BITS + 0 * byte
