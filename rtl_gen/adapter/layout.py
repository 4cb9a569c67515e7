"""Where an adapter image lies in a chip's adapter memory, and the words that a host writes."""

from __future__ import annotations

from dataclasses import dataclass

from rtl_gen.blocks.const_matvec import weight_words
from rtl_gen.errors import UnsupportedError
from rtl_gen.fabric.adapter_memory import HOST_BITS, Geometry
from rtl_gen.fabric.beat import pack
from rtl_gen.fabric.row_scale import MULTIPLIER_BITS
from rtl_gen.ir.adapter import AdapterImage, check, regions
from rtl_gen.ir.integer import IntegerGraph, LowRank, Node
from rtl_gen.ir.range import low_rank_columns
from rtl_gen.plan import Plan


@dataclass(frozen=True, slots=True)
class Place:
    """First words of one region, within a slot, in the memories ``a``, ``b`` and ``row``."""

    a: int
    b: int
    row_a: int
    row_b: int


@dataclass(frozen=True, slots=True)
class AdapterLayout:
    """Adapter memory of a chip.

    Parameters
    ----------
    geometry : Geometry
    places : dict of str to Place
        By region.
    a_lanes : int
        Lanes that `a` has weights for; the others multiply by zero.
    """

    geometry: Geometry
    places: dict[str, Place]
    a_lanes: int


def lay_out(graph: IntegerGraph, plan: Plan) -> AdapterLayout | None:
    """Places of all regions one after the other; None for a graph without any.

    Parameters
    ----------
    graph : IntegerGraph
    plan : Plan

    Raises
    ------
    UnsupportedError
        If regions differ in rank or width, or vectors are no whole number of beats.
    """
    found = regions(graph)
    if not found:
        return None
    kinds = {(op.rank, op.element.width) for _, op in found}
    if len(kinds) > 1:
        raise UnsupportedError(f"adapter regions of different rank and width: {sorted(kinds)}")
    ((rank, bits),) = kinds
    if rank % plan.elements:
        raise UnsupportedError(
            f"adapters.rank: {rank} is not a multiple of the {plan.elements} elements of a beat; "
            f"choose rank {rank + -rank % plan.elements}"
        )
    a_lanes = min(plan.lanes, rank)
    places: dict[str, Place] = {}
    a = b = row = 0
    for node, _ in found:
        n_in, n_out = _sizes(graph, node)
        if n_in % plan.elements or n_out % plan.elements:
            raise UnsupportedError(
                f"region {node.name}: {n_in} inputs and {n_out} outputs are not whole beats of "
                f"{plan.elements}; choose fewer elements per beat in the model's plan"
            )
        places[node.name] = Place(a, b, row, row + rank // plan.elements)
        a += -(-rank // a_lanes) * (n_in // plan.elements)
        b += -(-n_out // plan.lanes) * (rank // plan.elements)
        row += (rank + n_out) // plan.elements
    widths = (
        a_lanes * plan.elements * bits,
        plan.lanes * plan.elements * bits,
        plan.elements * MULTIPLIER_BITS,
    )
    return AdapterLayout(Geometry(plan.slots, (a, b, row), widths), places, a_lanes)


def host_words(graph: IntegerGraph, plan: Plan, image: AdapterImage) -> list[int]:
    """What a host writes to load `image` into a slot: 32-bit words.

    Parameters
    ----------
    graph : IntegerGraph
    plan : Plan
        Of the chip.
    image : AdapterImage

    Raises
    ------
    ValueError
        If the graph has no adapter regions or the image is not one of it.
    """
    layout = lay_out(graph, plan)
    if layout is None:
        raise ValueError("the graph has no adapter regions")
    check(image, graph)
    contents: list[list[int]] = [[], [], []]
    for node, op in regions(graph):
        factors, bits = image.factors[node.name], op.element.width
        contents[0] += weight_words(factors.a, layout.a_lanes, bits, plan.elements)
        contents[1] += weight_words(factors.b, plan.lanes, bits, plan.elements)
        for multiplier in (factors.multiplier_a, factors.multiplier_b):
            contents[2] += pack(multiplier.tolist(), MULTIPLIER_BITS, plan.elements)
    mask = (1 << HOST_BITS) - 1
    words = [
        word >> (HOST_BITS * piece) & mask
        for bank, bank_words in enumerate(contents)
        for word in bank_words
        for piece in range(len(layout.geometry.pieces(bank)))
    ]
    assert len(words) == layout.geometry.host_words
    return words


def _sizes(graph: IntegerGraph, node: Node) -> tuple[int, int]:
    assert isinstance(node.op, LowRank)
    return low_rank_columns(node.op, graph.value(node.inputs[0])), node.value.shape[0]
