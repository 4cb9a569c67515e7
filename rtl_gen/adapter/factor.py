"""The change between two checkpoints of one network as a low-rank adapter of the older one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.adapter.reader import LoraPair
from rtl_gen.ir import model as real

Array = NDArray[np.float64]
Weights = Mapping[real.TensorRef, Array]

_DAMPING = 1e-3


@dataclass(frozen=True, slots=True)
class Share:
    """How much of one tensor's change an adapter of a rank holds, from 0 to 1.

    Parameters
    ----------
    weights : float
        Of the squared change of the weights.
    outputs : float
        Of the squared change of the product, over the calibration inputs.
    rank : int
        Rank of the whole change.
    """

    weights: float
    outputs: float
    rank: int


def factor(delta: Array, inputs: Array, rank: int) -> tuple[LoraPair, Share]:
    """Best factors of `delta` for what the product gives on `inputs`.

    Parameters
    ----------
    delta : float64, shape (n_out, n_in)
    inputs : float64, shape (samples, n_in)
    rank : int

    Returns
    -------
    LoraPair
    Share

    Notes
    -----
    The error is ``|(delta - b a) r|`` with ``r r'`` the (damped) second moment of the inputs, which
    a singular value decomposition of ``delta r`` minimizes (Eckart and Young 1936).
    """
    moment = inputs.T @ inputs / max(len(inputs), 1)
    mean = float(np.diag(moment).mean()) or 1.0
    root = np.linalg.cholesky(moment + _DAMPING * mean * np.eye(len(moment)))
    left, values, right = np.linalg.svd(delta @ root, full_matrices=False)
    kept = min(rank, len(values))
    split = np.sqrt(values[:kept])
    a = np.linalg.solve(root.T, (split[:, None] * right[:kept]).T).T
    pair = LoraPair(a, left[:, :kept] * split)
    rest = delta - pair.delta()
    whole = int(np.linalg.matrix_rank(delta)) if delta.any() else 0
    return pair, Share(_share(rest, delta), _share(inputs @ rest.T, inputs @ delta.T), whole)


def difference(
    graph: real.ModelGraph,
    old: Weights,
    new: Weights,
    inputs: Mapping[str, Array],
    rank: int,
    chosen: Callable[[str], bool],
) -> tuple[dict[str, LoraPair], dict[str, Share], list[str]]:
    """Factors of every changed matrix.

    Parameters
    ----------
    graph : ModelGraph
        Of both checkpoints.
    old, new : mapping of TensorRef to float64
    inputs : mapping of str to float64, shape (samples, n_in)
        Calibration values by name (`rtl_gen.quantize.calibrate.trace` of the new network).
    rank : int
    chosen : callable
        Whether a node may have an adapter.

    Returns
    -------
    pairs : dict of str to LoraPair
    shares : dict of str to Share
    left : list of str
        Nodes whose tensors changed but cannot be adapted.
    """
    pairs: dict[str, LoraPair] = {}
    shares: dict[str, Share] = {}
    left: list[str] = []
    for node in graph.nodes:
        refs = [
            ref
            for name in ("weight", "bias", "table")
            if (ref := getattr(node.op, name, None)) is not None
        ]
        changed = [ref for ref in refs if not np.array_equal(old[ref], new[ref])]
        op = node.op
        if isinstance(op, real.Linear | real.Conv2d) and op.weight in changed and chosen(node.name):
            delta = new[op.weight] - old[op.weight]
            x = _seen(op, inputs[node.inputs[0]], delta)
            pair, shares[node.name] = factor(delta.reshape(len(delta), -1), x, rank)
            pairs[node.name] = LoraPair(pair.a.reshape(-1, *delta.shape[1:]), pair.b)
            changed.remove(op.weight)
        if changed:
            left.append(node.name)
    return pairs, shares, left


def _seen(op: real.Linear | real.Conv2d, x: Array, weight: Array) -> Array:
    """Vectors that the matrix multiplies: float64, shape (count, n_in)."""
    if isinstance(op, real.Linear):
        return x.reshape(-1, weight.shape[1])
    (ph, pw), (sh, sw) = op.padding, op.stride
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    views = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(2, 3))
    views = views[:, :, ::sh, ::sw]
    return views.transpose(0, 2, 3, 1, 4, 5).reshape(-1, weight[0].size)


def _share(rest: Array, whole: Array) -> float:
    total = float((whole**2).sum())
    return 1.0 - float((rest**2).sum()) / total if total else 1.0
