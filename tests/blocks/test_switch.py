"""The routing of a Switch layer in hardware: `Router` of one expert, then `Capacity`.

What it says is compared with golden, and golden with the float layer: same experts, same tokens
dropped, gates near the softmax.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from amaranth import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from rtl_gen.blocks.capacity import Capacity
from rtl_gen.blocks.router import Router
from rtl_gen.fabric import rom
from rtl_gen.golden.capacity import capacity
from rtl_gen.golden.router import gate, route
from rtl_gen.ir import tables
from rtl_gen.ir.types import Dyadic, IntType
from rtl_gen.reference import routing
from tests.blocks.drive import Bench, paced
from tests.harness import parameters, run_cocotb, seed

WIDTH, EXPERTS, TOKENS, LIMIT = 16, 4, 24, 7
STEP = 1 / 512
SCORE = Dyadic.nearest(STEP * np.log2(np.e) * 256, 16)
U15 = IntType(15, signed=False)


class Switch(wiring.Component):
    """Logits of a token, twice, to its gate: 0 if its expert is full. `choice` is the expert."""

    def __init__(self, limit: int) -> None:
        self.router = Router(width=WIDTH, experts=EXPERTS, k=1, normalize=False)
        self.capacity = Capacity(experts=EXPERTS, limit=limit, width=WIDTH - 1)
        super().__init__(
            {
                "i": In(stream.Signature(self.router.i.payload.shape())),
                "o": Out(stream.Signature(WIDTH - 1)),
                "start": In(1),
                "clear": In(1),
                "multiplier": In(16),
                "shift": In(6),
                "choice": Out(2),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Join both blocks: the choice stands while the gate passes."""
        m = Module()
        m.submodules.router, m.submodules.capacity = router, limit = self.router, self.capacity
        wiring.connect(m, wiring.flipped(self.i), router.i)
        wiring.connect(m, limit.o, wiring.flipped(self.o))
        m.d.comb += [
            router.start.eq(self.start),
            router.multiplier.eq(self.multiplier),
            router.shift.eq(self.shift),
            limit.clear.eq(self.clear),
            limit.i.valid.eq(router.o.valid),
            limit.i.payload.eq(Cat(router.o.payload[: WIDTH - 1], router.choice)),
            router.o.ready.eq(limit.i.ready),
            self.choice.eq(router.choice),
        ]
        return m


def integers(logits: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Expert and gate of every token, in integers."""
    x = np.rint(logits / STEP).astype(np.int64)
    choice = route(x, 1, None, 1, 1, 2)[:, 0]
    gates = gate(x, choice[:, None], SCORE, False, U15)[:, 0]
    return choice, capacity(choice, gates, EXPERTS, LIMIT)


def test_golden_is_the_float_layer() -> None:
    logits = np.random.default_rng(3).normal(size=(8, TOKENS, EXPERTS))
    choice = routing.largest(logits, 1)
    gates = routing.gate(logits, choice, "softmax", 1.0, normalize=False)
    kept, _ = routing.capacity(gates, choice, np.zeros((8, EXPERTS), np.int64), LIMIT)
    assert (kept == 0).any()
    for batch in range(8):
        experts, found = integers(logits[batch])
        assert experts.tolist() == choice[batch, :, 0].tolist()
        assert ((found == 0) == (kept[batch, :, 0] == 0)).all()
        np.testing.assert_allclose(found / 2**14, kept[batch, :, 0], rtol=2**-7, atol=2**-14)


def bench(tmp_path: Path, limit: int) -> None:
    run_cocotb(
        Switch(limit),
        module=__name__,
        build_dir=tmp_path,
        parameters={"seed": seed()},
        files={
            "rom/exp2.hex": rom.image(tables.exp2(), 16),
            "rom/reciprocal.hex": rom.image(tables.reciprocal(), 16),
        },
    )


def test_switch(tmp_path: Path) -> None:
    bench(tmp_path, LIMIT)


@pytest.mark.parametrize("wrong", [LIMIT - 1, LIMIT + 1])
def test_a_capacity_off_by_one_is_caught(tmp_path: Path, wrong: int) -> None:
    with pytest.raises(pytest.fail.Exception, match="failed"):
        bench(tmp_path, wrong)


@cocotb.test()
@paced
async def sequences(dut: Any, idle: str, stall: str) -> None:
    tested = Bench(dut, ["i"], idle, stall, signed=False)
    await tested.reset(start=0, clear=0, shift=SCORE.shift)
    dut.multiplier.value = SCORE.multiplier
    rng = np.random.default_rng(parameters()["seed"])
    for scale in (0.0, 1.0):  # all logits equal: all tokens want the first expert
        logits = scale * rng.normal(size=(TOKENS, EXPERTS))
        experts, gates = integers(logits)
        assert (gates == 0).any()
        await tested.begin("clear")
        for token, x in enumerate(np.rint(logits / STEP).astype(np.int64)):
            await tested.begin()
            await tested.exchange([gates[token]], f"token {token}", i=[*x, *x])
            assert dut.choice.value == int(experts[token])
