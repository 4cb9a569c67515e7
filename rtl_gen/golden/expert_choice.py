"""Golden model of the choice that experts make among the tokens of a block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def expert_choice(scores: NDArray[np.int64], k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of every expert: those with the largest scores, of equal ones the earliest.

    Parameters
    ----------
    scores : int64, shape (tokens, experts)
    k : int
        Tokens that an expert takes.

    Returns
    -------
    tokens, gates : int64, shape (experts, k)
        The largest score first.

    Notes
    -----
    Zhou et al. 2022, "Mixture-of-Experts with Expert Choice Routing", section 3.2.
    """
    tokens = np.argsort(-scores, axis=0, kind="stable")[:k]
    return tokens.T, np.take_along_axis(scores, tokens, axis=0).T
