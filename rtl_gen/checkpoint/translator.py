"""What encoder-decoders share: attention blocks, feed-forward parts, single experts, the head."""

from __future__ import annotations

from dataclasses import dataclass

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.registry import architecture_of
from rtl_gen.ir.model import (
    Activation,
    Add,
    Attention,
    CrossAttention,
    ExpertLinear,
    Input,
    Linear,
    ModelGraph,
    TensorRef,
)

Refs = tuple[TensorRef, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """Ends of the modules' names: of q, k, v and output; of the two products of an MLP."""

    attention: tuple[str, str, str, str]
    feed_forward: tuple[str, str]
    bias: bool


@dataclass(frozen=True, slots=True)
class Sides:
    """Both drafts of a checkpoint, and the table of embeddings that they may share."""

    encoder: Draft
    decoder: Draft
    table: TensorRef
    size: tuple[int, int]


def begin(checkpoint: Checkpoint, table: str, size: tuple[int, int]) -> Sides:
    """Start both graphs: tokens in, and for the decoder the encoder's output as ``memory``.

    Parameters
    ----------
    table : str
        Name of the shared table.
    size : (int, int)
        Vocabulary and hidden size.
    """
    first = Draft(checkpoint, Input("input_ids", "token", ()), Input("place", "position", ()))
    second = Draft(
        checkpoint,
        Input("decoder_input_ids", "token", ()),
        Input("position", "position", ()),
        Input("memory", "memory", (size[1],)),
    )
    return Sides(first, second, first.tensor(table, size), size)


def finish(
    checkpoint: Checkpoint, sides: Sides, context: int, x: str, *, tied_scale: float
) -> ModelGraph:
    """Head on the decoder's `x`, and the whole graph; the encoder's output is ``encoded``.

    Parameters
    ----------
    tied_scale : float
        Factor on the logits where the head is the table of embeddings.
    """
    draft, (vocabulary, _) = sides.decoder, sides.size
    head, tied = sides.table, setting.boolean(checkpoint, "tie_word_embeddings", True)
    if not tied:
        head = draft.tensor("lm_head.weight", sides.size)
    elif draft.has("lm_head.weight"):
        decoder.check_tied(draft, checkpoint, head.name, sides.size)
    op = Linear(head, scale=tied_scale if tied else 1.0)
    draft.node("logits", op, (x,), (vocabulary,))
    architecture = architecture_of(checkpoint)
    name = "encoder_last_hidden_state"
    encoder = sides.encoder.part(
        architecture, {name: "encoded"}, context=context, vocabulary=vocabulary
    )
    return draft.finish(
        architecture,
        {"logits": "logits"},
        context=context,
        vocabulary=vocabulary,
        bos=setting.tokens(checkpoint, "decoder_start_token_id", vocabulary)[:1],
        eos=setting.tokens(checkpoint, "eos_token_id", vocabulary),
        encoder=(sides.encoder, encoder),
    )


def attend(
    draft: Draft,
    here: str,
    module: str,
    names: Names,
    op: Attention | CrossAttention,
    streams: tuple[str, str, str],
) -> str:
    """``x + output(attention(q(h), k(m), v(m)))``.

    Parameters
    ----------
    streams : (str, str, str)
        x; h, its norm; and m, the memory, or the position where h is all there is.
    """
    x, h, other = streams
    (hidden,) = draft.shape(x)
    size = op.heads * op.head_dim
    crossed = isinstance(op, CrossAttention)
    source = other if crossed else h
    parts = [
        decoder.linear(draft, f"{here}.{part}", f"{module}.{name}", given, size, bias=names.bias)
        for part, name, given in zip("qkv", names.attention, (h, source, source), strict=False)
    ]
    parts += [] if crossed else [other]
    mixed = draft.node(f"{here}.mixed", op, tuple(parts), (size,))
    name = f"{module}.{names.attention[3]}"
    out = decoder.linear(draft, f"{here}.output", name, mixed, hidden, bias=names.bias)
    return draft.node(f"{here}.residual", Add(), (x, out), (hidden,))


def dense(
    draft: Draft, here: str, module: str, names: Names, act: Activation, inner: int, h: str
) -> str:
    """``down(act(up(h)))``."""
    up, down = (f"{module}.{name}" for name in names.feed_forward)
    (hidden,) = draft.shape(h)
    x = decoder.linear(draft, f"{here}.up", up, h, inner, bias=names.bias)
    x = draft.node(f"{here}.activation", act, (x,), (inner,))
    return decoder.linear(draft, f"{here}.down", down, x, hidden, bias=names.bias)


@dataclass(frozen=True, slots=True)
class Experts:
    """Tensors of all experts: (inner, hidden) and (hidden, inner) of each, and their biases."""

    up: tuple[Refs, Refs]
    down: tuple[Refs, Refs]


def stored(
    draft: Draft, module: str, names: Names, experts: int, hidden: int, inner: int
) -> Experts:
    """Find the experts of `module`."""

    def each(name: str, rows: int, columns: int) -> tuple[Refs, Refs]:
        found = [f"{module}.experts.expert_{e}.{name}" for e in range(experts)]
        biased = found if names.bias else []
        return (
            tuple(draft.tensor(f"{item}.weight", (rows, columns)) for item in found),
            tuple(draft.tensor(f"{item}.bias", (rows,)) for item in biased),
        )

    up, down = names.feed_forward
    return Experts(each(up, inner, hidden), each(down, hidden, inner))


def expert(
    draft: Draft, here: str, found: Experts, act: Activation, inner: int, slot: int,
    streams: tuple[str, str], always: int | None = None,
) -> str:  # fmt: skip
    """``down(act(up(h)))`` of the expert in a slot of the choice, or of one and the same.

    Parameters
    ----------
    streams : (str, str)
        h and the choice.
    always : int, optional
        This expert, whatever the choice.
    """
    h, choice = streams
    (hidden,) = draft.shape(h)

    def product(name: str, part: tuple[Refs, Refs], x: str, size: int) -> str:
        if always is None:
            return draft.node(f"{here}.{name}", ExpertLinear(*part, slot), (x, choice), (size,))
        weights, biases = part
        op = Linear(weights[always], biases[always] if biases else None)
        return draft.node(f"{here}.{name}", op, (x,), (size,))

    x = product("up", found.up, h, inner)
    x = draft.node(f"{here}.activation", act, (x,), (inner,))
    return product("down", found.down, x, hidden)
