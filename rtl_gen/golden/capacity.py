"""Golden model of a capacity: gates of tokens whose expert is full become 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def capacity(
    choice: NDArray[np.int64], gates: NDArray[np.int64], experts: int, limit: int
) -> NDArray[np.int64]:
    """Gates of one sequence; an expert takes its first `limit` tokens.

    Parameters
    ----------
    choice : int64, shape (tokens,) or (tokens, k)
        Expert of every token, or k of them, the first choice first.
    gates : int64, shaped like `choice`
    experts, limit : int

    Returns
    -------
    int64, shaped like `choice`

    Notes
    -----
    Fedus et al. 2021, "Switch Transformers", section 2.2. With k of 2: Lepikhin et al. 2020,
    "GShard", algorithm 1: the first choices of all tokens come before any second one.
    """
    offered = np.eye(experts, dtype=np.int64)[choice.T.ravel()]
    place = (offered.cumsum(axis=0) * offered).sum(axis=1).reshape(choice.T.shape).T
    return np.where(place <= limit, gates, 0)
