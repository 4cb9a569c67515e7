"""`rtl_gen.blocks.sample` against `rtl_gen.golden.sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

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


def test_golden_frequencies_follow_the_softmax() -> None:
    logits, shift = np.array([0, 16, 32, -16]), 4
    chances = np.exp(logits / 16.0)
    chances /= chances.sum()
    inverse_temperature, state, draws = beta(1.0, 1 / 16, shift), initial_rng(7), 4000
    counts = np.zeros(4)
    for _ in range(draws):
        token, state = sample(logits, NOISE, shift, inverse_temperature, state)
        counts[token] += 1
    # Five standard deviations of a binomial count; the generator is fixed, so is the outcome.
    assert (abs(counts - draws * chances) < 5 * np.sqrt(draws * chances * (1 - chances))).all()


@pytest.mark.cocotb
@pytest.mark.parametrize(
    ("width", "vocabulary", "elements"),
    [(16, 32, 1), (8, 1, 1), (12, 11, 1), (16, 6, 2), (10, 16, 4)],
)
def test_block_equals_golden(width: int, vocabulary: int, elements: int, tmp_path: Path) -> None:
    run_cocotb(
        Sample(width=width, vocabulary=vocabulary, elements=elements),
        module=__name__,
        build_dir=tmp_path,
        parameters={"width": width, "vocabulary": vocabulary, "elements": elements},
        files={"rom/gumbel.hex": rom.image(NOISE, 16)},
    )


@cocotb.test()
@paced
async def tokens_and_random_states(dut: Any, idle: str, stall: str) -> None:
    kind, vocabulary = IntType(parameters()["width"]), parameters()["vocabulary"]
    elements = parameters()["elements"]
    bench = Bench(dut, ["i"], idle, stall, signed=False, elements=elements, out_elements=1)
    await bench.reset(start=0, load=0, seed=0, beta=0, shift=0)
    seeds = [before(0x0000FFFF), before(1), before(0xFFFF0000), WORD]
    cases = [(0, 0), (1, 0), (65535, 0), (65535, MAX_SHIFT), (1, MAX_SHIFT), (3000, 9)]
    for inverse_temperature, shift in cases:
        rng = seeds[len(seeds) - 1] if not seeds else seeds.pop(0) if len(seeds) > 1 else seeds[0]
        configure(dut, {"beta": inverse_temperature, "shift": shift, "seed": rng, "load": 1})
        await bench.begin()
        dut.load.value = 0
        for logits in (
            numbers(bench.rng, kind, vocabulary),
            np.full(vocabulary, kind.min),
            np.full(vocabulary, kind.max),
            numbers(bench.rng, IntType(4), vocabulary),
        ):
            # The state runs on from token to token, and stays where it is when greedy.
            token, rng = sample(logits, NOISE, shift, inverse_temperature, rng)
            await bench.begin()
            await bench.exchange([token], f"beta {inverse_temperature}, shift {shift}", i=logits)


@cocotb.test()
async def token_7_cycles_and_one_per_doubling_after_the_last_logit(dut: Any) -> None:
    vocabulary, elements = parameters()["vocabulary"], parameters()["elements"]
    bench = Bench(dut, ["i"], "steady", "steady", signed=False, elements=elements, out_elements=1)
    await bench.reset(start=0, load=0, seed=1, beta=1, shift=0)
    await bench.begin()
    assert await bench.cycles(1, i=[0] * vocabulary) == (
        vocabulary // elements - 1 + 7 + elements.bit_length() - 1
    )
