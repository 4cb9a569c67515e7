"""Which parts of a chip have work in a cycle: its status output ``active``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from amaranth import Cat, Value

from rtl_gen.program import HEADS, Program

PARTS = (
    "products", "scores", "softmax", "values", "norm", "embedding", "pool", "route", "sample",
    "tail", "results", "copy",
)  # fmt: skip
"""Parts in the order in which a cycle that several share is attributed; ``docs/chip.md``."""

_NEEDS = {
    "products": {"matvec"},
    "results": {"matvec"},
    "scores": {"attention"},
    "softmax": {"attention"},
    "values": {"attention"},
    "tail": {"rotary", "lookup", "mul", "add"},
    "copy": {"copy", "fill", "input"},
}


def names(program: Program, units: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of `PARTS` that a chip with these units has; bit i of ``active`` is the i-th."""
    there = {HEADS[item.fields["head"]] for item in program.instructions} | set(units)
    return tuple(part for part in PARTS if _NEEDS.get(part, {part}) & there)


def bits(
    parts: tuple[str, ...], units: Mapping[str, Any], *, writes: Callable[[str], Value],
    sampling: Value, combining: Value,
) -> Value:  # fmt: skip
    """Value of ``active``. Nothing in the chip reads it: a board that does not loses nothing.

    Parameters
    ----------
    parts : tuple of str
        From `names`.
    units : mapping
        The chip's units.
    writes : callable
        Whether the results of a head unit are being let out.
    sampling, combining : Value
        The sampler takes logits or looks for the largest; a result leaves the tail for its sink.
    """
    found: dict[str, Value] = {
        "sample": sampling,
        "tail": combining,
        "copy": Cat(*(writes(head) for head in ("copy", "fill", "input"))).any(),
        "embedding": writes("embedding"),
    }
    for part in ("norm", "pool", "route"):
        if part in units:
            found[part] = writes(part) | (units[part].i.valid & units[part].i.ready)
    if "matvec" in units:
        found["products"] = units["matvec"].i.valid & units["matvec"].i.ready
        found["results"] = writes("matvec")
    if "attention" in units:
        found["scores"] = units["attention"].scoring
        found["softmax"] = units["attention"].waiting
        found["values"] = writes("attend")
    return Cat(*(found[part] for part in parts))
