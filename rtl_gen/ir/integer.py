"""IntegerGraph: the specification of a chip. Exact arithmetic is written in ``docs/ir.md``.

SSA like `rtl_gen.ir.model.ModelGraph`: every node defines one value. Tensors are kept beside the
nodes in `IntegerGraph.constants`, int64 arrays by name, so that a graph is data and a chip can be
compared with it constant by constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.types import Dyadic, IntType

OMITTED = {"omitted": True}
"""Of fields that a graph's file leaves out where they have their default."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """Row of `table` (rows, n) times its row's multiplier (rows,), requantized."""

    table: str
    multiplier: str
    shift: int


@dataclass(frozen=True, slots=True)
class ConstMatVec:
    """``weight @ x + bias`` times a multiplier per row, requantized.

    weight (n_out, n_in), bias (n_out,) or None, multiplier (n_out,).
    """

    weight: str
    bias: str | None
    multiplier: str
    shift: int


@dataclass(frozen=True, slots=True)
class LowRank:
    """``y + b @ (a @ x)`` with `a` and `b` from adapter memory; inputs (x, y), value like `y`.

    Beside a convolution x is the window of every pixel of y, as in `Conv2d`.

    Parameters
    ----------
    rank : int
        Rows of `a`, columns of `b`.
    element, hidden : IntType
        Of `a` and `b`; of ``a @ x``.
    shift_a, shift_b : int
        Right shifts of the two requantizations.
    kernel : () or (int, int)
        Rows and columns of a window; () where x is a vector.
    stride, padding : (int, int)
        Of the windows.
    """

    rank: int
    element: IntType
    hidden: IntType
    shift_a: int
    shift_b: int
    kernel: tuple[int, ...] = field(default=(), metadata=OMITTED)
    stride: tuple[int, int] = field(default=(1, 1), metadata=OMITTED)
    padding: tuple[int, int] = field(default=(0, 0), metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class Conv2d:
    """Zero-padded 2-D convolution, then as `ConstMatVec`; weight (out_ch, in_ch, kh, kw)."""

    weight: str
    bias: str | None
    multiplier: str
    shift: int
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Norm:
    """RMSNorm or LayerNorm of each of `groups` equal parts; integer gain and bias of a part."""

    gain: str
    bias: str | None
    eps: int
    center: bool
    fraction: int
    shift: int
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Rotary:
    """Rotation by position of the halves of each head; tables (context, head_dim // 2)."""

    heads: int
    head_dim: int
    cos: str
    sin: str
    shift: int


@dataclass(frozen=True, slots=True)
class Attention:
    """Causal attention over a KV cache of `context` positions.

    Parameters
    ----------
    window : int
        A query sees this many positions, its own the last; 0 for all.
    sinks : str or None
        (heads,) scores that take part in the softmax without a value.
    """

    heads: int
    kv_heads: int
    head_dim: int
    context: int
    score: Dyadic
    shift: int
    window: int = field(default=0, metadata=OMITTED)
    sinks: str | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class Lookup:
    """``table[x - x.type.min]``; table (2**width,)."""

    table: str


@dataclass(frozen=True, slots=True)
class Add:
    """Saturating sum of two values of equal scale."""


@dataclass(frozen=True, slots=True)
class Mul:
    """Product of two values, requantized."""

    scale: Dyadic


@dataclass(frozen=True, slots=True)
class MaxPool2d:
    """Maximum over windows."""

    kernel: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reshape:
    """Same elements in row-major order."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Token drawn from logits: greedy, or Gumbel-max with `noise` (1024,)."""

    noise: str
    shift: int


@dataclass(frozen=True, slots=True)
class Route:
    """Indices (k,) of the largest scores, plus `bias` (experts,), of the `kept` best groups."""

    k: int
    bias: str | None = None
    groups: int = 1
    kept: int = 1
    best: int = 2


@dataclass(frozen=True, slots=True)
class Gate:
    """Weights (k,) of the chosen scores: softmax (`score`), or the scores themselves (None).

    `normalize` divides by the sum of the chosen ones; a softmax without it by the sum of all.
    """

    score: Dyadic | None
    normalize: bool


@dataclass(frozen=True, slots=True)
class ExpertMatVec:
    """`ConstMatVec` with the matrix of expert ``choice[slot]``.

    weight (experts, n_out, n_in), bias (experts, n_out) or None, multiplier (experts, n_out).
    """

    weight: str
    bias: str | None
    multiplier: str
    shift: int
    slot: int


@dataclass(frozen=True, slots=True)
class Weigh:
    """Product of every element with element `slot` of the second value, requantized."""

    scale: Dyadic
    slot: int


IntegerOp = (
    Embedding | ConstMatVec | LowRank | Conv2d | Norm | Rotary | Attention | Lookup | Add | Mul
    | MaxPool2d | Reshape | Sample | Route | Gate | ExpertMatVec | Weigh
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    """Type of an edge. `scale` is the real value of one step, which no arithmetic reads.

    `channel` has factors on it per element (empty: all 1), which the constants around it absorb.
    """

    type: IntType
    shape: tuple[int, ...]
    scale: float = 1.0
    channel: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """What a step is given; see `rtl_gen.ir.model.Input`."""

    name: str
    kind: Literal["token", "position", "frame"]
    value: Value


@dataclass(frozen=True, slots=True)
class Node:
    """One operator applied to named values; defines the value `name`."""

    name: str
    op: IntegerOp
    inputs: tuple[str, ...]
    value: Value


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor of the specification: int64 array whose elements all lie in `type`."""

    type: IntType
    data: NDArray[np.int64]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Constant)
            and self.type == other.type
            and self.data.shape == other.data.shape
            and bool((self.data == other.data).all())
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class IntegerGraph:
    """One step of a network in exact integers.

    Parameters
    ----------
    architecture : str
        As in the ModelGraph it was lowered from.
    inputs : tuple of Input
    nodes : tuple of Node
        In evaluation order.
    outputs : mapping of str to str
        Public name to value name. A graph that generates text has an output ``token`` (the value
        of its `Sample` node) beside ``logits``.
    constants : mapping of str to Constant
    context : int
        Capacity of the KV cache; 1 for a feed-forward network.
    vocabulary : int
        Number of tokens, 0 when the network does not read tokens.
    bos, eos : tuple of int
        Token that starts a sequence (at most one) and tokens that end it.
    replay : int
        Tokens with which a sequence begins anew when the context is full; 0 ends it there.
    origin : mapping of str to str
        Where the numbers came from, e.g. ``checkpoint`` (content digest, hexadecimal SHA-256).
    """

    architecture: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    constants: Mapping[str, Constant]
    context: int
    vocabulary: int = 0
    bos: tuple[int, ...] = ()
    eos: tuple[int, ...] = ()
    replay: int = 0
    origin: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> Value:
        """Type and shape of the value called `name`.

        Raises
        ------
        KeyError
            If the graph defines no such value.
        """
        for item in self.inputs:
            if item.name == name:
                return item.value
        for node in self.nodes:
            if node.name == name:
                return node.value
        raise KeyError(name)
