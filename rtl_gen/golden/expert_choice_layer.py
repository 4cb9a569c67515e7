"""Golden model of a layer whose experts choose tokens from a block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden.expert_choice import expert_choice
from rtl_gen.golden.mul import mul
from rtl_gen.golden.requantize import saturate
from rtl_gen.golden.router import gate
from rtl_gen.golden.switch_layer import expert, product
from rtl_gen.ir.expert_layer import GATE, ExpertLayer


def expert_choice_layer(x: NDArray[np.int64], layer: ExpertLayer, k: int) -> NDArray[np.int64]:
    """Sums of the experts' weighed outputs for the tokens that they choose.

    Parameters
    ----------
    x : int64, shape (tokens, hidden)
        One block.
    layer : ExpertLayer
    k : int
        Tokens that an expert takes.

    Returns
    -------
    int64, shape (tokens, hidden)

    Notes
    -----
    `docs/ir.md`, "Layers of experts"; Zhou et al. 2022, "Mixture-of-Experts with Expert Choice
    Routing", section 3.2. The sum of all experts is exact; it saturates once.
    """
    logits = product(x, layer.router, 0)
    everyone = np.broadcast_to(np.arange(layer.experts), logits.shape)
    chosen, gates = expert_choice(gate(logits, everyone, layer.score, False, GATE), k)
    y = np.zeros_like(x)
    for index in range(layer.experts):
        out = expert(x[chosen[index]], layer, index)
        y[chosen[index]] += mul(out, gates[index][:, None], layer.weigh, layer.out)
    return saturate(y, layer.out)
