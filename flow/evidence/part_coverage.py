"""Functional coverage of parts of a chip: routers, caches, the schedule, adapter slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.integer import IntegerGraph, Route

STEPS = ("no token drawn", "token drawn")
Group = dict[str, Any]


def group(bins: Iterable[Any], met: Iterable[Any], *, required: bool = False) -> Group:
    """How many of some bins were met, and the holes by name."""
    wanted, found = list(bins), set(met)
    holes = [item for item in wanted if item not in found]
    return {
        "bins": len(wanted), "hit": len(wanted) - len(holes), "holes": _joined(holes),
        "required": required,
    }  # fmt: skip


def _joined(holes: Sequence[Any]) -> list[str]:
    """Names of holes; consecutive numbers as one."""
    spans: list[list[Any]] = []
    for hole in holes:
        if spans and isinstance(hole, int) and hole == spans[-1][1] + 1:
            spans[-1][1] = hole
        else:
            spans.append([hole, hole])
    return [str(first) if first == last else f"{first} to {last}" for first, last in spans]


def of_routers(graph: IntegerGraph, values: Mapping[str, NDArray[np.int64]]) -> dict[str, Group]:
    """Decisions of every router: each expert in each slot, and equal scores.

    Parameters
    ----------
    graph : IntegerGraph
    values : mapping of str to int64, flat
        Every node's values in all steps that ran, one step after another.

    Returns
    -------
    dict
        Nothing for a network without routers.
    """
    wanted: list[str] = []
    met: list[str] = []
    ties: list[str] = []
    tied: list[str] = []
    for node in graph.nodes:
        if not isinstance(node.op, Route):
            continue
        k, experts = node.op.k, graph.value(node.inputs[0]).shape[0]
        choice = values[node.name].reshape(-1, k)
        scores = values[node.inputs[0]].reshape(-1, experts)
        for slot in range(k):
            wanted += [f"{node.name}, slot {slot}: expert {e}" for e in range(experts)]
            chosen = np.unique(choice[:, slot]).tolist()
            met += [f"{node.name}, slot {slot}: expert {e}" for e in chosen]
        order = -np.sort(-scores, axis=1)
        equal = order[:, 1:] == order[:, :-1]
        kinds = {"a tie for the last place": equal[:, k - 1 : k], "a tie among the chosen":
                 equal[:, : k - 1]}  # fmt: skip
        for kind, found in kinds.items():
            if found.shape[1]:
                ties.append(f"{node.name}: {kind}")
                tied += [ties[-1]] if found.any() else []
    if not wanted:
        return {}
    return {"router × slot × expert": group(wanted, met), "router × tie": group(ties, tied)}


def of_caches(context: int, lengths: Sequence[int], *, short: bool) -> dict[str, Group]:
    """Cached positions: read by a later step, and written again by another sequence.

    Parameters
    ----------
    context : int
    lengths : sequence of int
        Steps of every sequence.
    short : bool
        Whether every position must be met.
    """
    read = max(lengths, default=0) - 1
    writes = Counter(position for length in lengths for position in range(length))
    return {
        "cached position, read by a later step": group(
            range(context - 1), range(read), required=short
        ),
        "cached position, written by several sequences": group(
            range(context), [position for position, count in writes.items() if count > 1]
        ),
    }  # fmt: skip


def of_schedule(
    report: Mapping[str, Group], stop: int, adapters: Sequence[bool], surroundings: Sequence[str]
) -> dict[str, Group]:
    """Instructions that ran, from the steps that did.

    Parameters
    ----------
    report : mapping
        Coverage of the sequences; its group ``surroundings × step`` says which steps ran.
    stop : int
        Last instruction of a step that draws no token.
    adapters : sequence of bool
        Of every instruction: whether it belongs to the program of steps with an active adapter.
    surroundings : sequence of str
        All of them.
    """
    holes = set(report["surroundings × step"]["holes"])
    ran: dict[str, set[int]] = {}
    for place in surroundings:
        last = {STEPS[0]: stop, STEPS[1]: len(adapters) - 1}
        ends = [end for step, end in last.items() if f"{place} × {step}" not in holes]
        ran[place] = {k for k in range(max(ends, default=-1) + 1) if not adapters[k]}
    base = [k for k, adapter in enumerate(adapters) if not adapter]
    crossed = [f"{place} × instruction {k}" for place in surroundings for k in range(len(adapters))]
    return {
        "instruction": group(base, set().union(*ran.values()), required=True),
        "surroundings × instruction": group(
            crossed, [f"{place} × instruction {k}" for place, met in ran.items() for k in met]
        ),
    }


def of_slots(slots: int) -> dict[str, Group]:
    """Adapter slots: the comparison of the base runs without an adapter, which is slot 0."""
    return {"adapter slot": group(range(slots + 1), [0])}
