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
    index : int or None
        Before all that, keep one element of the first axis (one expert of a fused tensor).
    step : int
        Last, keep every `step`-th of the rows (gpt-oss interleaves gate and up).
    encoding : str
        ``"mxfp4"``: the tensors ``<name>_blocks`` and ``<name>_scales`` hold it; see
        `rtl_gen.checkpoint.mxfp4`.
    """

    name: str
    transpose: bool = False
    rows: tuple[int, int] | None = None
    index: int | None = None
    step: int = 1
    encoding: Literal["", "mxfp4"] = ""


@dataclass(frozen=True, slots=True)
class Embedding:
    """Row of `table` (rows, n) selected by the input, a token or the position, times `scale`."""

    table: TensorRef
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Sinusoid:
    """``[sin(p * f) for f in frequencies] + [cos(p * f) ...]``, p the position plus `first`."""

    frequencies: tuple[float, ...]
    first: int = 0


@dataclass(frozen=True, slots=True)
class Linear:
    """``scale * weight @ x + bias``; weight (n_out, n_in), bias (n_out,)."""

    weight: TensorRef
    bias: TensorRef | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class LowRank:
    """``y + b @ (a @ x)``; inputs (x, y). An adapter region: without an adapter it is `y`.

    `a` (rank, n_in) and `b` (n_out, rank) belong to an adapter, not to the checkpoint. Beside the
    convolution `beside`, `a` is a kernel (rank, in_ch, kh, kw) with its stride and padding.
    """

    a: TensorRef
    b: TensorRef
    rank: int
    beside: Conv2d | None = None


@dataclass(frozen=True, slots=True)
class Norm:
    """RMSNorm (`center` false) or LayerNorm (`center` true) over the vector.

    With `groups`, over each of so many equal parts of it (the heads of queries and keys), all with
    the same weight and bias.
    """

    weight: TensorRef | None
    bias: TensorRef | None
    eps: float
    center: bool
    groups: int = 1


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
    first : int
        Elements of a head before this one are left alone; the rest is rotated, so there are
        ``(head_dim - first) // 2`` frequencies.
    interleaved : bool
        Element 2 j is paired with 2 j + 1 (DeepSeek), not with the other half.
    """

    heads: int
    head_dim: int
    frequencies: tuple[float, ...]
    scale: float = 1.0
    first: int = 0
    interleaved: bool = False


@dataclass(frozen=True, slots=True)
class Attention:
    """Causal softmax attention with a KV cache; inputs (q, k, v, position).

    Query head ``h`` reads key/value head ``h // (heads // kv_heads)``. Scores are multiplied by
    `scale`. State: keys and values of all earlier positions.

    Parameters
    ----------
    window : int
        A query sees this many keys, its own the last; 0 for all.
    sinks : TensorRef or None
        (heads,) scores of a position that takes part in the softmax and has no value (gpt-oss).
    value_dim : int
        Elements of a value head, 0 for `head_dim`.
    bias : TensorRef or None
        (buckets, heads), added to the scores by the distance of key and query (T5).
    distance : int
        `bias` tells distances apart up to this one.
    causal : bool
        False: every position of the block sees every other (an encoder).
    """

    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    window: int = 0
    sinks: TensorRef | None = None
    value_dim: int = 0
    bias: TensorRef | None = None
    distance: int = 0
    causal: bool = True

    @property
    def value_size(self) -> int:
        """Elements of a value head."""
        return self.value_dim or self.head_dim


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """Softmax attention to the encoder's positions; inputs (q, k, v), k and v from its output."""

    heads: int
    head_dim: int
    scale: float


ActivationKind = Literal[
    "relu", "silu", "gelu", "gelu_tanh", "quick_gelu", "sigmoid", "tanh", "clamp", "gated"
]


@dataclass(frozen=True, slots=True)
class Activation:
    """Elementwise nonlinearity.

    ``clamp`` is ``min(max(x, -limit), limit) + alpha``; ``gated`` is ``y * sigmoid(alpha * y)``
    with ``y = min(x, limit)`` (gpt-oss). The others read neither `alpha` nor `limit`.
    """

    kind: ActivationKind
    alpha: float = 0.0
    limit: float = float("inf")


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


