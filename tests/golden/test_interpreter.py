"""Steps, whole sequences and generation agree with each other and with docs/ir.md."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtl_gen.golden import interpreter
from rtl_gen.golden.sample import initial_rng, sample
from rtl_gen.ir.integer import Sample
from tests.graphs import SEED, image, language


def test_sequences_equal_repeated_steps():
    graph = language()
    tokens = np.random.default_rng(SEED).integers(0, graph.vocabulary, (3, graph.context))
    whole = interpreter.sequences(graph, {"tokens": tokens})
    state = interpreter.initial_state(graph, 3)
    for t in range(graph.context):
        values, state = interpreter.step(graph, {"tokens": tokens[:, t]}, state)
        assert values.keys() == whole.keys()
        for name, value in values.items():
            np.testing.assert_array_equal(value, whole[name][:, t], err_msg=f"{name} at {t}")
    assert state.position == graph.context


def test_values_lie_in_their_types():
    graph = language()
    tokens = np.random.default_rng(SEED).integers(0, graph.vocabulary, (20, graph.context))
    whole = interpreter.sequences(graph, {"tokens": tokens})
    for node in graph.nodes:
        if not isinstance(node.op, Sample):
            value = whole[node.name]
            assert value.dtype == np.int64
            assert node.value.type.min <= value.min() <= value.max() <= node.value.type.max
            assert len(np.unique(value)) > 3, f"{node.name} hardly varies: the test is empty"


def test_frames_of_a_batch_are_independent():
    graph = image()
    x = np.random.default_rng(SEED).integers(-128, 128, (4, 2, 7, 6))
    values, _ = interpreter.step(graph, {"frame": x}, interpreter.initial_state(graph, 4))
    for n in range(4):
        state = interpreter.initial_state(graph, 1)
        alone, _ = interpreter.step(graph, {"frame": x[n : n + 1]}, state)
        np.testing.assert_array_equal(alone["logits"][0], values["logits"][n])


def by_hand(graph, prompt, beta, seed, limit):
    """docs/ir.md "A sequence", literally."""
    prompt = list(prompt) or list(graph.bos)
    rng, state, tokens = initial_rng(seed), interpreter.initial_state(graph, 1), []
    noise = graph.constants["noise"].data
    for position in range(graph.context):
        token = prompt[position] if position < len(prompt) else tokens[-1]
        values, state = interpreter.step(graph, {"tokens": np.array([token])}, state)
        if position < len(prompt) - 1:
            continue
        drawn, rng = sample(values["logits"][0], noise, graph.nodes[-1].op.shift, beta, rng)
        tokens.append(drawn)
        if drawn in graph.eos or len(tokens) == limit:
            break
    return tokens


@pytest.mark.parametrize("prompt", [[], [3], [4, 5, 6], [*range(1, 11), 1, 2]])
@pytest.mark.parametrize(("beta", "limit"), [(0, 0), (0, 2), (40, 0), (40, 5)])
def test_generate(prompt, beta, limit):
    graph = replace(language(), eos=())
    for seed in range(3):
        got = list(interpreter.generate(graph, prompt, beta=beta, seed=seed, limit=limit))
        assert got == by_hand(graph, prompt, beta, seed, limit)
        full = graph.context - max(len(prompt), 1) + 1
        assert len(got) == (min(limit, full) if limit else full)


def test_generation_ends_with_eos():
    graph = replace(language(), eos=())
    tokens = list(interpreter.generate(graph, [3], beta=40, seed=7))
    end = tokens[3]
    stopped = list(interpreter.generate(replace(graph, eos=(end,)), [3], beta=40, seed=7))
    assert stopped == tokens[: tokens.index(end) + 1]


def test_a_full_context_goes_on_with_its_last_tokens():
    graph = replace(language(), eos=(), replay=5)
    tokens = [3, 1, 4]
    for _ in range(3):
        begin = tokens[-5:] if len(tokens) > 3 else tokens
        tokens += interpreter.generate(replace(graph, replay=0), begin, beta=0, seed=0)
    limit = len(tokens) - 3
    assert limit == 10 + 2 * 8
    assert [3, 1, 4, *interpreter.generate(graph, [3, 1, 4], beta=0, seed=0, limit=limit)] == tokens


def test_a_draw_goes_on_where_the_full_context_left_it():
    graph = replace(language(), eos=(), replay=2)
    long, short = (
        list(interpreter.generate(g, [3], beta=40, seed=7, limit=30))
        for g in (graph, replace(graph, replay=0))
    )
    assert long[: len(short)] == short
    assert len(long) == 30


def test_generate_refuses_what_it_cannot_start():
    graph = language()
    with pytest.raises(ValueError, match="13 tokens does not fit the context of 12"):
        next(interpreter.generate(graph, [1] * 13, beta=0, seed=0))
    with pytest.raises(ValueError, match="no bos token"):
        next(interpreter.generate(replace(graph, bos=()), [], beta=0, seed=0))
    with pytest.raises(ValueError, match="no Sample node"):
        next(interpreter.generate(image(), [1], beta=0, seed=0))
    with pytest.raises(ValueError, match=r"elements must lie in \[0, 10\], found \[11, 11\]"):
        next(interpreter.generate(graph, [11], beta=0, seed=0))


def test_step_refuses_a_full_context_and_wrong_inputs():
    graph = language()
    full = replace(interpreter.initial_state(graph, 1), position=graph.context)
    with pytest.raises(ValueError, match="context of 12 positions is full"):
        interpreter.step(graph, {"tokens": np.array([1])}, full)
    start = interpreter.initial_state(graph, 1)
    with pytest.raises(ValueError, match="input tokens is missing"):
        interpreter.step(graph, {"x": np.array([1])}, start)
    with pytest.raises(ValueError, match="expected int64"):
        interpreter.step(graph, {"tokens": np.array([[1.0]])}, start)
