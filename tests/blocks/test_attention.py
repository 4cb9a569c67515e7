"""`rtl_gen.blocks.attention` against `rtl_gen.golden.attention`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_gen.blocks.attention import Attention
from rtl_gen.fabric import rom
from rtl_gen.golden.attention import attention
from rtl_gen.ir import tables
from rtl_gen.ir.types import Dyadic, IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb

I8 = IntType(8)
Draw = Callable[[np.random.Generator, int], NDArray[np.int64]]


def drawn(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Any i8 numbers."""
    return numbers(rng, I8, count)


def lowest(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """The number whose square is the largest product."""
    return np.full(count, I8.min)


def ends(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Only the ends of the range: scores as far apart as they can be."""
    return rng.choice([I8.min, I8.max], count)


SCENES: list[tuple[str, Draw, Draw, Draw, Dyadic, int, IntType]] = [
    ("any numbers", drawn, drawn, drawn, Dyadic(37, 12), 31, I8),
    ("equal scores", lowest, lowest, drawn, Dyadic(65535, 0), 27, IntType(16)),
    ("one position takes all", ends, ends, ends, Dyadic(65535, 3), 31, I8),
    ("all positions alike", ends, ends, lowest, Dyadic(1, 47), 25, IntType(16)),
    ("soft", drawn, drawn, ends, Dyadic(40000, 23), 28, IntType(12)),
]
"""Name; how q, k and v are drawn; score; shift; type of the result."""


def test_golden_of_one_position_is_its_value() -> None:
    v = np.array([-128, -1, 0, 127])
    y = attention(
        np.zeros((1, 4), np.int64), np.zeros((1, 1, 1, 4), np.int64), v.reshape(1, 1, 1, 4), 1,
        Dyadic(1, 0), 31, I8,
    )  # fmt: skip
    # L = 2**15 has 16 bits, m = 512, and the middle of that bin is 2**-10 above the truth.
    assert y.tolist() == [[-128, -1, 0, 127]]


def test_golden_scores_far_below_the_maximum_weigh_nothing() -> None:
    q = np.full((1, 2), 127)
    keys = np.array([[-128, -128], [127, 127]]).reshape(1, 2, 1, 2)
    values = np.array([[-100, 100], [50, -50]]).reshape(1, 2, 1, 2)
    assert attention(q, keys, values, 1, Dyadic(65535, 0), 31, I8).tolist() == [[50, -50]]


def test_golden_query_heads_share_key_heads_in_order() -> None:
    values = np.array([[[10], [20]]]).reshape(1, 1, 2, 1)
    keys = np.zeros_like(values)
    y = attention(np.zeros((1, 4), np.int64), keys, values, 4, Dyadic(1, 0), 31, I8)
    assert y.tolist() == [[10, 10, 20, 20]]


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim", "context", "layers"),
    [(2, 1, 8, 4, 2), (4, 2, 5, 3, 1), (1, 1, 1, 9, 1), (3, 3, 2, 1, 2)],
)
def test_block_equals_golden(
    heads: int, kv_heads: int, head_dim: int, context: int, layers: int, tmp_path: Path
) -> None:
    shape = {
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "context": context,
        "layers": layers,
    }
    run_cocotb(
        Attention(**shape, width=16),
        module=__name__,
        build_dir=tmp_path,
        parameters=shape,
        files={
            "rom/exp2.hex": rom.image(tables.exp2(), 16),
            "rom/reciprocal.hex": rom.image(tables.reciprocal(), 16),
        },
    )


@cocotb.test()
@paced
async def whole_contexts_layer_by_layer(dut: Any, idle: str, stall: str) -> None:
    heads, kv_heads, head_dim, context, layers = parameters().values()
    bench = Bench(dut, ["q", "k", "v"], idle, stall)
    await bench.reset(
        start=0, attend=0, position=0, cache_base=0, score_multiplier=1, score_shift=0,
        shift=31, low=0, high=0,
    )  # fmt: skip
    for name, draw_q, draw_k, draw_v, score, shift, out in SCENES:
        cached = (1, layers, context, kv_heads, head_dim)
        keys, values = (
            draw(bench.rng, int(np.prod(cached))).reshape(cached) for draw in (draw_k, draw_v)
        )
        for position in range(context):
            for layer in range(layers):
                ports = {
                    "position": position,
                    "cache_base": layer * kv_heads * context,
                    "score_multiplier": score.multiplier,
                    "score_shift": score.shift,
                    "shift": shift,
                    "low": out.min,
                    "high": out.max,
                }
                where = f"{name}, layer {layer}, position {position}"
                await bench.begin(attend=0, **ports)
                k, v = (x[0, layer, position].ravel() for x in (keys, values))
                await bench.exchange([], where, k=k, v=v)
                await bench.drained()
                q = draw_q(bench.rng, heads * head_dim)
                seen = slice(position + 1)
                y = attention(
                    q[None], keys[:, layer, seen], values[:, layer, seen], heads, score, shift, out
                )
                await bench.begin(attend=1, **ports)
                await bench.exchange(y[0], where, q=q)
