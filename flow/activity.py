"""Where the cycles of a step go: counts of a chip's ``active`` attributed to its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CONTROL = "control"
"""Cycles in which no part has work."""

TITLES = {
    "products": "matrix products",
    "attention": "attention",
    "scores": "attention: scores",
    "softmax": "attention: softmax",
    "values": "attention: values",
    "norm": "normalization",
    "embedding": "embedding",
    "pool": "pooling",
    "route": "routing",
    "sample": "sampling",
    "tail": "rotation, table, product, sum",
    "results": "matrix products: last results",
    "copy": "copies",
    CONTROL: "idle and control",
}
"""Name of each part for people."""


def attribute(names: Sequence[str], counts: Mapping[int, int]) -> dict[str, int]:
    """Give every cycle to the first active part.

    Parameters
    ----------
    names : sequence of str
        ``active`` of the chip's manifest: bit i of a value of the output is part ``names[i]``.
    counts : mapping of int to int
        Cycles by the value of the output.

    Returns
    -------
    dict of str to int
        Cycles of every part and of `CONTROL`; their sum is that of `counts`.
    """
    cycles = dict.fromkeys([*names, CONTROL], 0)
    for value, count in counts.items():
        first = (value & -value).bit_length() - 1
        cycles[names[first] if value else CONTROL] += count
    return cycles
