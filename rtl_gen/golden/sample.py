"""Golden model of the sampler: greedy, or Gumbel-max with a xorshift generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WORD = 0xFFFFFFFF


def initial_rng(seed: int) -> int:
    """Random state for `seed`: a 32-bit number, never 0."""
    return (seed * 2654435769 + 0x9E3779B9) & _WORD or 1


def beta(temperature: float, scale: float, shift: int) -> int:
    """Inverse temperature as the control register holds it.

    Parameters
    ----------
    temperature : float
        Positive; 0 means greedy.
    scale : float
        Real value of one step of the logits.
    shift : int
        Of the `Sample` node.

    Returns
    -------
    int
        0 if greedy, else ``clip(round(scale * 2**(8 + shift) / temperature), 1, 65535)``.

    Raises
    ------
    ValueError
        If `temperature` is negative or not a number.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 (greedy) or positive, not {temperature}")
    if temperature == 0:
        return 0
    return int(np.clip(np.rint(scale * 2.0 ** (8 + shift) / temperature), 1, 65535))


def advance(rng: int) -> int:
    """Next state of the 32-bit xorshift generator.

    Notes
    -----
    G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003: triple 13, 17, 5.
    """
    rng ^= rng << 13 & _WORD
    rng ^= rng >> 17
    return rng ^ (rng << 5 & _WORD)


def sample(
    logits: NDArray[np.int64],
    noise: NDArray[np.int64],
    shift: int,
    beta: int,
    rng: int,
    top_k: int = 0,
) -> tuple[int, int]:
    """Draw a token.

    Parameters
    ----------
    logits : int64, shape (vocabulary,)
        i16.
    noise : int64, shape (1024,)
        Gumbel noise in steps of 2**-8.
    shift : int
        Left shift of the noise.
    beta : int
        0 to 65535, 0 = greedy.
    rng : int
        Random state, 1 to 2**32 - 1.
    top_k : int
        Only the `top_k` largest logits take part, of equal ones the earlier; 0 is all. Greedy
        choice ignores it.

    Returns
    -------
    token : int
        The lowest index with the largest score, among those that take part.
    rng : int
        The new state; unchanged when greedy.
    """
    if beta == 0:
        return int(logits.argmax()), rng
    addresses = np.empty(len(logits), np.int64)
    for i in range(len(logits)):
        rng = advance(rng)
        w = rng >> 16
        n = min(16 - w.bit_length(), 15)
        f = (w << (n + 1) & 0xFFFF) >> 10
        addresses[i] = 64 * n + f
    score = logits * beta + (noise[addresses] << shift)
    if top_k == 0:
        return int(score.argmax()), rng
    chosen = np.sort(np.argsort(-logits, kind="stable")[:top_k])
    return int(chosen[score[chosen].argmax()]), rng
