"""Whole chips of many shapes against the golden interpreter, from tiny random checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from flow.testbench.stream import StreamSink, StreamSource, pauses, start
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.emit import emit
from rtl_gen.errors import UnsupportedError
from rtl_gen.golden import interpreter
from rtl_gen.golden.sample import initial_rng
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.plan import Plan
from rtl_gen.quantize import Examples, Recipe, quantize
from rtl_gen.reference import load_weights
from tests import checkpoints
from tests.harness import parameters, run_cocotb, seed

BETA = 700
LAST = 1 << 16

TOKEN_MODELS: dict[str, tuple[Any, dict[str, Any], Plan]] = {
    "llama": (checkpoints.tiny_llama, {}, Plan(4)),
    # Gate and up below one another: 5 groups, the third shared, instead of 6.
    "llama_stacked": (checkpoints.tiny_llama, {"intermediate_size": 10}, Plan(4)),
    "llama_heads_at_once": (checkpoints.tiny_llama, {}, Plan(16, elements=2, heads=2)),
    "llama_top_k": (checkpoints.tiny_llama, {}, Plan(4, elements=2, top_k=3)),
    "llama_biased_untied_wide_head": (
        checkpoints.tiny_llama,
        {
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": False,
            "hidden_size": 12,
            "head_dim": 6,
            "num_attention_heads": 3,
            "num_key_value_heads": 3,
            "intermediate_size": 10,
            "vocab_size": 19,
            "eos_token_id": [3, 7],
        },
        Plan(8, heads=3),
    ),
    "llama_one_layer_no_bos": (
        checkpoints.tiny_llama,
        {"num_hidden_layers": 1, "bos_token_id": None, "eos_token_id": None},
        Plan(1),
    ),
    "llama_llama3_rope": (
        checkpoints.tiny_llama,
        {
            "hidden_act": "relu",
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8,
            },
        },
        Plan(16, elements=2),
    ),
    # Matrices wired in space: rotated rows, a table behind them, a residual sum, the sampler.
    "llama_serial": (
        checkpoints.tiny_llama,
        {"num_hidden_layers": 1, "vocab_size": 14},
        Plan(
            4,
            styles=(
                ("layers.0.attention.q.weight", "serial"),
                ("layers.0.mlp.gate.weight", "serial"),
                ("layers.0.mlp.down.weight", "serial"),
            ),
        ),
    ),
    "llama_parallel_wide": (
        checkpoints.tiny_llama,
        {"num_hidden_layers": 1, "vocab_size": 14},
        Plan(
            4,
            elements=2,
            styles=(
                ("layers.0.attention.k.weight", "parallel"),
                ("layers.0.mlp.up.weight", "serial"),
                ("logits.weight", "parallel"),
            ),
        ),
    ),
    "gpt2": (checkpoints.tiny_gpt2, {}, Plan(4, elements=4)),
    # The last beat of the logits is partial.
    "micro_gpt": (
        checkpoints.tiny_micro_gpt,
        {"n_embd": 12, "n_head": 2, "vocab_size": 13},
        Plan(8, elements=2),
    ),
    "micro_gpt_serial": (
        checkpoints.tiny_micro_gpt,
        {"vocab_size": 11},
        Plan(4, elements=4, styles=(("logits.weight", "serial"),)),
    ),
    "gpt2_wide": (checkpoints.tiny_gpt2, {"n_embd": 12, "n_head": 3, "n_inner": 20}, Plan(32)),
}

SPACE_MODELS: dict[str, tuple[Any, dict[str, Any], Plan]] = {
    # Rotation and gate, one position of the cache at once.
    "llama_in_space": (
        checkpoints.tiny_llama,
        {"num_hidden_layers": 1, "vocab_size": 14},
        Plan(1, binding="space", positions=1),
    ),
    "gpt2_in_space": (
        checkpoints.tiny_gpt2,
        {"n_layer": 1},
        Plan(1, binding="space", styles=(("layers.0.mlp.up.weight", "serial"),)),
    ),
    "micro_gpt_in_space": (
        checkpoints.tiny_micro_gpt,
        {},
        Plan(1, binding="space", tables="products"),
    ),
    "micro_gpt_in_turns": (
        checkpoints.tiny_micro_gpt,
        {},
        Plan(1, binding="space", sharing=4),
    ),
}
"""Chips in which every operator has hardware of its own."""

REPLAY = {"llama_one_layer_no_bos": 5}
"""Models whose text goes on when the context is full, with so many of its last tokens."""

FRAME_MODELS: dict[str, tuple[Any, dict[str, Any], Plan]] = {
    "mlp": (checkpoints.tiny_mlp, {}, Plan(2)),
    "cnn": (checkpoints.tiny_cnn, {}, Plan(4)),
    "cnn_one_lane": (checkpoints.tiny_cnn, {}, Plan(1)),
}


POWERS = {"micro_gpt_in_turns"}
"""Models whose factors are powers of two, so that elements of a norm have one gain."""


def lowered(path: Path, inputs: Any, recipe: Recipe | None = None) -> IntegerGraph:
    checkpoint = open_checkpoint(path)
    model = import_model(checkpoint)
    weights = load_weights(model, checkpoint)
    recipe = recipe or Recipe(solver="nearest")
    return quantize(model, weights, recipe, Examples(inputs(model)), {})


def test_a_head_that_ends_within_a_beat_is_refused(tmp_path: Path) -> None:
    graph = lowered(
        checkpoints.tiny_micro_gpt(tmp_path, n_embd=24, n_head=4),
        lambda model: np.zeros((1, model.context), np.int64),
    )
    with pytest.raises(
        UnsupportedError, match="vector of 6 elements is not a whole number of beats"
    ):
        emit(graph, Plan(24, elements=4))


@pytest.mark.cocotb
@pytest.mark.parametrize("name", [*TOKEN_MODELS, *SPACE_MODELS])
def test_token_chip_equals_golden(name: str, tmp_path: Path) -> None:
    make, overrides, plan = (TOKEN_MODELS | SPACE_MODELS)[name]
    rng = np.random.default_rng(seed())
    graph = lowered(
        make(tmp_path / "checkpoint", **overrides),
        lambda model: rng.integers(0, model.vocabulary, (8, model.context)),
        Recipe(solver="nearest", factors="powers" if name in POWERS else "free"),
    )
    graph = replace(graph, replay=REPLAY.get(name, 0))
    chip = emit(graph, plan)
    cases = []
    for case in range(4):
        prompt = [*graph.bos, *rng.integers(0, graph.vocabulary, case).tolist()] or [1]
        endless = 3 * graph.context if graph.replay else 0
        beta, limit = (0, BETA)[case % 2], (endless, 5)[case == 2]
        # Of the sampled sequences the first draws among the largest logits, the second among all.
        registers = {"beta": beta, "limit": limit, "top_k": plan.top_k if case == 1 else 0}
        want = list(interpreter.generate(graph, prompt, seed=case, **registers))
        if registers["top_k"]:
            assert want != list(
                interpreter.generate(graph, prompt, seed=case, **registers | {"top_k": 0})
            )
        cases.append({"prompt": prompt, **registers, "seed": initial_rng(case), "want": want})
    # One token too many: the chip says so and goes on.
    overlong = [0] * (graph.context + 1)
    cases.insert(2, {"prompt": overlong, "seed": 1, "want": [0xFFFF]})
    assert sum(len(case["want"]) for case in cases) > 12
    run_cocotb(
        chip.verilog,
        module=__name__,
        build_dir=tmp_path / "run",
        parameters={"cases": cases},
        files=chip.images,
        testcase="sequences",
        top="chip",
    )


@cocotb.test()
async def sequences(dut: Any) -> None:
    rng = np.random.default_rng(seed())
    source = StreamSource(dut, "i", idle=pauses(rng, 0.3))
    sink = StreamSink(dut, "o", stall=pauses(rng, 0.3))
    registers = [n for n in ("seed", "beta", "limit", "top_k") if hasattr(dut, n)]
    for name in ("start", "id_addr", *registers):
        getattr(dut, name).value = 0
    await start(dut, source, sink)
    for case in parameters()["cases"]:
        for name in registers:
            getattr(dut, name).value = case.get(name, 0)
        *head, tail = case["prompt"]
        source.send([*head, tail | LAST])
        *middle, end = case["want"]
        got = await sink.receive(len(case["want"]))
        assert [word % LAST for word in got] == case["want"], case
        assert [word >= LAST for word in got] == [*[False] * len(middle), True]
        assert end is not None


@pytest.mark.cocotb
@pytest.mark.parametrize("name", FRAME_MODELS)
def test_frame_chip_equals_golden(name: str, tmp_path: Path) -> None:
    make, overrides, plan = FRAME_MODELS[name]
    rng = np.random.default_rng(seed())

    def frames(model: Any) -> Any:
        return rng.normal(size=(16, *model.inputs[0].shape))

    graph = lowered(make(tmp_path / "checkpoint", **overrides), frames)
    value = graph.inputs[0].value
    x = rng.integers(value.type.min, value.type.max + 1, (3, *value.shape))
    values, _ = interpreter.step(
        graph, {graph.inputs[0].name: x}, interpreter.initial_state(graph, len(x))
    )
    chip = emit(graph, plan)
    run_cocotb(
        chip.verilog,
        module=__name__,
        build_dir=tmp_path / "run",
        parameters={
            "frames": x.reshape(len(x), -1).tolist(),
            "want": values[graph.outputs["logits"]].tolist(),
        },
        files=chip.images,
        testcase="frames",
        top="chip",
    )


@cocotb.test()
async def frames(dut: Any) -> None:
    rng = np.random.default_rng(seed())
    source = StreamSource(dut, "i", idle=pauses(rng, 0.3))
    sink = StreamSink(dut, "o", stall=pauses(rng, 0.3))
    dut.id_addr.value = 0
    await start(dut, source, sink)
    for frame, want in zip(parameters()["frames"], parameters()["want"], strict=True):
        words = [value & 0xFFFF for value in frame]
        source.send([*words[:-1], words[-1] | LAST])
        got = await sink.receive(len(want))
        assert [word % LAST for word in got] == [value & 0xFFFF for value in want]
        assert [word >= LAST for word in got] == [*[False] * (len(want) - 1), True]


def test_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    make, overrides, plan = TOKEN_MODELS["llama"]
    graph = lowered(make(tmp_path, **overrides), lambda model: np.arange(16).reshape(1, 16))
    first, second = emit(graph, plan), emit(graph, plan)
    assert first == second


def test_new_weights_keep_the_verilog(tmp_path: Path) -> None:
    chips = [
        emit(
            lowered(
                checkpoints.tiny_llama(tmp_path / str(case), seed=case),
                lambda model: np.arange(16).reshape(1, 16),
            ),
            Plan(4),
        )
        for case in (1, 2)
    ]
    assert chips[0].verilog == chips[1].verilog
    assert chips[0].images["rom/matvec_weight.hex"] != chips[1].images["rom/matvec_weight.hex"]
    assert chips[0].manifest["identity"] != chips[1].manifest["identity"]


def test_frames_refuse_wide_beats(tmp_path: Path) -> None:
    graph = lowered(
        checkpoints.tiny_mlp(tmp_path),
        lambda model: np.random.default_rng(seed()).normal(size=(4, *model.inputs[0].shape)),
    )
    with pytest.raises(UnsupportedError, match=r"set `plan.elements` to 1"):
        emit(graph, Plan(4, elements=2))
