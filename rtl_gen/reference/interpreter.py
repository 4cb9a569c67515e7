"""Evaluate a ModelGraph: one step, a block of steps, or whole sequences, batched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl_gen.checkpoint import Checkpoint, load
from rtl_gen.ir.model import (
    Activation,
    Add,
    Attention,
    Capacity,
    Conv2d,
    CrossAttention,
    Embedding,
    ExpertChoice,
    ExpertLinear,
    Gate,
    Gather,
    Linear,
    LowRank,
    MaxPool2d,
    ModelGraph,
    ModelOp,
    Mul,
    Node,
    Norm,
    Reshape,
    Rotary,
    Route,
    Sinusoid,
    TensorRef,
    Weigh,
)
from rtl_gen.reference import operators, routing

Real = NDArray[np.float64]
Integers = NDArray[np.int64]
Weights = Mapping[TensorRef, Real]

STEPPED = ("token", "frame")
"""Kinds of inputs that every step has one of."""

BLOCK = 64
"""Steps that `run` evaluates at once; bounds the memory of attention scores."""


@dataclass(frozen=True, slots=True)
class State:
    """What a step leaves to the next one.

    Parameters
    ----------
    position : int
        Number of steps done.
    caches : mapping of str to (keys, values)
        For every attention node two float64 arrays (batch, capacity, kv_heads, head_dim). They
        are filled in place: go on from the newest state only.
    taken : mapping of str to int64, shape (batch, experts)
        For every capacity node the tokens that experts were offered; filled in place too.
    """

    position: int
    caches: Mapping[str, tuple[Real, Real]]
    taken: Mapping[str, Integers] = field(default_factory=dict)


def tensors(op: ModelOp) -> list[TensorRef]:
    """Checkpoint tensors that an operator reads."""
    match op:
        case Embedding(table=table):
            return [table]
        case Linear() | Norm() | Conv2d():
            return [ref for ref in (op.weight, op.bias) if ref is not None]
        case Attention():
            return [ref for ref in (op.sinks, op.bias) if ref is not None]
        case Route(bias=bias):
            return [] if bias is None else [bias]
        case ExpertLinear(weights=weights, biases=biases):
            return [*weights, *biases]
        case ExpertChoice(gate=gate, up=up, down=down):
            return [*gate, *up, *down]
        case _:
            return []


def load_weights(graph: ModelGraph, checkpoint: Checkpoint) -> dict[TensorRef, Real]:
    """Every tensor the graph reads, as float64.

    Raises
    ------
    CheckpointError
        If a tensor is not finite.
    """
    nodes = graph.nodes + (graph.encoder.nodes if graph.encoder else ())
    refs = dict.fromkeys(ref for node in nodes for ref in tensors(node.op))
    return {ref: load(checkpoint, ref) for ref in refs}


def initial_state(graph: ModelGraph, batch: int, length: int | None = None) -> State:
    """State before the first step of `batch` sequences of at most `length` steps (the context)."""
    capacity = min(graph.context, graph.context if length is None else length)
    caches = {}
    taken = {}
    for node in graph.nodes:
        if isinstance(node.op, Attention):
            shape = (batch, capacity, node.op.kv_heads)
            caches[node.name] = (
                np.zeros((*shape, node.op.head_dim)),
                np.zeros((*shape, node.op.value_size)),
            )
        elif isinstance(node.op, Capacity):
            taken[node.name] = np.zeros((batch, node.op.experts), np.int64)
    return State(0, caches, taken)


def step(
    graph: ModelGraph, weights: Weights, inputs: Mapping[str, NDArray[np.generic]], state: State
) -> tuple[dict[str, Real], State]:
    """One step of every sequence of a batch.

    Parameters
    ----------
    graph : ModelGraph
    weights : mapping of TensorRef to float64
        From `load_weights`.
    inputs : mapping of str to array
        Token inputs int64 (batch,), frame inputs float64 (batch, *shape). The position is state.
    state : State

    Returns
    -------
    values : dict of str to float64
        Every frame input and every node's value, with a leading batch axis.
    state : State

    Raises
    ------
    ValueError
        If an input is missing or misshapen, or the context is full.
    """
    block = {name: np.asarray(value)[:, None] for name, value in inputs.items()}
    values, state = advance(graph, weights, block, state)
    return {name: value[:, 0] for name, value in values.items()}, state


def advance(
    graph: ModelGraph, weights: Weights, inputs: Mapping[str, NDArray[np.generic]], state: State
) -> tuple[dict[str, Real], State]:
    """Consecutive steps at once: as `step`, with axes (batch, time) in front of every shape.

    Raises
    ------
    ValueError
        As in `step`.
    """
    indices, values = _inputs(graph, inputs, state)
    for node in graph.nodes:
        values[node.name] = _evaluate(node, weights, indices, values, state)
    time = inputs[next(item.name for item in graph.inputs if item.kind in STEPPED)].shape[1]
    return values, State(state.position + time, state.caches, state.taken)


def run(
    graph: ModelGraph, weights: Weights, inputs: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.float64]]:
    """Compute the outputs of whole sequences, or of a batch of frames.

    Parameters
    ----------
    inputs : mapping of str to array
        Token inputs int64 (batch, time); frame inputs of a graph without tokens float64
        (batch, *shape): every frame is a sequence of its own. A graph with an encoder takes the
        encoder's input too, and gives its output back.

    Returns
    -------
    dict of str to float64
        By public output name: (batch, time, *shape), or (batch, *shape) for frames.

    Raises
    ------
    ValueError
        If an input is missing or misshapen, or longer than the context.
    """
    if graph.encoder is not None:
        return _run_encoder_decoder(graph, graph.encoder, weights, inputs)
    framed = _framed(graph)
    blocks = {k: np.asarray(v)[:, None] if framed else np.asarray(v) for k, v in inputs.items()}
    return _run_blocks(graph, weights, blocks, {}, framed=framed)


def whole(graph: ModelGraph) -> bool:
    """Whether the graph must see all positions of a sequence at once."""
    return any(
        isinstance(node.op, ExpertChoice)
        or (isinstance(node.op, Attention) and not node.op.causal)
        or (isinstance(node.op, Capacity) and node.shape[0] > 1)
        for node in graph.nodes
    )


def _framed(graph: ModelGraph) -> bool:
    return all(item.kind != "token" for item in graph.inputs) and not whole(graph)


def _run_encoder_decoder(
    graph: ModelGraph,
    encoder: ModelGraph,
    weights: Weights,
    inputs: Mapping[str, NDArray[np.generic]],
) -> dict[str, NDArray[np.float64]]:
    """Encode once, then decode against the encoder's output at all its positions."""
    mine = {item.name for item in graph.inputs}
    first = run(encoder, weights, {k: v for k, v in inputs.items() if k not in mine})
    ((name, memory),) = first.items()
    (into,) = (item.name for item in graph.inputs if item.kind == "memory")
    blocks = {k: np.asarray(v) for k, v in inputs.items() if k in mine}
    return {name: memory, **_run_blocks(graph, weights, blocks, {into: memory}, framed=False)}


