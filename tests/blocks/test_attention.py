"""`rtl_gen.blocks.attention` against `rtl_gen.golden.attention`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_gen.blocks.attention import Attention, cache_heads, layer_words, slice_beats
from rtl_gen.errors import UnsupportedError
from rtl_gen.fabric import rom
from rtl_gen.fabric.beat import pack
from rtl_gen.golden.attention import attention
from rtl_gen.ir import tables
from rtl_gen.ir.types import Dyadic, IntType
from tests.blocks.drive import Bench, numbers, paced
from tests.harness import parameters, run_cocotb, seed

I8 = IntType(8)
SHAPE = ("heads", "kv_heads", "head_dim", "context", "layers", "element_bits", "elements",
         "parallel")  # fmt: skip
Draw = Callable[[np.random.Generator, IntType, int], NDArray[np.int64]]


def lowest(rng: np.random.Generator, kind: IntType, count: int) -> NDArray[np.int64]:
    """The number whose square is the largest product."""
    return np.full(count, kind.min)


def ends(rng: np.random.Generator, kind: IntType, count: int) -> NDArray[np.int64]:
    """Only the ends of the range: scores as far apart as they can be."""
    return rng.choice([kind.min, kind.max], count)


@dataclass(frozen=True)
class Scene:
    """How q, k and v are drawn, and the constants of the operator.

    `score` is for elements of 8 bits; narrower or wider ones get the shift that keeps z alike.
    """

    name: str
    q: Draw
    k: Draw
    v: Draw
    score: Dyadic
    shift: int
    out: IntType


SCENES = [
    Scene("any numbers", numbers, numbers, numbers, Dyadic(37, 12), 31, I8),
    Scene("equal scores", lowest, lowest, numbers, Dyadic(65535, 0), 27, IntType(16)),
    Scene("one position takes all", ends, ends, ends, Dyadic(65535, 3), 31, I8),
    Scene("all positions alike", ends, ends, lowest, Dyadic(1, 47), 25, IntType(16)),
    Scene("around the largest exponent", numbers, numbers, ends, Dyadic(1, 2), 30, I8),
    Scene("soft", numbers, numbers, ends, Dyadic(40000, 23), 28, IntType(12)),
]


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
    ("numbers_of_shape", "window", "sinks"),
    [
        ((2, 1, 8, 4, 2, 8, 1, 1), 0, False),
        ((4, 2, 5, 3, 1, 6, 1, 4), 0, False),
        ((1, 1, 1, 9, 1, 10, 1, 1), 0, False),
        ((3, 3, 2, 1, 2, 8, 1, 3), 0, False),
        ((2, 1, 6, 3, 1, 8, 2, 2), 0, False),
        ((2, 2, 4, 2, 1, 10, 4, 1), 0, False),
        ((4, 1, 4, 5, 2, 8, 2, 2), 0, False),
        ((8, 4, 4, 3, 2, 8, 4, 4), 0, False),
        ((1, 1, 1, 9, 1, 8, 1, 1), 3, False),
        ((4, 2, 4, 3, 2, 8, 2, 2), 1, False),
        ((1, 1, 2, 4, 1, 8, 2, 1), 0, True),
        ((4, 2, 4, 5, 2, 9, 2, 4), 3, True),
        # Slices of several beats and of one.
        ((2, 2, 16, 3, 2, 8, 1, 2), 0, False),
        ((4, 2, 8, 4, 2, 9, 4, 4), 0, False),
    ],
)
def test_block_equals_golden(
    numbers_of_shape: tuple[int, ...], window: int, sinks: bool, tmp_path: Path
) -> None:
    shape = dict(zip(SHAPE, numbers_of_shape, strict=True))
    rounds = shape["layers"] * shape["heads"] // shape["parallel"]
    block = Attention(**shape, width=16, windowed=window > 0, sinks=rounds if sinks else 0)
    files = {
        "rom/exp2.hex": rom.image(tables.exp2(), 16),
        "rom/reciprocal.hex": rom.image(tables.reciprocal(), 16),
    }
    scores: list[int] = []
    if sinks:
        top = shape["head_dim"] << 2 * shape["element_bits"] - 2
        count = shape["layers"] * shape["heads"]
        drawn = np.random.default_rng(seed()).integers(-top, top, count)
        drawn[0] = top
        scores = drawn.tolist()
        bits = block.units[0].score_bits
        files["rom/attention_sink.hex"] = rom.image(
            pack(scores, bits, shape["parallel"]), bits * shape["parallel"]
        )
    run_cocotb(
        block, module=__name__, build_dir=tmp_path, files=files,
        parameters=shape | {"window": window, "sinks": scores},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("heads", "kv_heads", "parallel", "together"),
    [(8, 4, 1, 1), (8, 4, 2, 1), (8, 4, 8, 4), (8, 2, 2, 1), (6, 6, 3, 3)],
)
def test_a_cache_word_holds_the_key_heads_read_at_once(
    heads: int, kv_heads: int, parallel: int, together: int
) -> None:
    assert cache_heads(heads, kv_heads, parallel) == together
    assert layer_words(heads, kv_heads, parallel, 10) == 10 * kv_heads // together


@pytest.mark.parametrize(
    ("beats", "bits", "together"),
    [(8, 36, 1), (16, 9, 4), (12, 9, 4), (10, 9, 5), (3, 8, 3), (1, 8, 1)],
)
def test_a_slice_fills_a_block(beats: int, bits: int, together: int) -> None:
    assert slice_beats(beats, bits) == together


def test_parallel_heads_share_whole_cache_words() -> None:
    with pytest.raises(UnsupportedError, match="3 attention heads at once do not divide 6 heads"):
        cache_heads(6, 3, 3)


def shape_of() -> list[int]:
    """Values of `SHAPE`."""
    return [parameters()[name] for name in SHAPE]


async def begin_bench(dut: Any, idle: str, stall: str) -> Bench:
    """A block out of reset."""
    bench = Bench(dut, ["q", "k", "v"], idle, stall, elements=parameters()["elements"])
    extra = {"reach": 0} if parameters()["window"] else {}
    extra |= {"sink_base": 0} if parameters()["sinks"] else {}
    await bench.reset(
        **extra, start=0, go=0, store=0, store_base=0, position=0, cache_base=0, score_multiplier=1,
        score_shift=0, shift=31, low=0, high=0,
    )  # fmt: skip
    return bench


async def play(bench: Bench, scene: Scene) -> None:
    """Fill the context of every layer, one position of each in turn, as a chip does."""
    heads, kv_heads, head_dim, context, layers, element_bits, _, parallel = shape_of()
    window, sinks = parameters()["window"], parameters()["sinks"]
    kind = IntType(element_bits)
    score_shift = min(max(scene.score.shift + 2 * (element_bits - 8), 0), 47)
    score = Dyadic(scene.score.multiplier, score_shift)
    shape = (1, layers, context, kv_heads, head_dim)
    keys, values = (
        draw(bench.rng, kind, int(np.prod(shape))).reshape(shape) for draw in (scene.k, scene.v)
    )
    for position in range(context):
        for layer in range(layers):
            base = layer * layer_words(heads, kv_heads, parallel, context)
            ports = {
                "position": position,
                "cache_base": base,
                "store_base": base,
                "score_multiplier": score.multiplier,
                "score_shift": score.shift,
                "shift": scene.shift,
                "low": scene.out.min,
                "high": scene.out.max,
            }
            # Of several layers only the first has a window.
            reach = (window if window and not layer else context) - 1
            ports |= {"reach": reach} if window else {}
            own = sinks[layer * heads :][:heads]
            ports |= {"sink_base": layer * heads // parallel} if sinks else {}
            where = f"{scene.name}, layer {layer}, position {position}"
            await bench.begin("store", go=0, **ports)
            k, v = (x[0, layer, position].ravel() for x in (keys, values))
            await bench.exchange([], where, k=k, v=v)
            await bench.drained()
            q = scene.q(bench.rng, kind, heads * head_dim)
            seen = slice(max(0, position - reach), position + 1)
            y = attention(
                q[None], keys[:, layer, seen], values[:, layer, seen], heads, score,
                scene.shift, scene.out, np.array(own) if sinks else None,
            )  # fmt: skip
            await bench.begin(**ports)
            bench.dut.go.value = 1
            await bench.exchange(y[0], where, q=q)


@cocotb.test()
@paced
async def whole_contexts_layer_by_layer(dut: Any, idle: str, stall: str) -> None:
    bench = await begin_bench(dut, idle, stall)
    for scene in SCENES:
        await play(bench, scene)


@cocotb.test()
async def nothing_is_scored_before_keys_and_values_are_in(dut: Any) -> None:
    heads, _, head_dim, *_ = shape_of()
    bench = await begin_bench(dut, "steady", "steady")
    await bench.begin()
    with pytest.raises(AssertionError, match="stopped before the last"):
        await bench.exchange([0] * heads * head_dim, "without go", q=[0] * heads * head_dim)


@cocotb.test()
async def a_head_waits_for_the_results_of_the_one_before(dut: Any) -> None:
    bench = await begin_bench(dut, "steady", "steady")
    # Longer than a head takes: the next head is ready to divide while results still wait.
    bench.sink.stall = (
        stalled
        for _ in itertools.count()
        for stalled in [False] * int(bench.rng.integers(1, 6)) + [True] * 120
    )
    await play(bench, SCENES[0])
