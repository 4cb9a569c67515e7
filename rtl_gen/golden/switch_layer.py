"""Golden model of a Switch layer: one expert per token, and a capacity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.capacity import capacity
from rtl_gen.golden.const_matvec import const_matvec
from rtl_gen.golden.lookup import lookup
from rtl_gen.golden.mul import mul
from rtl_gen.golden.router import gate, route
from rtl_gen.ir.expert_layer import GATE, ExpertLayer, Product


def product(x: NDArray[np.int64], layer: Product, expert: int) -> NDArray[np.int64]:
    """``weight[expert] @ x``, requantized; int64, shape (batch, rows)."""
    weight, multiplier = layer.weight[expert], layer.multiplier[expert]
    return const_matvec(x, weight, None, multiplier, layer.shift, layer.out)


def expert(x: NDArray[np.int64], layer: ExpertLayer, index: int) -> NDArray[np.int64]:
    """Output of one expert for some tokens, not yet weighed.

    Parameters
    ----------
    x : int64, shape (batch, hidden)
    layer : ExpertLayer
    index : int

    Returns
    -------
    int64, shape (batch, hidden)
    """
    first = product(x, layer.activated, index)
    inner = lookup(first, layer.table, layer.activated.out)
    if layer.product is not None:
        inner = mul(inner, product(x, layer.up, index), layer.product, layer.inner)
    return product(inner, layer.down, index)


def switch_layer(x: NDArray[np.int64], layer: ExpertLayer, limit: int) -> NDArray[np.int64]:
    """Weighed outputs of one sequence; tokens whose expert is full get zeros.

    Parameters
    ----------
    x : int64, shape (tokens, hidden)
    layer : ExpertLayer
    limit : int
        Tokens that an expert takes.

    Returns
    -------
    int64, shape (tokens, hidden)

    Notes
    -----
    `docs/ir.md`, "Layers of experts"; Fedus et al. 2021, "Switch Transformers", section 2.2.
    """
    logits = product(x, layer.router, 0)
    choice = route(logits, 1, None, 1, 1, 2)
    gates = gate(logits, choice, layer.score, False, GATE)
    kept = capacity(choice, gates, layer.experts, limit)
    y = np.zeros_like(x)
    for index in range(layer.experts):
        here = choice[:, 0] == index
        y[here] = mul(expert(x[here], layer, index), kept[here], layer.weigh, layer.out)
    return y
