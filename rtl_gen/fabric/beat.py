"""Beats: how many elements a stream transfers at once."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Shape, Value, signed, unsigned


def beat(width: int, elements: int) -> Shape:
    """Payload of `elements` signed numbers of `width` bits, the first in the low bits.

    One element is a plain signed number. Several are a plain vector, not an Amaranth array: that
    would name its elements ``payload[0]``, which Yosys' ABC9 takes for bits (Yosys 0.70).
    """
    return signed(width) if elements == 1 else unsigned(width * elements)


def split(payload: Value, elements: int) -> list[Value]:
    """The elements of a payload, to be read or assigned."""
    return cut(payload, signed(len(payload) // elements), elements)


def cut(word: Value, shape: Shape, elements: int) -> list[Value]:
    """`elements` numbers of `shape` that lie side by side in a memory word, the first lowest."""
    parts = [word.word_select(k, shape.width) for k in range(elements)]
    return [part.as_signed() for part in parts] if shape.signed else parts


def pack(words: Sequence[int], width: int, elements: int) -> list[int]:
    """Memory words of `elements` numbers of `width` bits each, the first lowest.

    Raises
    ------
    ValueError
        If `words` is not a whole number of beats.
    """
    if len(words) % elements:
        raise ValueError(f"{len(words)} words are not whole beats of {elements}")
    mask = (1 << width) - 1
    return [
        sum((int(w) & mask) << (width * k) for k, w in enumerate(words[start : start + elements]))
        for start in range(0, len(words), elements)
    ]
