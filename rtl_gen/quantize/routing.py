"""Where tokens go: integer routing beside float routing, and the load of every expert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.golden import interpreter
from rtl_gen.ir import integer as ir
from rtl_gen.ir import model as real
from rtl_gen.quantize.calibrate import trace
from rtl_gen.quantize.examples import Examples

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layer:
    """One router.

    Parameters
    ----------
    disagreement : float
        Share of the steps whose sets of experts differ.
    load : tuple of float
        Share of all choices of the integer network that each expert has.
    """

    disagreement: float
    load: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """Routers of a network, by the name of the choice, over `steps` that count."""

    steps: int
    disagreement: float
    layers: Mapping[str, Layer]


def routing(
    model: real.ModelGraph,
    weights: Mapping[real.TensorRef, Array],
    graph: ir.IntegerGraph,
    examples: Examples,
    *,
    limit: int = 4096,
) -> Routing | None:
    """Compare the experts that the float and the integer network choose.

    Parameters
    ----------
    model : ModelGraph
    weights : mapping of TensorRef to float64
    graph : IntegerGraph
        Lowered from `model`.
    examples : Examples
        Of tokens, not used in calibration.
    limit : int
        Largest number of steps, padding included; whole sequences, at least one.

    Returns
    -------
    Routing or None
        None without experts.

    Notes
    -----
    Both networks read the same tokens, but each routes its own values, which differ by
    what quantization has changed before: this counts what a chip does differently, not how exact a
    router is.
    """
    routes = [node for node in model.nodes if isinstance(node.op, real.Route)]
    if not routes:
        return None
    count = max(1, limit // examples.steps)
    part = Examples(
        examples.inputs[:count], None, None if examples.mask is None else examples.mask[:count]
    )
    counted = part.counted()
    floats = trace(model, weights, part)
    name = next(item.name for item in graph.inputs if item.kind != "position")
    found = interpreter.sequences(graph, {name: np.asarray(part.inputs, np.int64)})
    layers = {}
    differing = []
    for node in routes:
        experts = floats[node.inputs[0]].shape[-1]
        mine = found[node.name].reshape(-1, node.shape[0])[counted]
        differs = (np.sort(mine) != np.sort(floats[node.name][counted])).any(axis=1)
        load = np.bincount(mine.reshape(-1), minlength=experts) / mine.size
        layers[node.name] = Layer(float(differs.mean()), tuple(float(x) for x in load))
        differing.append(differs)
    return Routing(int(counted.sum()), float(np.mean(differing)), layers)
