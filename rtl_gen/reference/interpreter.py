"""Evaluate a ModelGraph: one step, a block of steps, or whole sequences, batched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.checkpoint import Checkpoint, load
from rtl_gen.ir.model import (
    Activation,
    Add,
    Attention,
    Conv2d,
    Embedding,
    Linear,
    MaxPool2d,
    ModelGraph,
    ModelOp,
    Mul,
    Node,
    Norm,
    Reshape,
    Rotary,
    TensorRef,
)
from rtl_gen.reference import operators

Real = NDArray[np.float64]
Integers = NDArray[np.int64]
Weights = Mapping[TensorRef, Real]

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
    """

    position: int
    caches: Mapping[str, tuple[Real, Real]]


def tensors(op: ModelOp) -> list[TensorRef]:
    """Checkpoint tensors that an operator reads."""
    match op:
        case Embedding(table=table):
            return [table]
        case Linear() | Norm() | Conv2d():
            return [ref for ref in (op.weight, op.bias) if ref is not None]
        case _:
            return []


def load_weights(graph: ModelGraph, checkpoint: Checkpoint) -> dict[TensorRef, Real]:
    """Every tensor the graph reads, as float64.

    Raises
    ------
    CheckpointError
        If a tensor is not finite.
    """
    refs = dict.fromkeys(ref for node in graph.nodes for ref in tensors(node.op))
    return {ref: load(checkpoint, ref) for ref in refs}


def initial_state(graph: ModelGraph, batch: int, length: int | None = None) -> State:
    """State before the first step of `batch` sequences of at most `length` steps (the context)."""
    capacity = min(graph.context, graph.context if length is None else length)
    caches = {}
    for node in graph.nodes:
        if isinstance(node.op, Attention):
            shape = (batch, capacity, node.op.kv_heads, node.op.head_dim)
            caches[node.name] = (np.zeros(shape), np.zeros(shape))
    return State(0, caches)


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
    time = next(iter(inputs.values())).shape[1]
    return values, State(state.position + time, state.caches)


def run(
    graph: ModelGraph, weights: Weights, inputs: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.float64]]:
    """Compute the outputs of whole sequences, or of a batch of frames.

    Parameters
    ----------
    inputs : mapping of str to array
        Token inputs int64 (batch, time); frame inputs of a graph without tokens float64
        (batch, *shape): every frame is a sequence of its own.

    Returns
    -------
    dict of str to float64
        By public output name: (batch, time, *shape), or (batch, *shape) for frames.

    Raises
    ------
    ValueError
        If an input is missing or misshapen, or longer than the context.
    """
    framed = all(item.kind != "token" for item in graph.inputs)
    blocks = {k: np.asarray(v)[:, None] if framed else np.asarray(v) for k, v in inputs.items()}
    batch, length = next(iter(blocks.values())).shape[:2]
    state = initial_state(graph, batch, length)
    parts: dict[str, list[Real]] = {name: [] for name in graph.outputs}
    for start in range(0, length, BLOCK):
        block = {name: value[:, start : start + BLOCK] for name, value in blocks.items()}
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
    lead = inputs[given[0].name].shape[:2]
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
        return operators.embedding(indices[node.inputs[0]], weights[node.op.table])
    x = values[node.inputs[0]]
    match node.op:
        case Linear(weight=weight, bias=bias):
            return operators.linear(x, weights[weight], weights[bias] if bias else None)
        case Norm(weight=gain, bias=bias, eps=eps, center=center):
            return operators.norm(
                x,
                weights[gain] if gain else None,
                weights[bias] if bias else None,
                eps,
                center=center,
            )
        case Rotary(heads=heads, frequencies=frequencies, scale=scale):
            position = indices[node.inputs[1]]
            return operators.rotary(x, position, heads, np.array(frequencies), scale)
        case Attention():
            return _attention(node, node.op, values, state)
        case Activation(kind=kind):
            return operators.activation(x, kind)
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


def _attention(node: Node, op: Attention, values: Mapping[str, Real], state: State) -> Real:
    """Append k and v to the cache, then attend to all positions so far."""
    q, k, v = (
        values[name].reshape(*values[name].shape[:2], -1, op.head_dim) for name in node.inputs[:3]
    )
    keys, cached = state.caches[node.name]
    end = state.position + q.shape[1]
    if end > keys.shape[1]:
        raise ValueError(f"step {end} of a sequence whose state was made for {keys.shape[1]}")
    keys[:, state.position : end] = k
    cached[:, state.position : end] = v
    mixed = operators.attention(q, keys[:, :end], cached[:, :end], state.position, op.scale)
    return mixed.reshape(*q.shape[:2], -1)
