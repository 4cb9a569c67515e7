"""ModelGraph: one step of a network over real numbers, as the checkpoint defines it.

A graph is a list of nodes in evaluation order (SSA: every node defines one value, named after the
node). One *step* consumes one token (or one frame) and the state that earlier steps left behind.
Operators are data; what they mean is written in `rtl_gen.reference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A view of a checkpoint tensor.

    Parameters
    ----------
    name : str
        Tensor name in the checkpoint.
    transpose : bool
        Swap the two axes first (GPT-2 stores ``(in, out)``).
    rows : (int, int) or None
        Then keep rows ``[start, stop)``.
    """

    name: str
    transpose: bool = False
    rows: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """Row of `table` (rows, n) selected by the input, a token or the position."""

    table: TensorRef


@dataclass(frozen=True, slots=True)
class Linear:
    """``weight @ x + bias``; weight (n_out, n_in), bias (n_out,)."""

    weight: TensorRef
    bias: TensorRef | None = None


@dataclass(frozen=True, slots=True)
class Norm:
    """RMSNorm (`center` false) or LayerNorm (`center` true) over the vector."""

    weight: TensorRef | None
    bias: TensorRef | None
    eps: float
    center: bool


@dataclass(frozen=True, slots=True)
class Rotary:
    """Rotary position embedding in Hugging Face's half-split order; inputs (x, position).

    Parameters
    ----------
    heads, head_dim : int
        `x` is ``heads`` vectors of ``head_dim`` elements.
    frequencies : tuple of float
        ``head_dim // 2`` angular frequencies, radians per position.
    scale : float
        Factor on cosine and sine (attention scaling of yarn), 1 otherwise.
    """

    heads: int
    head_dim: int
    frequencies: tuple[float, ...]
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Attention:
    """Causal softmax attention with a KV cache; inputs (q, k, v, position).

    Query head ``h`` reads key/value head ``h // (heads // kv_heads)``. Scores are multiplied by
    `scale`. State: keys and values of all earlier positions.
    """

    heads: int
    kv_heads: int
    head_dim: int
    scale: float


ActivationKind = Literal["relu", "silu", "gelu", "gelu_tanh", "quick_gelu", "sigmoid", "tanh"]


@dataclass(frozen=True, slots=True)
class Activation:
    """Elementwise nonlinearity."""

    kind: ActivationKind


@dataclass(frozen=True, slots=True)
class Add:
    """Elementwise sum of two values of one shape."""


@dataclass(frozen=True, slots=True)
class Mul:
    """Elementwise product of two values of one shape."""


@dataclass(frozen=True, slots=True)
class Conv2d:
    """2-D convolution, zero padded; weight (out_ch, in_ch, kh, kw), x (in_ch, h, w)."""

    weight: TensorRef
    bias: TensorRef | None
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class MaxPool2d:
    """Maximum over windows of x (channels, h, w); no padding, floor division of the size."""

    kernel: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reshape:
    """Same elements in row-major order, new shape."""


ModelOp = (
    Embedding | Linear | Norm | Rotary | Attention | Activation | Add | Mul | Conv2d | MaxPool2d
    | Reshape
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Input:
    """What a step is given.

    `kind` is ``"token"`` (a vocabulary index, shape ``()``), ``"position"`` (the step count since
    the sequence began, shape ``()``) or ``"frame"`` (real numbers).
    """

    name: str
    kind: Literal["token", "position", "frame"]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator applied to named values; defines the value `name` of shape `shape`."""

    name: str
    op: ModelOp
    inputs: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelGraph:
    """A network as a step function.

    Parameters
    ----------
    architecture : str
        Name under which the importer is registered, e.g. ``LlamaForCausalLM``.
    inputs : tuple of Input
    nodes : tuple of Node
        In evaluation order.
    outputs : dict of str to str
        Public output name (as Hugging Face names it, e.g. ``logits``) to value name.
    context : int
        Largest number of steps of one sequence; 1 for a feed-forward network.
    vocabulary : int
        Number of tokens, 0 when the network does not read tokens.
    bos, eos : tuple of int
        Token that starts a sequence (at most one) and tokens that end it (any number).
    """

    architecture: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: dict[str, str]
    context: int
    vocabulary: int = 0
    bos: tuple[int, ...] = ()
    eos: tuple[int, ...] = ()
