"""Golden interpreter of the IntegerGraph: what the chip computes, bit for bit.

`step` evaluates one step of a batch of sequences that advance together, `sequences` all steps of a
batch at once (node by node, which is much faster), `generate` one sequence with its sampler. The
`Sample` node belongs to `generate`; the other two leave it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.add import add
from rtl_gen.golden.attention import attention
from rtl_gen.golden.const_matvec import const_matvec
from rtl_gen.golden.conv2d import conv2d
from rtl_gen.golden.embedding import embedding
from rtl_gen.golden.lookup import lookup
from rtl_gen.golden.low_rank import low_rank
from rtl_gen.golden.max_pool import max_pool
from rtl_gen.golden.mul import mul
from rtl_gen.golden.norm import norm
from rtl_gen.golden.rotary import rotary
from rtl_gen.golden.router import gate, route
from rtl_gen.golden.sample import initial_rng, sample
from rtl_gen.ir import integer as ir
from rtl_gen.ir.adapter import AdapterImage

Values = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class State:
    """What earlier steps left behind.

    Parameters
    ----------
    position : int
        Steps made since the sequences began.
    keys, values : mapping of str to int64, shape (batch, context, kv_heads, head_dim)
        Caches by the name of the `Attention` node; positions from `position` on are unwritten.
    """

    position: int
    keys: Mapping[str, NDArray[np.int64]]
    values: Mapping[str, NDArray[np.int64]]


def initial_state(graph: ir.IntegerGraph, batch: int) -> State:
    """State before the first step of `batch` sequences."""

    def caches() -> dict[str, NDArray[np.int64]]:
        return {
            node.name: np.zeros(
                (batch, node.op.context, node.op.kv_heads, node.op.head_dim), np.int64
            )
            for node in graph.nodes
            if isinstance(node.op, ir.Attention)
        }

    return State(0, caches(), caches())


def step(
    graph: ir.IntegerGraph,
    inputs: Mapping[str, NDArray[np.int64]],
    state: State,
    adapter: AdapterImage | None = None,
) -> tuple[Values, State]:
    """One step of a batch of sequences.

    Parameters
    ----------
    graph : IntegerGraph
    inputs : mapping of str to int64
        Token inputs (batch,), frame inputs (batch, *shape). The position comes from `state`.
    state : State
        Used up: the returned state writes into its caches.
    adapter : AdapterImage or None
        Contents of the adapter memory; None for the base alone.

    Returns
    -------
    values : dict of str to int64, shape (batch, *shape)
        Every value of the graph but the sampled token.
    state : State

    Raises
    ------
    ValueError
        If an input is missing, has another shape or leaves its type, or the context is full.
    """
    if state.position >= graph.context:
        raise ValueError(f"the context of {graph.context} positions is full")
    values = _check_inputs(graph, inputs, state.position)
    for node in graph.nodes:
        if isinstance(node.op, ir.Sample):
            continue
        operands = [values[name] for name in node.inputs]
        if isinstance(node.op, ir.Attention):
            keys, cache = state.keys[node.name], state.values[node.name]
            q, k, v = operands[:3]
            keys[:, state.position] = k.reshape(keys[:, 0].shape)
            cache[:, state.position] = v.reshape(keys[:, 0].shape)
            seen = _seen(node.op, state.position)
            values[node.name] = _attend(graph, node, q, keys[:, seen], cache[:, seen])
        else:
            values[node.name] = evaluate(graph, node, operands, adapter)
    return values, State(state.position + 1, state.keys, state.values)


def sequences(
    graph: ir.IntegerGraph,
    inputs: Mapping[str, NDArray[np.int64]],
    adapter: AdapterImage | None = None,
) -> Values:
    """All steps of a batch of whole sequences, node by node; equal to repeated `step`.

    Parameters
    ----------
    graph : IntegerGraph
    inputs : mapping of str to int64
        Token inputs (batch, steps), frame inputs (batch, steps, *shape).
    adapter : AdapterImage or None
        As in `step`.

    Returns
    -------
    dict of str to int64, shape (batch, steps, *shape)
        Every value of the graph but the sampled token.

    Raises
    ------
    ValueError
        If an input is missing, has another shape or leaves its type, or there are more steps than
        the context holds.
    """
    batch, steps = next(iter(inputs.values())).shape[:2]
    if steps > graph.context:
        raise ValueError(f"{steps} steps do not fit a context of {graph.context} positions")
    flat = {name: x.reshape(batch * steps, *x.shape[2:]) for name, x in inputs.items()}
    values = _check_inputs(graph, flat, np.tile(np.arange(steps), batch))
    for node in graph.nodes:
        if not isinstance(node.op, ir.Sample):
            values[node.name] = evaluate_sequences(
                graph, node, [values[name] for name in node.inputs], steps, adapter
            )
    return {name: x.reshape(batch, steps, *x.shape[1:]) for name, x in values.items()}


def evaluate_sequences(
    graph: ir.IntegerGraph,
    node: ir.Node,
    operands: Sequence[NDArray[np.int64]],
    steps: int,
    adapter: AdapterImage | None = None,
) -> NDArray[np.int64]:
    """Value of `node` for whole sequences.

    Parameters
    ----------
    graph : IntegerGraph
        Gives the constants; `node` need not be one of its nodes.
    node : Node
        Any but a `Sample` node.
    operands : sequence of int64, shape (batch * steps, *shape)
        Sequence by sequence, steps of a sequence in order.
    steps : int
    adapter : AdapterImage or None
        As in `step`.

    Returns
    -------
    int64, shape (batch * steps, *shape)
    """
    if not isinstance(node.op, ir.Attention):
        return evaluate(graph, node, operands, adapter)
    op = node.op
    q = operands[0].reshape(-1, steps, op.heads * op.head_dim)
    k, v = (x.reshape(-1, steps, op.kv_heads, op.head_dim) for x in operands[1:3])
    seen = [_seen(op, t) for t in range(steps)]
    y = [_attend(graph, node, q[:, t], k[:, seen[t]], v[:, seen[t]]) for t in range(steps)]
    return np.stack(y, axis=1).reshape(operands[0].shape)


def evaluate(
    graph: ir.IntegerGraph,
    node: ir.Node,
    operands: Sequence[NDArray[np.int64]],
    adapter: AdapterImage | None = None,
) -> NDArray[np.int64]:
    """Value of a node without state.

    Parameters
    ----------
    graph : IntegerGraph
        Gives the constants.
    node : Node
        Any but `Attention` and `Sample`.
    operands : sequence of int64, shape (batch, *shape)
    adapter : AdapterImage or None
        As in `step`.

    Returns
    -------
    int64, shape (batch, *shape)

    Raises
    ------
    TypeError
        If the node is `Attention` or `Sample`.
    """

    def constant(name: str) -> NDArray[np.int64]:
        return graph.constants[name].data

    def optional(name: str | None) -> NDArray[np.int64] | None:
        return None if name is None else constant(name)

    out = node.value.type
    x = operands[0]
    match node.op:
        case ir.Embedding(table, multiplier, shift):
            return embedding(x, constant(table), constant(multiplier), shift, out)
        case ir.ConstMatVec(weight, bias, multiplier, shift):
            return const_matvec(
                x, constant(weight), optional(bias), constant(multiplier), shift, out
            )
        case ir.LowRank():
            factors = None if adapter is None else adapter.factors[node.name]
            return low_rank(x, operands[1], factors, node.op, out)
        case ir.Conv2d(weight, bias, multiplier, shift, stride, padding):
            return conv2d(
                x,
                constant(weight),
                optional(bias),
                constant(multiplier),
                shift,
                stride,
                padding,
                out,
            )
        case ir.Norm(gain, bias, eps, center, fraction, shift, groups):
            return norm(
                x, constant(gain), optional(bias), eps, center, fraction, shift, out, groups
            )
        case ir.Rotary(heads, _, cos, sin, shift):
            return rotary(x, operands[1], constant(cos), constant(sin), heads, shift, out)
        case ir.Lookup(table):
            return lookup(x, constant(table), graph.value(node.inputs[0]).type)
        case ir.Add():
            return add(x, operands[1], out)
        case ir.Mul(scale):
            return mul(x, operands[1], scale, out)
        case ir.MaxPool2d(kernel, stride):
            return max_pool(x, kernel, stride)
        case ir.Reshape():
            return x.reshape(len(x), *node.value.shape)
        case ir.Route(k, bias, groups, kept, best):
            return route(x, k, optional(bias), groups, kept, best)
        case ir.Gate(score, normalize):
            return gate(x, operands[1], score, normalize, out)
        case ir.ExpertMatVec():
            return _expert_matvec(graph, node, node.op, x, operands[1][:, node.op.slot])
        case ir.Weigh(scale, slot):
            return mul(x, operands[1][:, slot, None], scale, out)
        case ir.Attention() | ir.Sample():
            raise TypeError(f"node {node.name}: {type(node.op).__name__} needs state")


def _expert_matvec(
    graph: ir.IntegerGraph,
    node: ir.Node,
    op: ir.ExpertMatVec,
    x: NDArray[np.int64],
    expert: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Every row of `x` times the matrix of its own expert."""
    weight, multiplier = graph.constants[op.weight].data, graph.constants[op.multiplier].data
    y = np.zeros((len(x), *node.value.shape), np.int64)
    for e in np.unique(expert):
        here = expert == e
        bias = None if op.bias is None else graph.constants[op.bias].data[e]
        y[here] = const_matvec(x[here], weight[e], bias, multiplier[e], op.shift, node.value.type)
    return y


