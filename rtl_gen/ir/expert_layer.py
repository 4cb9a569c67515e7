"""A layer of experts in integers, for the blocks that are one: Switch and Expert Choice.

Exact arithmetic is written in ``docs/ir.md``, "Layers of experts".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtl_gen.ir.types import Dyadic, IntType

GATE = IntType(15, signed=False)
"""Of a gate: 14 fraction bits."""


@dataclass(frozen=True, slots=True)
class Product:
    """``weight[e] @ x`` times a multiplier per row, requantized.

    Parameters
    ----------
    weight : int64, shape (experts, rows, columns)
        The router's has one matrix.
    multiplier : int64, shape (experts, rows)
        1 to 65535.
    shift : int
    weight_type, out : IntType
    """

    weight: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: int
    weight_type: IntType
    out: IntType

    @property
    def rows(self) -> int:
        """Results of one expert."""
        return int(self.weight.shape[1])

    @property
    def columns(self) -> int:
        """Elements of the vector."""
        return int(self.weight.shape[2])


@dataclass(frozen=True, slots=True)
class ExpertLayer:
    """Router and experts; an expert is ``down @ table[up @ x]``, or gated.

    Parameters
    ----------
    x : IntType
        Of an element of a token.
    router, up, down : Product
    gate : Product or None
        Of a gated expert, ``down @ (table[gate @ x] * up @ x)``.
    table : int64, shape (2**width,)
        Activation of every value of what it reads.
    product : Dyadic or None
        Scale of the product with `up`.
    inner : IntType
        Of what `down` reads.
    score : Dyadic
        From steps of the router's logits to 2**-8 units of log2.
    weigh : Dyadic
        Scale of the product of an expert's output and a gate.
    out : IntType

    Raises
    ------
    ValueError
        If shapes do not belong together.
    """

    x: IntType
    router: Product
    gate: Product | None
    up: Product
    down: Product
    table: NDArray[np.int64]
    product: Dyadic | None
    inner: IntType
    score: Dyadic
    weigh: Dyadic
    out: IntType

    def __post_init__(self) -> None:
        experts, inner, hidden = self.up.weight.shape
        if self.down.weight.shape != (experts, hidden, inner):
            raise ValueError(
                f"down {self.down.weight.shape} does not follow {self.up.weight.shape}"
            )
        if self.router.weight.shape != (1, experts, hidden):
            raise ValueError(f"router {self.router.weight.shape}, experts {self.up.weight.shape}")
        if self.gate is not None and self.gate.weight.shape != self.up.weight.shape:
            raise ValueError(f"gate {self.gate.weight.shape} is not like {self.up.weight.shape}")
        if (self.gate is None) != (self.product is None):
            raise ValueError("a gated expert has a scale of its product, another one has none")
        if len(self.table) != 1 << self.activated.out.width:
            raise ValueError(f"table of {len(self.table)} for {self.activated.out}")

    @property
    def hidden(self) -> int:
        """Elements of a token."""
        return self.up.columns

    @property
    def experts(self) -> int:
        """Number of experts."""
        return len(self.up.weight)

    @property
    def activated(self) -> Product:
        """The product that the activation reads."""
        return self.up if self.gate is None else self.gate
