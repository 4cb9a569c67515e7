"""Layers of experts in integers from matrices of real numbers, for the tests of whole layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_gen.checkpoint import open_checkpoint
from rtl_gen.checkpoint.safetensors import read_tensor
from rtl_gen.ir.expert_layer import ExpertLayer, Product
from rtl_gen.ir.model import Activation, ActivationKind
from rtl_gen.ir.types import Dyadic, IntType
from rtl_gen.reference import operators, routing

Real = NDArray[np.float64]

ORACLES = Path(__file__).parents[2] / "../shared/oracles"
WEIGHT, X, INNER, OUT = IntType(8), IntType(12), IntType(12), IntType(16)
TABLE = IntType(10)


@dataclass(frozen=True)
class Matrices:
    """Real layer: router (experts, hidden); matrices (experts, rows, columns), `gate` or None."""

    router: Real
    gate: Real | None
    up: Real
    down: Real
    kind: ActivationKind

    def expert(self, x: Real, e: int) -> tuple[Real, Real, Real]:
        """What the activation reads, what `down` reads, and the output."""
        first = x @ (self.up if self.gate is None else self.gate)[e].T
        inner = operators.activation(first, self.kind)
        if self.gate is not None:
            inner = inner * (x @ self.up[e].T)
        return first, inner, inner @ self.down[e].T


def random(hidden: int, inner: int, experts: int, *, gated: bool, seed: int) -> Matrices:
    """A layer whose router tells tokens apart."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape) / np.sqrt(shape[-1])  # noqa: E731
    gate = draw(experts, inner, hidden) if gated else None
    up, down = draw(experts, inner, hidden), draw(experts, hidden, inner)
    return Matrices(2 * draw(experts, hidden), gate, up, down, "silu" if gated else "relu")


def oracle(folder: str, names: tuple[str, str | None, str, str], kind: ActivationKind) -> Matrices:
    """A layer of one of the reference checkpoints; `names` with ``{}`` for the expert's number."""
    entries = open_checkpoint(ORACLES / folder).entries

    def stack(name: str) -> Real:
        count = sum(name.format(e) in entries for e in range(64))
        return np.stack([np.asarray(read_tensor(entries[name.format(e)]), float)
                         for e in range(count)])  # fmt: skip

    router, gate, up, down = names
    first = None if gate is None else stack(gate)
    matrix = np.asarray(read_tensor(entries[router]), float)
    return Matrices(matrix, first, stack(up), stack(down), kind)


def step(values: Real, kind: IntType) -> float:
    """Scale at which `kind` holds all `values`."""
    return float(np.abs(values).max()) / kind.max


def product(weight: Real, x_step: float, out_step: float, out: IntType) -> Product:
    """Rows rounded to nearest, each at a scale of its own."""
    scale = np.abs(weight).max(axis=-1, keepdims=True) / WEIGHT.max
    factor = scale[..., 0] * x_step / out_step
    shift = int(np.floor(np.log2(65535 / factor.max())))
    multiplier = np.maximum(1, np.rint(factor * 2.0**shift)).astype(np.int64)
    return Product(np.rint(weight / scale).astype(np.int64), multiplier, shift, WEIGHT, out)


def lowered(real: Matrices, x: Real) -> tuple[ExpertLayer, float, float]:
    """Integers of a layer, calibrated on `x` (tokens, hidden), and the steps of x and output."""
    runs = [real.expert(x, e) for e in range(len(real.up))]
    first, inner, y = (np.stack(part) for part in zip(*runs, strict=True))
    logits = x @ real.router.T
    x_step, logit_step = step(x, X), step(logits, OUT)
    first_step, inner_step, y_step = step(first, TABLE), step(inner, INNER), step(y, OUT)
    steps = np.arange(TABLE.min, TABLE.max + 1) * first_step
    activated = operators.activation(steps, real.kind)
    gated = real.gate is not None
    held = step(activated, INNER) if gated else inner_step
    table = np.rint(activated / held).clip(INNER.min, INNER.max).astype(np.int64)
    gate = product(real.gate, x_step, first_step, TABLE) if real.gate is not None else None
    up_step = step(np.stack([x @ up.T for up in real.up]), INNER)
    up = (product(real.up, x_step, up_step, INNER) if gated
          else product(real.up, x_step, first_step, TABLE))  # fmt: skip
    layer = ExpertLayer(
        x=X, router=product(real.router[None], x_step, logit_step, OUT), gate=gate, up=up,
        down=product(real.down, inner_step, y_step, OUT), table=table,
        product=Dyadic.nearest(held * up_step / inner_step, 16) if gated else None, inner=INNER,
        score=Dyadic.nearest(logit_step * np.log2(np.e) * 256, 16),
        weigh=Dyadic.nearest(2.0**-14, 16), out=OUT,
    )  # fmt: skip
    return layer, x_step, y_step


def switched(real: Matrices, x: Real, limit: int) -> Real:
    """The layer in real numbers: the expert of the largest probability, unless it is full."""
    logits = (x @ real.router.T)[None]
    choice = routing.largest(logits, 1)
    gates = routing.gate(logits, choice, "softmax", 1.0, normalize=False)
    none = np.zeros((1, len(real.up)), np.int64)
    kept, _ = routing.capacity(gates, choice, none, limit)
    outs = [real.expert(token[None], e)[2][0] for token, e in zip(x, choice[0, :, 0], strict=True)]
    return np.stack(outs) * kept[0]


def chosen(real: Matrices, x: Real, k: int) -> Real:
    """The layer in real numbers: every expert takes the k tokens of largest probability."""
    logits = (x @ real.router.T)[None]
    assert real.gate is not None
    found = routing.expert_choice(
        x[None], logits, list(real.gate), list(real.up), list(real.down),
        Activation(real.kind), k * len(real.up) / len(x),
    )  # fmt: skip
    return found[0]