def generate(
    graph: ir.IntegerGraph,
    prompt: Sequence[int],
    *,
    beta: int,
    seed: int,
    limit: int = 0,
    top_k: int = 0,
    adapter: AdapterImage | None = None,
) -> Iterator[int]:
    """Tokens of one sequence, as `docs/ir.md` "A sequence" says.

    Parameters
    ----------
    graph : IntegerGraph
        With an output ``token``.
    prompt : sequence of int
        Tokens; empty means ``bos``.
    beta : int
        0 (greedy) to 65535; see `rtl_gen.golden.sample.beta`.
    seed : int
    limit : int
        Largest number of generated tokens, 0 for no limit.
    top_k : int
        Number of largest logits that take part in a draw, 0 for all.
    adapter : AdapterImage or None
        As in `step`.

    Yields
    ------
    int
        Generated tokens, the ending one included.

    Raises
    ------
    ValueError
        If the graph draws no tokens, the prompt does not fit the context or has a token outside
        the vocabulary, or is empty and the model has no ``bos``.
    """
    draw = next((node for node in graph.nodes if isinstance(node.op, ir.Sample)), None)
    if draw is None or not isinstance(draw.op, ir.Sample):
        raise ValueError("the graph has no Sample node: it does not generate tokens")
    pending = list(prompt) or list(graph.bos[:1])
    if not pending:
        raise ValueError("the prompt is empty and the model has no bos token to start from")
    if len(pending) > graph.context:
        raise ValueError(
            f"a prompt of {len(pending)} tokens does not fit the context of {graph.context}"
        )
    token_input = next(item.name for item in graph.inputs if item.kind == "token")
    noise = graph.constants[draw.op.noise].data
    rng = initial_rng(seed)
    state = initial_state(graph, 1)
    read: list[int] = []
    generated = 0
    while state.position < graph.context or graph.replay:
        if state.position == graph.context:
            state = initial_state(graph, 1)
            pending, read = [*read[1 - graph.replay :], *pending], []
        read.append(pending.pop(0))
        values, state = step(graph, {token_input: np.array(read[-1:])}, state, adapter)
        if pending:
            continue
        token, rng = sample(values[draw.inputs[0]][0], noise, draw.op.shift, beta, rng, top_k)
        yield token
        generated += 1
        if token in graph.eos or generated == limit:
            return
        pending = [token]


