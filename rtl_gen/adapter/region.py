"""Adapter regions: which matrices of a network get programmable memory beside them.

A region is a `LowRank` node. It stands where its sum costs the machine no pass of its own: before
the residual sum that reads the product, or else between the product and everything that reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from rtl_gen.adapter.apply import SUFFIX
from rtl_gen.errors import ConfigError
from rtl_gen.ir import model as real


@dataclass(frozen=True, slots=True)
class Regions:
    """Adapter memory that a chip is built with.

    Parameters
    ----------
    tensors : tuple of str
        Shell patterns on the names of the nodes that get a region; none by default.
    rank : int
        Largest rank of an adapter.
    bits : int
        Width of the elements of `a` and `b`, 2 to 8.
    hidden_bits : int
        Width of the elements of ``a @ x``, 4 to 12.
    slots : int
        Adapters resident at once.
    """

    tensors: tuple[str, ...] = ()
    rank: int = 8
    bits: int = 8
    hidden_bits: int = 8
    slots: int = 2

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("rank", self.rank, 1, 256),
            ("bits", self.bits, 2, 8),
            ("hidden_bits", self.hidden_bits, 4, 12),
            ("slots", self.slots, 1, 64),
        ):
            if not low <= value <= high:
                raise ConfigError(f"adapters.{name}: expected {low} to {high}, found {value}")


def insert(graph: real.ModelGraph, regions: Regions) -> real.ModelGraph:
    """Network with a `LowRank` node for every matrix that `regions` names.

    Without an adapter it computes what `graph` computes.

    Parameters
    ----------
    graph : ModelGraph
    regions : Regions

    Raises
    ------
    ConfigError
        If a pattern matches no matrix, or matches a node that has no place for a region.
    """
    targets = _targets(graph, regions.tensors)
    renamed: dict[str, str] = {}
    nodes: list[real.Node] = []
    # Products of one vector stay side by side: the machine computes them together.
    waiting: list[real.Node] = []
    before: tuple[str, ...] = ()
    for node in graph.nodes:
        if waiting and not (isinstance(node.op, real.Linear) and node.inputs == before):
            nodes += waiting
            waiting = []
        before = node.inputs
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        current = replace(node, inputs=inputs)
        if node.name not in targets:
            nodes.append(current)
            continue
        refs = [real.TensorRef(f"{node.name}.lora_{side}") for side in "ab"]
        conv = node.op if isinstance(node.op, real.Conv2d) else None
        op = real.LowRank(refs[0], refs[1], regions.rank, conv)
        other = None if conv else _residual(graph, node)
        if other is not None:
            y = renamed.get(other, other)
            nodes.append(real.Node(f"{node.name}{SUFFIX}", op, (inputs[0], y), node.shape))
            nodes.append(current)
            renamed[other] = f"{node.name}{SUFFIX}"
        else:
            nodes.append(current)
            low = real.Node(f"{node.name}{SUFFIX}", op, (inputs[0], node.name), node.shape)
            waiting.append(low)
            renamed[node.name] = low.name
    nodes += waiting
    outputs = {public: renamed.get(name, name) for public, name in graph.outputs.items()}
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def _targets(graph: real.ModelGraph, patterns: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        hits = [node for node in graph.nodes if fnmatchcase(node.name, pattern)]
        matrices = [n.name for n in hits if isinstance(n.op, real.Linear | real.Conv2d)]
        if not matrices:
            what = f"only {type(hits[0].op).__name__} nodes" if hits else "nothing"
            known = [node.name for node in graph.nodes if isinstance(node.op, real.Linear)]
            raise ConfigError(
                f"adapters.tensors: {pattern!r} matches {what}; a region stands beside a matrix "
                f"product or a convolution, e.g. {', '.join(known[:4])} (adapters of embeddings "
                "can only be merged into the checkpoint before it is etched)"
            )
        found.update(matrices)
    return found


def _residual(graph: real.ModelGraph, node: real.Node) -> str | None:
    """Other operand of the sum that alone reads `node`, if it is free to change before it.

    That is so when all of its other readers come before `node`.
    """
    readers = [item for item in graph.nodes if node.name in item.inputs]
    if len(readers) != 1 or not isinstance(readers[0].op, real.Add):
        return None
    if node.name in graph.outputs.values() or readers[0].inputs.count(node.name) > 1:
        return None
    (other,) = (name for name in readers[0].inputs if name != node.name)
    order = {item.name: index for index, item in enumerate(graph.nodes)}
    here = order[node.name]
    late = [
        item
        for item in graph.nodes
        if other in item.inputs and item is not readers[0] and order[item.name] >= here
    ]
    made = next((item for item in graph.nodes if item.name == other), None)
    ready = made is not None and order[other] < here
    return other if ready and not late and other not in graph.outputs.values() else None
