"""How many weights a graph stores, and how many of them one step multiplies."""

from __future__ import annotations

from dataclasses import dataclass

from rtl_gen.ir import integer as ir


@dataclass(frozen=True, slots=True)
class Work:
    """Area follows the weights that are stored, time and energy those that are used.

    Parameters
    ----------
    stored : int
        Elements of all matrices and tables; a shared one counts once.
    used : int
        Multiplications of one step by constants, but for convolutions, whose kernels count once:
        of a mixture of experts the chosen ones alone, of an embedding one row.
    """

    stored: int
    used: int


def work(graph: ir.IntegerGraph) -> Work:
    """Count the weights of `graph`."""
    sizes: dict[str, int] = {}
    used = 0
    for node in graph.nodes:
        match node.op:
            case ir.Embedding(table=name):
                data = graph.constants[name].data
                used += data.shape[1]
            case ir.ConstMatVec(weight=name) | ir.Conv2d(weight=name):
                data = graph.constants[name].data
                used += data.size
            case ir.ExpertMatVec(weight=name):
                data = graph.constants[name].data
                used += data[0].size
            case _:
                continue
        sizes[name] = data.size
    return Work(sum(sizes.values()), used)