def _seen(op: ir.Attention, position: int) -> slice:
    """Positions that the query at `position` sees."""
    return slice(max(0, position + 1 - op.window) if op.window else 0, position + 1)


def _attend(
    graph: ir.IntegerGraph,
    node: ir.Node,
    q: NDArray[np.int64],
    keys: NDArray[np.int64],
    values: NDArray[np.int64],
) -> NDArray[np.int64]:
    op = node.op
    if not isinstance(op, ir.Attention):
        raise TypeError(f"node {node.name} is not attention")
    sinks = graph.constants[op.sinks].data if op.sinks else None
    return attention(q, keys, values, op.heads, op.score, op.shift, node.value.type, sinks)


def _check_inputs(
    graph: ir.IntegerGraph,
    inputs: Mapping[str, NDArray[np.int64]],
    position: int | NDArray[np.int64],
) -> Values:
    """Start of the table of values; `inputs` and positions with the batch as leading axis."""
    values: Values = {}
    for item in graph.inputs:
        if item.kind == "position":
            continue
        if item.name not in inputs:
            raise ValueError(f"input {item.name} is missing; given: {sorted(inputs)}")
        x = np.asarray(inputs[item.name])
        if x.dtype != np.int64 or x.shape[1:] != item.value.shape:
            raise ValueError(
                f"input {item.name}: expected int64 of shape (batch, *{item.value.shape}), "
                f"found {x.dtype} of shape {x.shape}"
            )
        top = graph.vocabulary - 1 if item.kind == "token" else item.value.type.max
        low = 0 if item.kind == "token" else item.value.type.min
        if x.size and not (low <= x.min() and x.max() <= top):
            raise ValueError(
                f"input {item.name}: elements must lie in [{low}, {top}], "
                f"found [{x.min()}, {x.max()}]"
            )
        values[item.name] = x
    batch = len(next(iter(values.values())))
    for item in graph.inputs:
        if item.kind == "position":
            values[item.name] = np.broadcast_to(np.asarray(position, np.int64), (batch,))
    return values
