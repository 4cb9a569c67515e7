"""Beats: how many elements a stream transfers at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import Shape, Value, signed
from amaranth.lib import data


def beat(width: int, elements: int) -> Any:
    """Payload of `elements` signed numbers of `width` bits; a plain number if there is one."""
    return signed(width) if elements == 1 else data.ArrayLayout(signed(width), elements)


def split(payload: Any) -> list[Value]:
    """The elements of a payload."""
    if isinstance(payload, data.View):
        return [payload[k] for k in range(payload.shape().length)]
    return [payload]


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
