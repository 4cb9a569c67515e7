"""Grouping of nodes into chains: one pass of data through a head unit and the tail.

The tail applies, in this order, a rotation, a table, a product and a sum with a second operand from
the vector memory; every part is optional. A node joins the chain of the value it consumes when
nothing else needs that value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rtl_gen.ir import integer as ir


@dataclass(slots=True)
class Chain:
    """Nodes computed together.

    Parameters
    ----------
    source : str
        Value that a chain without a head reads (a plain copy through the tail).
    head : Node or None
    rotary, lookup, weigh, combine : Node or None
        Tail: rotation; table; product with a gate; product or sum.
    second : str
        The other operand of `combine`.
    """

    source: str = ""
    head: ir.Node | None = None
    rotary: ir.Node | None = None
    lookup: ir.Node | None = None
    weigh: ir.Node | None = None
    combine: ir.Node | None = None
    second: str = ""
    nodes: list[ir.Node] = field(default_factory=list)

    @property
    def value(self) -> str:
        """Name of the value the chain ends with."""
        return self.nodes[-1].name

    def inputs(self) -> list[str]:
        """Values read from memory."""
        names = list(self.head.inputs) if self.head else [self.source]
        return [*names, self.second] if self.second else names


def roots(graph: ir.IntegerGraph) -> dict[str, str]:
    """For every value the one whose memory it shares: reshapes and adapted values do."""
    root = {item.name: item.name for item in graph.inputs}
    for node in graph.nodes:
        match node.op:
            case ir.Reshape():
                root[node.name] = root[node.inputs[0]]
            case ir.LowRank():  # which changes y in place
                root[node.name] = root[node.inputs[1]]
            case _:
                root[node.name] = node.name
    return root


def group(graph: ir.IntegerGraph) -> list[Chain]:
    """Chains in execution order; `Sample` nodes are left to the sink."""
    root = roots(graph)
    uses = Counter(root[name] for node in graph.nodes for name in node.inputs
                   if not isinstance(node.op, ir.Reshape))  # fmt: skip
    if not graph.vocabulary:
        uses.update(root[name] for name in graph.outputs.values())
    chains: list[Chain] = []
    ends: dict[str, int] = {}

    def open_chain(name: str) -> int | None:
        """Chain that may still grow behind value `name`."""
        index = ends.get(name)
        if index is None or uses[name] != 1 or _in_parts(chains[index]):
            return None
        return index

    for node in graph.nodes:
        match node.op:
            case ir.Reshape() | ir.Sample() | ir.Route():  # the router chooses with the gates
                continue
            case ir.Lookup():
                source = root[node.inputs[0]]
                index = open_chain(source)
                if index is None or chains[index].lookup or _combines(chains[index]):
                    chains.append(Chain(source=source))
                    index = len(chains) - 1
                chains[index].lookup = node
            case ir.Rotary():
                source = root[node.inputs[0]]
                index = open_chain(source)
                # Only rows of a matrix leave in any order we like.
                if index is None or not _is_bare_product(chains[index]):
                    chains.append(Chain(source=source))
                    index = len(chains) - 1
                chains[index].rotary = node
            case ir.Weigh():
                source = root[node.inputs[0]]
                index = open_chain(source)
                if index is None or chains[index].weigh or chains[index].combine:
                    chains.append(Chain(source=source))
                    index = len(chains) - 1
                chains[index].weigh = node
            case ir.Add() | ir.Mul():
                operands = [root[name] for name in node.inputs]
                index = _join(
                    chains, ends, operands, open_chain, product=isinstance(node.op, ir.Mul)
                )
                chains[index].combine = node
            case _:
                chains.append(Chain(head=node))
                index = len(chains) - 1
        chain = chains[index]
        if chain.nodes:
            del ends[chain.value]
        chain.nodes.append(node)
        ends[node.name] = index
    return chains


def gather(chains: Sequence[Chain]) -> list[Chain]:
    """Chains with bare products of one vector side by side, so that they can share groups.

    Adapter regions and what reads them stand between such products otherwise.
    """
    found: list[Chain] = []
    for chain in chains:
        place = len(found)
        if _is_bare_product(chain):
            inputs = chain.nodes[0].inputs
            alike = [i for i, other in enumerate(found)
                     if _is_bare_product(other) and other.nodes[0].inputs == inputs]  # fmt: skip
            place = alike[-1] + 1 if alike else place
        found.insert(place, chain)
    return found


def rotation(graph: ir.IntegerGraph, root: Mapping[str, str], chain: Chain) -> ir.Rotary | None:
    """The rotation whose order the stream of `chain` has.

    It is the chain's own, or that of a bare product which an adapter region changes before it is
    rotated: its rows leave as if the rotation followed at once, so that the program with adapter
    regions and the one without use the same rows of the ROM.
    """
    node = chain.rotary
    if node is None and _is_bare_product(chain):
        of = [n for n in graph.nodes if any(root[name] == chain.value for name in n.inputs)]
        if any(isinstance(n.op, ir.LowRank) and root[n.name] == chain.value for n in of):
            node = next((n for n in of if isinstance(n.op, ir.Rotary)), None)
    return node.op if node is not None and isinstance(node.op, ir.Rotary) else None


def _combines(chain: Chain) -> bool:
    return chain.weigh is not None or chain.combine is not None


def _in_parts(chain: Chain) -> bool:
    """Whether the chain takes several instructions, one per group of a norm."""
    return (
        chain.head is not None and isinstance(chain.head.op, ir.Norm) and chain.head.op.groups > 1
    )


def _is_bare_product(chain: Chain) -> bool:
    return len(chain.nodes) == 1 and isinstance(chain.nodes[0].op, ir.ConstMatVec)


def _join(
    chains: list[Chain],
    ends: dict[str, int],
    operands: list[str],
    open_chain: Callable[[str], int | None],
    *,
    product: bool,
) -> int:
    """Index of the chain that streams one operand; its `second` is the other one.

    A product with a gate takes the place of another product, not of a sum.
    """
    for stream, other in (operands, operands[::-1]):
        index = open_chain(stream)
        ready = ends.get(other, -1)
        if index is None or stream == other or (product and chains[index].weigh):
            continue
        if not chains[index].combine and ready < index:
            chains[index].second = other
            return index
    chains.append(Chain(source=operands[0], second=operands[1]))
    return len(chains) - 1


def rows(graph: ir.IntegerGraph, op: ir.ConstMatVec | ir.Conv2d) -> int:
    """Rows of a constant matrix."""
    return len(graph.constants[op.weight].data)


def merge(
    graph: ir.IntegerGraph, chains: Sequence[Chain], index: int, lanes: int,
    etched: Collection[str] = (),
) -> Sequence[Chain]:  # fmt: skip
    """Chain `index` and those behind it whose products of the same vector fill its last group.

    Matrices in `etched` have no rows in the lanes' ROM.
    """
    best = end = index + 1
    head = chains[index].head
    assert head is not None
    apart = total = 0
    for chain in chains[index:]:
        other = chain.head
        if other is None or not isinstance(other.op, ir.ConstMatVec) or other.inputs != head.inputs:
            break
        if other.op.weight in etched:
            break
        count = rows(graph, other.op)
        apart, total, end = apart + -(-count // lanes), total + count, end + 1
        if -(-total // lanes) < apart:
            best = end - 1
    return chains[index:best]
