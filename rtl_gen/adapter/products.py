"""The two products of an adapter region as instructions of the machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl_gen.adapter.layout import AdapterLayout
from rtl_gen.fabric.address import Loop
from rtl_gen.ir.integer import LowRank, Node
from rtl_gen.layout import Layout
from rtl_gen.plan import Plan
from rtl_gen.program import HEADS


@dataclass(frozen=True, slots=True)
class Pass:
    """Fields of an instruction, and its walks."""

    fields: dict[str, int]
    a: Loop
    b: Loop | None
    d: Loop


def products(
    adapter: AdapterLayout,
    plan: Plan,
    node: Node,
    op: LowRank,
    layouts: tuple[Layout, Layout, Layout],
) -> list[Pass]:
    """``t = a @ x`` into memory, then ``b @ t`` added to y in place, for every pixel of y.

    Parameters
    ----------
    adapter : AdapterLayout
    plan : Plan
    node : Node
    op : LowRank
        Its operator.
    layouts : tuple of Layout
        Of x, t and y.
    """
    walks = [tuple(layout.loop() for layout in layouts)]
    if op.kernel:
        (x, t, y), (sh, sw), (ph, pw) = layouts, op.stride, op.padding
        kernel = op.kernel[0], op.kernel[1]
        walks = [
            (x.window(r * sh - ph, c * sw - pw, kernel), t.pixel(r, c), y.pixel(r, c))
            for r, c in np.ndindex(*node.value.shape[1:])
        ]
    pairs = [_pair(adapter, plan, node, op, *walk) for walk in walks]
    return [pair[step] for step in (0, 1) for pair in pairs]


def _pair(
    adapter: AdapterLayout, plan: Plan, node: Node, op: LowRank, x: Loop, hidden: Loop, y: Loop
) -> tuple[Pass, Pass]:
    """Both products of one vector."""
    place = adapter.places[node.name]
    common = {"head": HEADS.index("matvec")}
    first = common | {
        "source": 1, "row_source": 1, "weight_base": place.a, "row_base": place.row_a,
        "last_column": x.length - 1, "group_rows": hidden.length, "rows": hidden.length,
        "head_shift": op.shift_a, "head_low": op.hidden.min, "head_high": op.hidden.max,
    }  # fmt: skip
    low, high = node.value.type.min, node.value.type.max
    second = common | {
        "source": 2, "row_source": 2, "weight_base": place.b, "row_base": place.row_b,
        "last_column": hidden.length - 1, "group_rows": y.length, "rows": y.length,
        "head_shift": op.shift_b, "head_low": low, "head_high": high,
        "add": 1, "add_low": low, "add_high": high,
    }  # fmt: skip
    groups_a, groups_b = -(-op.rank // adapter.a_lanes), -(-node.value.shape[0] // plan.lanes)
    return (
        Pass(first, x.repeat(groups_a), None, hidden),
        Pass(second, hidden.repeat(groups_b), y, y),
    )
