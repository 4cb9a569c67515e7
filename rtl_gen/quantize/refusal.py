"""What a ModelGraph may say and an IntegerGraph cannot: refused before any work is done."""

from __future__ import annotations

from rtl_gen.errors import QuantizationError
from rtl_gen.ir import model as real
from rtl_gen.reference.interpreter import whole

REMEDY = "its float model can be checked and evaluated, not quantized"


def refuse(model: real.ModelGraph) -> None:
    """Refuse a network with an operator, or a variant of one, that has no integer form.

    Raises
    ------
    QuantizationError
        The message names the node and what it asks for.
    """
    if model.encoder is not None:
        raise QuantizationError(f"{model.architecture}: an encoder has no integer form; {REMEDY}")
    for node in model.nodes:
        what = _unsupported(node)
        if what:
            raise QuantizationError(f"node {node.name}: {what}: no integer operator; {REMEDY}")
    if whole(model):
        raise QuantizationError(
            f"{model.architecture}: positions that see later ones have no integer form; {REMEDY}"
        )


def _unsupported(node: real.Node) -> str:
    """What of a node has no integer form, empty if nothing."""
    match node.op:
        case real.Attention() as op:
            return _attention(op)
        case real.Rotary(first=first, interleaved=interleaved) if first or interleaved:
            return "a rotation of a part of each head, or of neighbouring elements (DeepSeek)"
        case real.Route(scores="softmax", bias=bias) if bias is not None:
            return "a correction bias on softmax scores"
        case (
            real.Sinusoid()
            | real.Gather()
            | real.CrossAttention()
            | real.Capacity()
            | real.ExpertChoice()
        ):
            return f"{type(node.op).__name__}"
        case _:
            return ""


def _attention(op: real.Attention) -> str:
    if op.value_size != op.head_dim:
        return f"values of {op.value_size} elements a head beside keys of {op.head_dim}"
    return "scores by distance" if op.bias is not None else ""