@dataclass(frozen=True, slots=True)
class Gather:
    """Elements of the inputs, laid end to end, in the order of `index`."""

    index: tuple[int, ...]


Scores = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, slots=True)
class Route:
    """Which experts a token goes to; input (logits (experts,)), value (k,).

    The experts with the k largest scores, the largest first; of equal scores the lowest index
    first.

    Parameters
    ----------
    k : int
    scores : {"softmax", "sigmoid"}
        Of the logits. A softmax has the order of the logits.
    bias : TensorRef or None
        (experts,), added to the scores for the choice alone (DeepSeek-V3).
    groups, kept : int
        Experts stand in `groups` equal groups; only the `kept` groups with the largest sums of
        their `best` largest scores take part.
    best : int
        See `groups`.
    """

    k: int
    scores: Scores = "softmax"
    bias: TensorRef | None = None
    groups: int = 1
    kept: int = 1
    best: int = 2


@dataclass(frozen=True, slots=True)
class Gate:
    """How much each chosen expert counts; inputs (logits, choice), value (k,).

    The chosen scores, divided by their sum if `normalize`, times `scale`.
    """

    scores: Scores
    normalize: bool
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """Gates of tokens that find their expert full become 0; inputs (gates, choice).

    Experts take tokens in order of position: at most `limit` in a sequence. State: how many each
    has taken. In a block all tokens' first choices come before their second ones (GShard);
    a step-by-step evaluation has that order for one choice only.
    """

    experts: int
    limit: int


@dataclass(frozen=True, slots=True)
class ExpertLinear:
    """``weights[e] @ x + biases[e]`` with ``e = choice[slot]``; inputs (x, choice)."""

    weights: tuple[TensorRef, ...]
    biases: tuple[TensorRef, ...]
    slot: int


@dataclass(frozen=True, slots=True)
class Weigh:
    """``x * gates[slot]``; inputs (x, gates). With one gate (a shared expert), slot 0."""

    slot: int


@dataclass(frozen=True, slots=True)
class ExpertChoice:
    """Gated MLPs that choose their tokens; inputs (x, logits), over a block of positions.

    With p the softmax of the logits over the experts, expert e takes the k tokens of largest
    ``p[:, e]`` (of equal ones the earliest), ``k = positions * capacity // experts``, and adds
    ``p[t, e] * down(act(gate(x[t])) * up(x[t]))`` to their values. Not causal.

    Parameters
    ----------
    gate, up, down : tuple of TensorRef
        One each per expert.
    activation : Activation
    capacity : float
        Mean number of experts per token.
    """

    gate: tuple[TensorRef, ...]
    up: tuple[TensorRef, ...]
    down: tuple[TensorRef, ...]
    activation: Activation
    capacity: float


ModelOp = (
    Embedding | Sinusoid | Linear | LowRank | Norm | Rotary | Attention | CrossAttention
    | Activation | Add | Mul | Conv2d | MaxPool2d | Reshape | Gather | Route | Gate | Capacity
    | ExpertLinear | Weigh | ExpertChoice
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Input:
    """What a step is given.

    `kind` is ``"token"`` (a vocabulary index, shape ``()``), ``"position"`` (the step count since
    the sequence began, shape ``()``), ``"frame"`` (real numbers) or ``"memory"`` (the encoder's
    output at all its positions, the same in every step of a sequence).
    """

    name: str
    kind: Literal["token", "position", "frame", "memory"]
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
    encoder : ModelGraph or None
        Evaluated once per sequence, over all positions of its input at once; its only output is
        what the input of kind ``memory`` stands for.
    """

    architecture: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: dict[str, str]
    context: int
    vocabulary: int = 0
    bos: tuple[int, ...] = ()
    eos: tuple[int, ...] = ()
    encoder: ModelGraph | None = None
