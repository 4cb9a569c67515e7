"""Words of a chip's memories as numbers: where they are, and which bits have been accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.evidence.adders import Cores
from flow.evidence.design import EvidenceError
from rtl_gen.ir import integer as ir

Bits = NDArray[np.uint8]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant as it was read.

    Parameters
    ----------
    name : str
        Of the graph's constant.
    where : str
        Memory and first word.
    data : int64, shape of the constant
    """

    name: str
    where: str
    data: Integers


@dataclass
class Reader:
    """Memories of a chip, and which of their bits have been accounted for.

    Parameters
    ----------
    words : mapping of str to uint8, shape (depth, width)
        Bits of every constant memory by name, the lowest first.
    manifest : mapping
        Content of ``manifest.json``.
    graph : IntegerGraph
        Gives names and shapes; its data are not read.
    cores : Cores, optional
        Matrices that are wired in space.
    """

    words: Mapping[str, Bits]
    manifest: Mapping[str, Any]
    graph: ir.IntegerGraph
    cores: Cores | None = None
    claimed: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.claimed = {name: np.zeros(bits.shape, np.bool_) for name, bits in self.words.items()}
        self.lanes = int(self.manifest["plan"]["lanes"])
        self.elements = int(self.manifest["plan"]["elements"])

    def numbers(
        self, memory: str, word: Integers, offset: Integers, width: int, *, signed: bool
    ) -> Integers:
        """Numbers of `width` bits at bit `offset` of each `word`; any shape.

        Raises
        ------
        EvidenceError
            If the memory is absent or smaller than that.
        """
        if memory not in self.words:
            raise EvidenceError(f"the chip has no memory {memory}")
        stored = self.words[memory]
        word, offset = np.broadcast_arrays(word, offset)
        if word.size and (
            word.min() < 0
            or word.max() >= stored.shape[0]
            or offset.max() + width > stored.shape[1]
        ):
            raise EvidenceError(
                f"memory {memory} has {stored.shape[0]} words of {stored.shape[1]} bits; a number "
                f"should be at word {word.max()}, bit {offset.max()}"
            )
        place = offset[..., None] + np.arange(width)
        self.claimed[memory][word[..., None], place] = True
        digits = stored[word[..., None], place].astype(np.int64)
        value = (digits << np.arange(width)).sum(axis=-1)
        return np.asarray(value - (digits[..., -1] << width) if signed else value, np.int64)

    def width(self, memory: str, numbers: int) -> int:
        """Bits of each of the `numbers` that share a word of `memory`.

        Raises
        ------
        EvidenceError
            If they do not share it evenly.
        """
        if memory not in self.words:
            raise EvidenceError(f"the chip has no memory {memory}")
        width = int(self.words[memory].shape[1])
        if width % numbers:
            raise EvidenceError(
                f"memory {memory}: words of {width} bits do not hold {numbers} numbers"
            )
        return width // numbers

    def stream(self, memory: str, base: int, count: int) -> tuple[Integers, Integers, int]:
        """Words, offsets and pitch of `count` entries stored beat after beat."""
        pitch = self.width(memory, self.elements)
        index = np.arange(count)
        return base + index // self.elements, index % self.elements * pitch, pitch

    def unclaimed(self) -> Iterator[str]:
        """Memories with a bit that is set and belongs to no number."""
        for name, taken in self.claimed.items():
            word, bit = np.nonzero((self.words[name] != 0) & ~taken)
            if len(word):
                yield (
                    f"{name}: {len(word)} bits are set that belong to no constant, the first at "
                    f"word {word[0]}, bit {bit[0]}"
                )
