"""`rtl_gen.blocks.sample` against `rtl_gen.golden.sample`."""

from __future__ import annotations

from itertools import chain, cycle, repeat
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from rtl_gen.blocks.sample import MAX_SHIFT, Sample
from rtl_gen.fabric import rom
from rtl_gen.golden.sample import advance, beta, initial_rng, sample
from rtl_gen.ir import tables
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench, configure, numbers, paced
from tests.harness import parameters, run_cocotb

NOISE = tables.gumbel()
WORD = 0xFFFFFFFF


def before(state: int) -> int:
    """The state that `advance` takes to `state`: each xorshift undone, last one first."""
    for shift in (5, -17, 13):
        known = state
        for _ in range(32 // abs(shift)):
            known = state ^ (known << shift & WORD if shift > 0 else known >> -shift)
        state = known
    return state


def test_before_inverts_advance() -> None:
    for state in (1, 0xDEADBEEF, 0x80000000, WORD):
        assert advance(before(state)) == state


def test_golden_greedy_takes_the_first_of_equal_logits_and_keeps_the_state() -> None:
    assert sample(np.array([-3, 7, 7, 2]), NOISE, 0, 0, 123) == (1, 123)


def test_golden_sampling_advances_once_per_logit() -> None:
    state = 123
    for _ in range(4):
        state = advance(state)
    assert sample(np.array([-3, 7, 7, 2]), NOISE, 0, 256, 123)[1] == state


def test_golden_random_word_zero_uses_the_last_octave() -> None:
    # With w = 0 the noise is the largest of all, so a lower first logit wins.
    rng = before(0x0000FFFF)
    assert NOISE[64 * 15] == NOISE.max()
    assert sample(np.array([0, 5]), NOISE, 0, 256, rng)[0] == 0
    assert sample(np.array([0, 5]), NOISE, 0, 0, rng)[0] == 1


def test_golden_seed_that_hashes_to_zero_starts_at_one() -> None:
    inverse = pow(2654435769, -1, 1 << 32)
    assert initial_rng(-0x9E3779B9 * inverse % (1 << 32)) == 1


def test_golden_beta_is_clipped_to_its_register() -> None:
    assert beta(0.0, 0.1, 4) == 0
    assert beta(1e9, 0.1, 0) == 1
    assert beta(1e-9, 0.1, 0) == 65535


def test_golden_top_1_is_the_greedy_token_and_advances_like_all() -> None:
    for state in (1, 77, WORD):
        logits = np.array([4, -3, 7, 7, 2])
        token, after = sample(logits, NOISE, 3, 9, state, 1)
        assert token == sample(logits, NOISE, 3, 0, state)[0] == 2
        assert after == sample(logits, NOISE, 3, 9, state)[1]


def test_golden_top_k_gives_the_earlier_of_equal_logits_a_place() -> None:
    logits = np.array([0, 5, 1, 5, 1, 1])
    drawn = {sample(logits, NOISE, 8, 1, initial_rng(k), 3)[0] for k in range(200)}
    assert drawn == {1, 2, 3}


def test_golden_top_k_of_the_whole_vocabulary_is_all() -> None:
    for state in range(1, 50):
        logits = np.arange(6) * 40
        expected = sample(logits, NOISE, 4, 9, state)
        assert sample(logits, NOISE, 4, 9, state, 6) == expected
        assert sample(logits, NOISE, 4, 9, state, 250) == expected


def test_golden_frequencies_follow_the_softmax() -> None:
    logits, shift = np.array([0, 16, 32, -16]), 4
    chances = np.exp(logits / 16.0)
    chances /= chances.sum()
    inverse_temperature, state, draws = beta(1.0, 1 / 16, shift), initial_rng(7), 4000
    for top_k, part in ((0, chances), (2, np.where(logits >= 16, chances, 0))):
        counts = np.zeros(4)
        for _ in range(draws):
            token, state = sample(logits, NOISE, shift, inverse_temperature, state, top_k)
            counts[token] += 1
        p = part / part.sum()
        # Five standard deviations of a binomial count; the generator is fixed, so is the outcome.
        assert (abs(counts - draws * p) <= 5 * np.sqrt(draws * p * (1 - p))).all()


SHAPES = [
    {"width": 16, "vocabulary": 32, "elements": 1, "places": 0},
    {"width": 8, "vocabulary": 1, "elements": 1, "places": 0},
    {"width": 12, "vocabulary": 11, "elements": 1, "places": 0},
    {"width": 16, "vocabulary": 6, "elements": 2, "places": 0},
    {"width": 10, "vocabulary": 16, "elements": 4, "places": 0},
    {"width": 16, "vocabulary": 40, "elements": 1, "places": 5},
    {"width": 8, "vocabulary": 1, "elements": 1, "places": 1},
    {"width": 12, "vocabulary": 40, "elements": 8, "places": 4},
    {"width": 9, "vocabulary": 6, "elements": 2, "places": 9},
    # The last beat is partial.
    {"width": 12, "vocabulary": 27, "elements": 2, "places": 0},
    {"width": 10, "vocabulary": 13, "elements": 4, "places": 3},
    {"width": 9, "vocabulary": 3, "elements": 8, "places": 0},
]


@pytest.mark.cocotb
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_block_equals_golden(shape: dict[str, int], tmp_path: Path) -> None:
    run_cocotb(
        Sample(**shape),
        module=__name__,
        build_dir=tmp_path,
        parameters=shape,
        files={"rom/gumbel.hex": rom.image(NOISE, 16)},
    )


async def opened(dut: Any, idle: str, stall: str) -> Bench:
    """A bench whose ports are all known."""
    elements = parameters()["elements"]
    bench = Bench(dut, ["i"], idle, stall, signed=False, elements=elements, out_elements=1)
    top_k = {"top_k": 0} if parameters()["places"] else {}
    await bench.reset(start=0, load=0, seed=1, beta=1, shift=0, **top_k)
    return bench


@cocotb.test()
@paced
async def tokens_and_random_states(dut: Any, idle: str, stall: str) -> None:
    kind, vocabulary = IntType(parameters()["width"]), parameters()["vocabulary"]
    places = parameters()["places"]
    bench = await opened(dut, idle, stall)
    seeds = chain([before(0x0000FFFF), before(1), before(0xFFFF0000)], repeat(WORD))
    cases = [(0, 0), (1, 0), (65535, 0), (65535, MAX_SHIFT), (1, MAX_SHIFT), (3000, 9)]
    kept = cycle([places, 0, 1, 255, max(1, places - 1)] if places else [0])
    for (inverse_temperature, shift), first, top_k in zip(cases, seeds, kept, strict=False):
        rng = first
        configure(dut, {"beta": inverse_temperature, "shift": shift, "seed": rng, "load": 1})
        if places:
            dut.top_k.value = top_k
        await bench.begin()
        dut.load.value = 0
        rising = np.sort(numbers(bench.rng, kind, vocabulary))
        for logits in (
            numbers(bench.rng, kind, vocabulary),
            np.full(vocabulary, kind.min),
            np.full(vocabulary, kind.max),
            numbers(bench.rng, IntType(4), vocabulary),
            *([rising, rising[::-1], rising >> 3] if places else []),
        ):
            # The state runs on from token to token, and stays where it is when greedy.
            token, rng = sample(logits, NOISE, shift, inverse_temperature, rng, min(top_k, places))
            await bench.begin()
            where = f"beta {inverse_temperature}, shift {shift}, top_k {top_k}"
            await bench.exchange([token], where, i=whole(logits, kind))


def whole(logits: NDArray[np.int64], kind: IntType) -> NDArray[np.int64]:
    """Whole beats: the largest number behind the last logit, where nothing may look."""
    return np.pad(logits, (0, -len(logits) % parameters()["elements"]), constant_values=kind.max)


@cocotb.test()
async def cycles_after_the_last_logit(dut: Any) -> None:
    vocabulary, elements = parameters()["vocabulary"], parameters()["elements"]
    places = parameters()["places"]
    bench = await opened(dut, "steady", "steady")
    await bench.begin()
    latency = 7 + elements.bit_length() - 1 + (places > 0)
    beats = -(-vocabulary // elements)
    assert await bench.cycles(1, i=[0] * beats * elements) == beats - 1 + latency
    if places:
        # A beat takes one cycle at least, and at most one for each of its logits.
        dut.top_k.value = places
        await bench.begin()
        taken = await bench.cycles(1, i=[0] * beats * elements)
        assert beats <= taken - places - 8 <= vocabulary