def _run_blocks(
    graph: ModelGraph,
    weights: Weights,
    blocks: Mapping[str, NDArray[np.generic]],
    memory: Mapping[str, Real],
    *,
    framed: bool,
) -> dict[str, NDArray[np.float64]]:
    batch, length = next(iter(blocks.values())).shape[:2]
    state = initial_state(graph, batch, length)
    parts: dict[str, list[Real]] = {name: [] for name in graph.outputs}
    size = length if whole(graph) else BLOCK
    for start in range(0, length, size):
        block: dict[str, NDArray[np.generic]] = {**memory}
        block |= {name: value[:, start : start + size] for name, value in blocks.items()}
        values, state = advance(graph, weights, block, state)
        for name, value in graph.outputs.items():
            parts[name].append(np.asarray(values[value], np.float64))
    outputs = {name: np.concatenate(found, 1) for name, found in parts.items()}
    return {name: value[:, 0] for name, value in outputs.items()} if framed else outputs


def _inputs(
    graph: ModelGraph, inputs: Mapping[str, NDArray[np.generic]], state: State
) -> tuple[dict[str, Integers], dict[str, Real]]:
    """Check and split inputs: those that select (tokens, position), those that are numbers."""
    given = [item for item in graph.inputs if item.kind != "position"]
    if inputs.keys() != {item.name for item in given}:
        raise ValueError(f"expected inputs {[item.name for item in given]}, got {list(inputs)}")
    stepped = next(item for item in given if item.kind in STEPPED)
    lead = inputs[stepped.name].shape[:2]
    indices: dict[str, Integers] = {}
    values: dict[str, Real] = {}
    for item in graph.inputs:
        if item.kind == "position":
            if state.position + lead[1] > graph.context:
                raise ValueError(
                    f"step {state.position + lead[1]} of a sequence; the context is {graph.context}"
                )
            place = np.arange(state.position, state.position + lead[1], dtype=np.int64)
            indices[item.name] = np.broadcast_to(place, lead)
            continue
        value = inputs[item.name]
        if item.kind == "memory":
            values[item.name] = value.astype(np.float64)
            continue
        if value.shape != (*lead, *item.shape):
            raise ValueError(
                f"input {item.name}: expected shape {(*lead, *item.shape)}, got {value.shape}"
            )
        if item.kind == "token":
            indices[item.name] = value.astype(np.int64)
        else:
            values[item.name] = value.astype(np.float64)
    return indices, values


