"""`rtl_gen.blocks.expert_choice` against `rtl_gen.golden.expert_choice`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from rtl_gen.blocks.expert_choice import ExpertChoice
from rtl_gen.golden.expert_choice import expert_choice
from tests.blocks.drive import Bench, paced
from tests.harness import parameters, run_cocotb

WIDTH = 15
ORACLE = Path(__file__).parents[2] / "../shared/oracles/expert_choice_moe_layer/reference.npz"


def test_golden_takes_the_earliest_of_equal_tokens() -> None:
    tokens, gates = expert_choice(np.array([[1, 9], [4, 9], [4, 2]]), 2)
    assert tokens.tolist() == [[1, 2], [0, 1]]
    assert gates.tolist() == [[4, 4], [9, 9]]


def test_golden_chooses_the_tokens_of_the_reference_layer() -> None:
    if not ORACLE.is_file():
        pytest.skip("needs ../shared/oracles/expert_choice_moe_layer")
    stored = np.load(ORACLE)
    scores = np.rint(stored["router_probs"][0].astype(np.float64) * (1 << 15)).astype(np.int64)
    tokens, gates = expert_choice(scores, stored["topk_tokens"].shape[1])
    assert [set(row) for row in tokens.tolist()] == [set(r) for r in stored["topk_tokens"].tolist()]
    expected = np.sort(stored["gates"], axis=1)[:, ::-1]
    np.testing.assert_allclose(gates / (1 << 15), expected, atol=2**-15)


@pytest.mark.parametrize(("tokens", "experts", "k"), [(8, 4, 3), (5, 2, 1), (6, 3, 6)])
def test_expert_choice(tmp_path: Path, tokens: int, experts: int, k: int) -> None:
    run_cocotb(
        ExpertChoice(tokens=tokens, experts=experts, k=k, width=WIDTH),
        module=__name__,
        build_dir=tmp_path,
        parameters={"tokens": tokens, "experts": experts, "k": k},
    )


@cocotb.test()
@paced
async def blocks(dut: Any, idle: str, stall: str) -> None:
    p = parameters()
    tokens, experts, k = p["tokens"], p["experts"], p["k"]
    bench = Bench(dut, ["i"], idle, stall, signed=False)
    await bench.reset()
    for high in (1, 3, 1 << WIDTH):  # all equal, many ties, hardly any
        scores = bench.rng.integers(0, high, (tokens, experts))
        chosen, gates = expert_choice(scores, k)
        wanted = (gates + (chosen << WIDTH)).ravel()
        await bench.exchange(wanted, f"{scores.tolist()}", i=scores.ravel())
