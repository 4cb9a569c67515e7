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
    choice : int64, shape (tokens,)
        Expert of every token.
    gates : int64, shape (tokens,)
    experts, limit : int

    Returns
    -------
    int64, shape (tokens,)

    Notes
    -----
    Fedus et al. 2021, "Switch Transformers", section 2.2.
    """
    offered = np.eye(experts, dtype=np.int64)[choice]
    place = (offered.cumsum(axis=0) * offered).sum(axis=1)
    return np.where(place <= limit, gates, 0)