def _evaluate(
    node: Node,
    weights: Weights,
    indices: Mapping[str, Integers],
    values: Mapping[str, Real],
    state: State,
) -> Real:
    if isinstance(node.op, Embedding):
        op = node.op
        return op.scale * operators.embedding(indices[node.inputs[0]], weights[op.table])
    if isinstance(node.op, Sinusoid):
        position = node.op.first + indices[node.inputs[0]]
        return operators.sinusoid(position, np.array(node.op.frequencies))
    x = values[node.inputs[0]]
    match node.op:
        case Linear(weight=weight, bias=bias, scale=scale):
            return operators.linear(scale * x, weights[weight], weights[bias] if bias else None)
        case LowRank(a=a, b=b):
            y = values[node.inputs[1]]
            conv = node.op.beside
            if a not in weights:
                return y
            if conv is None:
                return operators.low_rank(x, y, weights[a], weights[b])
            t = operators.conv2d(x, weights[a], None, conv.stride, conv.padding)
            return y + operators.conv2d(t, weights[b][:, :, None, None], None, (1, 1), (0, 0))
        case Norm(weight=gain, bias=bias, eps=eps, center=center):
            return operators.norm(
                x,
                weights[gain] if gain else None,
                weights[bias] if bias else None,
                eps,
                center=center,
                groups=node.op.groups,
            )
        case Rotary():
            return operators.rotary(
                x,
                indices[node.inputs[1]],
                node.op.heads,
                np.array(node.op.frequencies),
                node.op.scale,
                first=node.op.first,
                interleaved=node.op.interleaved,
            )
        case Attention():
            return _attention(node, node.op, weights, values, state)
        case CrossAttention():
            return _cross_attention(node, node.op, values)
        case Activation(kind=kind, alpha=alpha, limit=limit):
            return operators.activation(x, kind, alpha, limit)
        case Add():
            return x + values[node.inputs[1]]
        case Mul():
            return x * values[node.inputs[1]]
        case Conv2d(weight=weight, bias=bias, stride=stride, padding=padding):
            kernel, offset = weights[weight], weights[bias] if bias else None
            return operators.conv2d(x, kernel, offset, stride, padding)
        case MaxPool2d(kernel=window, stride=stride):
            return operators.maxpool2d(x, window, stride)
        case Reshape():
            return x.reshape(*x.shape[:2], *node.shape)
        case Gather(index=index):
            joined = np.concatenate([values[name] for name in node.inputs], -1)
            return np.asarray(joined[..., np.array(index)], np.float64)
        case _:
            return _routed(node, weights, values, state)


def _routed(node: Node, weights: Weights, values: Mapping[str, Real], state: State) -> Real:
    """Nodes of a mixture of experts. A choice is carried as whole numbers in float64."""
    x = values[node.inputs[0]]
    match node.op:
        case Route(bias=bias):
            router, offset = node.op, weights[bias] if bias else None
            return routing.route(
                x, router.k, router.scores, offset, router.groups, router.kept, router.best
            ).astype(np.float64)
        case Gate(scores=scores, normalize=normalize, scale=scale):
            choice = values[node.inputs[1]].astype(np.int64)
            return routing.gate(x, choice, scores, scale, normalize=normalize)
        case Capacity(limit=limit):
            choice = values[node.inputs[1]].astype(np.int64)
            gates, taken = routing.capacity(x, choice, state.taken[node.name], limit)
            state.taken[node.name][:] = taken
            return gates
        case ExpertLinear(weights=matrices, biases=biases, slot=slot):
            expert = values[node.inputs[1]][..., slot].astype(np.int64)
            offsets = [weights[ref] for ref in biases]
            return routing.expert_linear(x, expert, [weights[ref] for ref in matrices], offsets)
        case Weigh(slot=slot):
            return x * values[node.inputs[1]][..., slot, None]
        case ExpertChoice():
            gate, up, down = (
                [weights[ref] for ref in refs] for refs in (node.op.gate, node.op.up, node.op.down)
            )
            logits = values[node.inputs[1]]
            op = node.op
            return routing.expert_choice(x, logits, gate, up, down, op.activation, op.capacity)
        case _:
            raise TypeError(f"node {node.name}: no reference for {type(node.op).__name__}")


def _cross_attention(node: Node, op: CrossAttention, values: Mapping[str, Real]) -> Real:
    """Attend to all positions of the encoder."""
    q, k, v = (
        values[name].reshape(*values[name].shape[:2], -1, op.head_dim) for name in node.inputs
    )
    mixed = operators.attention(q, k, v, 0, op.scale, causal=False)
    return mixed.reshape(*q.shape[:2], -1)


def _attention(
    node: Node, op: Attention, weights: Weights, values: Mapping[str, Real], state: State
) -> Real:
    """Append k and v to the cache, then attend to all positions so far."""
    sizes = (op.head_dim, op.head_dim, op.value_size)
    q, k, v = (
        values[name].reshape(*values[name].shape[:2], -1, size)
        for name, size in zip(node.inputs[:3], sizes, strict=True)
    )
    keys, cached = state.caches[node.name]
    end = state.position + q.shape[1]
    if end > keys.shape[1]:
        raise ValueError(f"step {end} of a sequence whose state was made for {keys.shape[1]}")
    keys[:, state.position : end] = k
    cached[:, state.position : end] = v
    bias = None
    if op.bias is not None:
        table, time = weights[op.bias], q.shape[1]
        bias = operators.distance_bias(
            table, time, end, state.position, op.distance, causal=op.causal
        )
    mixed = operators.attention(
        q,
        keys[:, :end],
        cached[:, :end],
        state.position,
        op.scale,
        window=op.window,
        sinks=weights[op.sinks] if op.sinks else None,
        bias=bias,
        causal=op.causal,
    )
    return mixed.reshape(*q.shape[:2], -1)
