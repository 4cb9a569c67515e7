"""Mixtures of experts: where checkpoints keep experts, and the nodes of routed feed-forward parts.

Every slot of a token's choice has its own nodes, so a graph says how many experts work for a
token, and an `ExpertLinear` lists all that are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtl_gen.checkpoint import decoder, mxfp4, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.ir.model import (
    Activation,
    ExpertLinear,
    Gate,
    Linear,
    Mul,
    Route,
    Scores,
    TensorRef,
    Weigh,
)

Refs = tuple[TensorRef, ...]


@dataclass(frozen=True, slots=True)
class Experts:
    """Tensors of all experts of a layer; biases are empty if there are none.

    Parameters
    ----------
    gate, up : tuple of TensorRef
        (inner, hidden) of every expert.
    down : tuple of TensorRef
        (hidden, inner).
    """

    gate: Refs
    up: Refs
    down: Refs
    gate_bias: Refs = ()
    up_bias: Refs = ()
    down_bias: Refs = ()


@dataclass(frozen=True, slots=True)
class Router:
    """How a token finds its experts, as `rtl_gen.ir.model.Route` and `Gate` say."""

    experts: int
    k: int
    scores: Scores
    normalize: bool
    scale: float = 1.0
    groups: int = 1
    kept: int = 1


def chosen(checkpoint: Checkpoint, experts: int, default: int) -> int:
    """``num_experts_per_tok``, which must not exceed the number of experts.

    Raises
    ------
    CheckpointError
        If it does.
    """
    k = setting.integer(checkpoint, "num_experts_per_tok", default)
    if k > experts:
        raise setting.wrong(checkpoint, "num_experts_per_tok", f"at most {experts} experts", k)
    return k


def sparse_layers(checkpoint: Checkpoint, layers: int) -> list[bool]:
    """Which layers are routed, by ``decoder_sparse_step`` and ``mlp_only_layers`` (Qwen).

    Raises
    ------
    CheckpointError
        If one of them is wrong.
    """
    step = setting.integer(checkpoint, "decoder_sparse_step", 1)
    dense = checkpoint.config.get("mlp_only_layers")
    dense = [] if dense is None else dense
    if not isinstance(dense, list) or any(type(item) is not int for item in dense):
        raise setting.wrong(checkpoint, "mlp_only_layers", "a list of layer numbers", dense)
    return [layer not in dense and (layer + 1) % step == 0 for layer in range(layers)]


def stored(
    draft: Draft,
    module: str,
    names: tuple[str, str, str],
    experts: int,
    hidden: int,
    inner: int,
) -> Experts:
    """Find the experts of `module`: one tensor each, or fused along the first axis.

    Parameters
    ----------
    draft : Draft
    module : str
        E.g. ``model.layers.0.mlp.experts``.
    names : (str, str, str)
        Of gate, up and down products where each expert has its own tensors.
    experts, hidden, inner : int

    Raises
    ------
    CheckpointError
        If tensors are missing or of another shape.
    """
    fused = f"{module}.gate_up_proj"
    if draft.has(fused):
        whole = draft.tensor(fused, (experts, 2 * inner, hidden)).name
        down = draft.tensor(f"{module}.down_proj", (experts, hidden, inner)).name
        return Experts(
            tuple(TensorRef(whole, rows=(0, inner), index=e) for e in range(experts)),
            tuple(TensorRef(whole, rows=(inner, 2 * inner), index=e) for e in range(experts)),
            tuple(TensorRef(down, index=e) for e in range(experts)),
        )

    def each(name: str, rows: int, columns: int) -> Refs:
        return tuple(
            draft.tensor(f"{module}.{e}.{name}.weight", (rows, columns)) for e in range(experts)
        )

    return Experts(
        each(names[0], inner, hidden), each(names[1], inner, hidden), each(names[2], hidden, inner)
    )


def interleaved(draft: Draft, module: str, experts: int, hidden: int, inner: int) -> Experts:
    """Experts of gpt-oss: fused, rows of gate and up in turn, with biases, MXFP4 or plain.

    Raises
    ------
    CheckpointError
        If tensors are missing or of another shape.
    """
    weights: dict[str, list[TensorRef]] = {}
    for name, rows, columns in (("gate_up", 2 * inner, hidden), ("down", hidden, inner)):
        tensor = f"{module}.{name}_proj"
        if draft.has(f"{tensor}_blocks"):
            blocks = columns // mxfp4.BLOCK
            draft.raw(f"{tensor}_blocks", (experts, rows, blocks, mxfp4.BLOCK // 2))
            draft.raw(f"{tensor}_scales", (experts, rows, blocks))
            weights[name] = [TensorRef(tensor, index=e, encoding="mxfp4") for e in range(experts)]
        else:  # stored (in, out)
            draft.tensor(tensor, (experts, columns, rows))
            weights[name] = [TensorRef(tensor, transpose=True, index=e) for e in range(experts)]
    both = draft.tensor(f"{module}.gate_up_proj_bias", (experts, 2 * inner)).name
    down = draft.tensor(f"{module}.down_proj_bias", (experts, hidden)).name

    def every_second(refs: Sequence[TensorRef], start: int) -> Refs:
        return tuple(
            TensorRef(ref.name, ref.transpose, (start, 2 * inner), ref.index, 2, ref.encoding)
            for ref in refs
        )

    biases = [TensorRef(both, index=e) for e in range(experts)]
    return Experts(
        every_second(weights["gate_up"], 0),
        every_second(weights["gate_up"], 1),
        tuple(weights["down"]),
        every_second(biases, 0),
        every_second(biases, 1),
        tuple(TensorRef(down, index=e) for e in range(experts)),
    )


def routed(
    draft: Draft,
    here: str,
    module: str,
    h: str,
    router: Router,
    experts: Experts,
    activation: Activation,
    *,
    router_bias: bool = False,
    correction: TensorRef | None = None,
    clamp_up: Activation | None = None,
) -> list[str]:
    """Outputs of the chosen experts, each times its gate; their sum is the layer's output.

    Parameters
    ----------
    draft : Draft
    here : str
        Prefix of the nodes' names.
    module : str
        Of the router, e.g. ``model.layers.0.mlp.gate``.
    h : str
        Input of router and experts.
    router, experts, activation
    router_bias : bool
        Whether the router's product has a bias.
    correction : TensorRef or None
        (experts,), added to the scores for the choice alone.
    clamp_up : Activation or None
        Applied to the up product (gpt-oss).
    """
    (hidden,) = draft.shape(h)
    logits = decoder.linear(draft, f"{here}.router", module, h, router.experts, bias=router_bias)
    route = Route(router.k, router.scores, correction, router.groups, router.kept)
    choice = draft.node(f"{here}.choice", route, (logits,), (router.k,))
    op = Gate(router.scores, router.normalize, router.scale)
    gates = draft.node(f"{here}.gates", op, (logits, choice), (router.k,))
    outputs = []
    # All inner parts first: the down products are then solved for the tokens of every slot.
    inner = [
        _inner(draft, f"{here}.slots.{slot}", (h, choice), experts, slot, activation, clamp_up)
        for slot in range(router.k)
    ]
    for slot, product in enumerate(inner):
        prefix = f"{here}.slots.{slot}"
        down = ExpertLinear(experts.down, experts.down_bias, slot)
        out = draft.node(f"{prefix}.down", down, (product, choice), (hidden,))
        outputs.append(draft.node(f"{prefix}.weighed", Weigh(slot), (out, gates), (hidden,)))
    return outputs


def _inner(
    draft: Draft,
    prefix: str,
    inputs: tuple[str, str],
    experts: Experts,
    slot: int,
    activation: Activation,
    clamp_up: Activation | None,
) -> str:
    """``act(gate(h)) * up(h)`` of the expert in a slot."""
    inner = draft.rows(experts.gate[0])
    gate = ExpertLinear(experts.gate, experts.gate_bias, slot)
    x = draft.node(f"{prefix}.gate", gate, inputs, (inner,))
    x = draft.node(f"{prefix}.activation", activation, (x,), (inner,))
    up = ExpertLinear(experts.up, experts.up_bias, slot)
    y = draft.node(f"{prefix}.up", up, inputs, (inner,))
    if clamp_up is not None:
        y = draft.node(f"{prefix}.clamp", clamp_up, (y,), (inner,))
    return draft.node(f"{prefix}.product", Mul(), (x, y), (inner,))


def shared(
    draft: Draft,
    here: str,
    module: str,
    h: str,
    inner: int,
    activation: Activation,
    gate: str | None,
) -> str:
    """Output of an expert that works for every token, times the sigmoid of `gate`'s product.

    Parameters
    ----------
    draft : Draft
    here, module, h
        As in `routed`.
    inner : int
    activation : Activation
    gate : str or None
        Module of the gate, (1, hidden); None if the output is taken whole.
    """
    (hidden,) = draft.shape(h)
    out = decoder.mlp(draft, here, module, h, inner, activation)
    if gate is None:
        return out
    weight = draft.tensor(f"{gate}.weight", (1, hidden))
    score = draft.node(f"{here}.score", Linear(weight), (h,), (1,))
    share = draft.node(f"{here}.share", Activation("sigmoid"), (score,), (1,))
    return draft.node(f"{here}.weighed", Weigh(0), (out, share), (hidden,))
