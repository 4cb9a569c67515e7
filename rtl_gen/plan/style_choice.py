"""Which matrices to wire in space: chosen by estimates, one matrix after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from rtl_gen.ir.integer import ConstMatVec, ExpertMatVec, IntegerGraph
from rtl_gen.plan.chooser import OBJECTIVES, Candidate, Search
from rtl_gen.plan.cost import Cost
from rtl_gen.plan.cycle import Cycles
from rtl_gen.plan.resource import Resources
from rtl_gen.plan.style import STYLES, Alternative, matrices, of_matrix

BLOCK_BITS = 18 * 1024
"""Of an ECP5 block RAM; what a matrix leaves in the lanes' ROM is counted in parts of one."""


def choose(
    graph: IntegerGraph,
    found: Search,
    item: Candidate,
    objective: str,
    utilization: float,
    names: Collection[str],
) -> dict[str, str]:
    """Styles of matrices other than `rom` that make `objective` smallest.

    Parameters
    ----------
    found, item : Search, Candidate
        What is chosen so far, with these matrices on the lanes.
    names : collection of str
        Weights of the matrices that may move.

    Returns
    -------
    dict of str to str
        ``serial`` or ``parallel`` by name; matrices that stay are left out.

    Notes
    -----
    Greedy, in the graph's order: a matrix moves if that makes the objective smaller and the chip
    still fits. Experts move together, since any of them may be asked for: their area is that of
    all, the cycles saved are those of the chosen ones.
    """
    key = OBJECTIVES[objective]
    uses = Counter(n.op.weight for n in graph.nodes if isinstance(n.op, ConstMatVec | ExpertMatVec))
    moved: dict[str, str] = {}
    for name, node in matrices(graph).items():
        if name not in names:
            continue
        costs = of_matrix(graph, node, item.plan)
        for style in STYLES[1:]:
            other = _moved(item, name, costs["rom"], costs[style], uses[name])
            if found.share(other, utilization) <= 1 and key(found, other) < key(found, item):
                item, moved[name] = other, style
    return moved


def _moved(
    item: Candidate, name: str, rom: Alternative, space: Alternative, uses: int
) -> Candidate:
    """`item` with a matrix in space, as estimated."""
    own = Resources(lut=space.lut, ff=space.ff, ebr=-rom.rom_bits / BLOCK_BITS)
    saved = uses * (rom.cycles - space.cycles)
    cycles = item.cycles
    return replace(
        item,
        costs=tuple(Cost({**c.units, f"etched {name}": own}, c.share) for c in item.costs),
        cycles=Cycles(cycles.first - saved, cycles.average - saved, cycles.last - saved),
    )
