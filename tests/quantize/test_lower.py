"""Lowered graphs: valid, deterministic, near the float model; what has no integers is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.errors import QuantizationError
from rtl_gen.golden import interpreter
from rtl_gen.ir import integer as ir
from rtl_gen.ir import model as real
from rtl_gen.ir.serialize import to_bytes
from rtl_gen.ir.types import IntType
from rtl_gen.ir.verify import verify
from rtl_gen.quantize import Examples, Recipe, frame_integers, quality, quantize
from tests import checkpoints
from tests.graphs import SEED

RNG = np.random.default_rng(SEED)


def language(tmp_path: Path, config_and_tensors):
    checkpoint = open_checkpoint(checkpoints.write(tmp_path / "checkpoint", *config_and_tensors))
    model = import_model(checkpoint)
    return model, reference.load_weights(model, checkpoint)


def tokens(model, count: int) -> Examples:
    ids = np.random.default_rng(SEED).integers(0, model.vocabulary, (count, model.context + 1))
    return Examples(ids[:, :-1], ids[:, 1:])


def network(*layers: tuple[str, real.ModelOp, tuple[int, ...]], shape: tuple[int, ...]):
    """Chain of named operators on a frame, with random weights."""
    nodes, weights, x = [], {}, "frame"
    for name, op, out in layers:
        for ref in reference.interpreter.tensors(op):
            rows = out[0]
            if ref.name.endswith("bias"):
                weights[ref] = RNG.normal(0, 0.5, rows)
            elif isinstance(op, real.Conv2d):
                weights[ref] = RNG.normal(
                    0, 0.4, (rows, nodes[-1].shape[0] if nodes else shape[0], 3, 3)
                )
            else:
                weights[ref] = RNG.normal(
                    0, 0.4, (rows, int(np.prod(nodes[-1].shape if nodes else shape)))
                )
        nodes.append(real.Node(name, op, (x,), out))
        x = name
    frame = real.Input("frame", "frame", shape)
    return real.ModelGraph("Plain", (frame,), tuple(nodes), {"logits": x}, 1), weights


def linear(name: str, bias: bool = True) -> real.Linear:
    offset = real.TensorRef(f"{name}.bias") if bias else None
    return real.Linear(real.TensorRef(f"{name}.weight"), offset)


def mlp(activation: real.ActivationKind):
    return network(
        ("first", linear("first"), (24,)),
        ("activation", real.Activation(activation), (24,)),
        ("second", linear("second"), (5,)),
        shape=(12,),
    )


def cnn():
    weight, bias = real.TensorRef("conv.weight"), real.TensorRef("conv.bias")
    return network(
        ("conv", real.Conv2d(weight, bias, (1, 1), (1, 1)), (6, 8, 8)),
        ("relu", real.Activation("relu"), (6, 8, 8)),
        ("pool", real.MaxPool2d((2, 2), (2, 2)), (6, 4, 4)),
        ("flat", real.Reshape(), (96,)),
        ("head", linear("head"), (7,)),
        shape=(2, 8, 8),
    )


@pytest.mark.parametrize("solver", ["gptq", "nearest"])
@pytest.mark.parametrize(
    "make",
    [
        checkpoints.llama,
        lambda: checkpoints.llama(num_key_value_heads=2, attention_bias=True, mlp_bias=True),
        lambda: checkpoints.llama(tie_word_embeddings=False),
        checkpoints.gpt2,
        lambda: checkpoints.gpt2(n_embd=10),
    ],
    ids=["llama", "llama-bias", "llama-untied", "gpt2", "gpt2-odd-heads"],
)
def test_language_models_keep_their_distribution_at_int8(tmp_path, make, solver):
    model, weights = language(tmp_path, make())
    graph = quantize(model, weights, Recipe(solver=solver), tokens(model, 32), {"a": "b"})
    verify(graph)
    assert graph.origin == {"a": "b"}
    found = quality(model, weights, graph, tokens(model, 40))
    assert found["quality__kl"] < 2e-3
    assert found["quality__greedy_agreement"] > 0.9
    assert abs(found["quality__loss__delta"]) < 0.02
    assert found["quality__steps"] == 40 * model.context


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh", "sigmoid"])
def test_mlp_outputs_are_near(activation):
    model, weights = mlp(activation)
    x = RNG.normal(size=(400, 12))
    graph = quantize(model, weights, Recipe(), Examples(x[:200]), {})
    want = reference.run(model, weights, {"frame": x[200:]})["logits"]
    integers = frame_integers(graph, x[200:])
    values, _ = interpreter.step(graph, {"frame": integers}, interpreter.initial_state(graph, 200))
    value = graph.value(graph.outputs["logits"])
    got = values[graph.outputs["logits"]] * value.scale
    error = np.sqrt(((got - want) ** 2).mean()) / want.std()
    assert error < 0.03, error


def test_cnn_outputs_are_near_and_relu_is_a_type():
    model, weights = cnn()
    x = RNG.uniform(0, 1, (300, 2, 8, 8))
    labels = reference.run(model, weights, {"frame": x})["logits"].argmax(-1)
    graph = quantize(model, weights, Recipe(), Examples(x[:100]), {})
    assert [type(node.op) for node in graph.nodes] == [
        ir.Conv2d, ir.MaxPool2d, ir.Reshape, ir.ConstMatVec,
    ]  # fmt: skip
    assert graph.value("conv").type == graph.value("flat").type == IntType(8, signed=False)
    found = quality(model, weights, graph, Examples(x[100:], labels[100:]))
    assert found["quality__accuracy__float"] == 1
    assert found["quality__accuracy__integer"] > 0.97
    assert found["quality__kl"] < 1e-3


def test_same_arguments_give_the_same_bytes(tmp_path):
    model, weights = language(tmp_path, checkpoints.llama())
    recipe = Recipe({"*": "int4"})
    first, second = (
        to_bytes(quantize(model, weights, recipe, tokens(model, 8), {})) for _ in range(2)
    )
    assert first == second


def test_recipe_sets_the_types(tmp_path):
    model, weights = language(tmp_path, checkpoints.llama())
    recipe = Recipe(
        {"*": "int4", "*.mlp.*": "int3", "embedding": "int8"},
        activation_bits=7,
        activations={"*.mlp.product": 11},
        attention_bits=9,
    )
    graph = quantize(model, weights, recipe, tokens(model, 8), {})
    assert graph.constants["layers.0.attention.q.weight"].type == IntType(4)
    assert graph.constants["layers.1.mlp.down.weight"].type == IntType(3)
    assert graph.constants["embedding.table"].type == IntType(8)
    assert graph.value("layers.0.attention.norm").type == IntType(7)
    assert graph.value("layers.0.mlp.product").type == IntType(11)
    assert graph.value("layers.0.attention.q_rotary").type == IntType(9)


def test_the_hardware_conventions_hold(tmp_path):
    model, weights = language(tmp_path, checkpoints.llama())
    graph = quantize(model, weights, Recipe(), tokens(model, 16), {})
    stream = {node.value.scale for node in graph.nodes if isinstance(node.op, ir.Add)}
    assert stream == {graph.value("embedding").scale}
    assert graph.value("layers.0.attention.output").scale in stream
    for node in graph.nodes:
        match node.op:
            case ir.Attention():
                q, k, v = (graph.value(name).type for name in node.inputs[:3])
                assert {q, k, v, node.value.type} == {IntType(8)}
            case ir.Rotary():
                assert graph.value(node.inputs[0]).type == IntType(16)
                assert node.op.shift == 20
                assert graph.constants[node.op.cos].data[0].tolist() == [16384] * 2
            case ir.Lookup():
                assert graph.value(node.inputs[0]).type == IntType(10)
            case ir.ConstMatVec():
                assert graph.constants[node.op.multiplier].data.max() >= 1 << 15
            case ir.Sample():
                scale = graph.value(node.inputs[0]).scale
                assert 512 <= scale * 2 ** (8 + node.op.shift) < 1024
    assert graph.outputs == {"logits": "logits", "token": "token"}


def test_padding_does_not_choose_scales(tmp_path):
    model, weights = language(tmp_path, checkpoints.llama())
    ids = tokens(model, 8).inputs
    mask = np.zeros(ids.shape, np.bool_)
    mask[:, :6] = True
    other = ids.copy()
    other[:, 6:] = 3
    graphs = [quantize(model, weights, Recipe(), Examples(x, None, mask), {}) for x in (ids, other)]
    assert to_bytes(graphs[0]) == to_bytes(graphs[1])


def test_gptq_beats_nearest_at_three_bits(tmp_path):
    model, weights = language(tmp_path, checkpoints.llama(hidden_size=32, intermediate_size=48))
    losses = {}
    for solver in ("nearest", "gptq"):
        recipe = Recipe({"*": "int3", "embedding": "int8"}, solver=solver)
        graph = quantize(model, weights, recipe, tokens(model, 64), {})
        losses[solver] = quality(model, weights, graph, tokens(model, 64))["quality__kl"]
    assert losses["gptq"] < 0.6 * losses["nearest"]


def test_a_relu_without_its_own_product_is_refused():
    model, weights = mlp("relu")
    doubled = real.Node("again", real.Activation("relu"), ("frame",), (12,))
    first = replace(model.nodes[0], inputs=("again",))
    broken = replace(model, nodes=(doubled, first, *model.nodes[1:]))
    with pytest.raises(QuantizationError, match="node again: a ReLU must follow a matrix product"):
        quantize(broken, weights, Recipe(), Examples(RNG.normal(size=(20, 12))), {})


def test_contradicting_readers_are_refused():
    model, weights = mlp("tanh")
    total = real.Node("sum", real.Add(), ("first", "activation"), (24,))
    last = replace(model.nodes[2], inputs=("sum",))
    broken = replace(model, nodes=(*model.nodes[:2], total, last))
    with pytest.raises(QuantizationError, match="value first: read by lookup and add"):
        quantize(broken, weights, Recipe(), Examples(RNG.normal(size=(20, 12))), {})


def test_an_empty_mask_is_refused(tmp_path):
    model, weights = language(tmp_path, checkpoints.llama())
    ids = tokens(model, 2).inputs
    with pytest.raises(QuantizationError, match="no step that counts"):
        quantize(model, weights, Recipe(), Examples(ids, None, np.zeros(ids.shape, bool)), {})


def test_refuses_an_epsilon_wider_than_the_hardware(tmp_path: Path) -> None:
    config, tensors = checkpoints.llama()
    writers = ("embed_tokens", "o_proj", "down_proj")
    tiny = {
        name: data * np.float32(1e-4 if any(w in name for w in writers) else 1)
        for name, data in tensors.items()
    }
    model, weights = language(tmp_path, (config, tiny))
    with pytest.raises(QuantizationError, match=r"epsilon of 1e-05 takes \d+ bits, more than 40"):
        quantize(model, weights, Recipe(), tokens(model, 4), {})


@pytest.mark.parametrize("make", [checkpoints.llama, checkpoints.micro_gpt])
@pytest.mark.parametrize("solver", ["gptq", "nearest"])
def test_factors_of_powers_leave_shifts_alone(tmp_path, make, solver):
    model, weights = language(tmp_path, make())
    recipe = Recipe(factors="powers", solver=solver)
    graph = quantize(model, weights, recipe, tokens(model, 12), {})
    names = [
        name
        for node in graph.nodes
        for name in (getattr(node.op, "multiplier", None), getattr(node.op, "gain", None))
        if name is not None
    ]
    assert len(names) > 5
    for name in names:
        size = abs(graph.constants[name].data)
        assert not (size & (size - 1)).any(), name
    (score,) = {n.op.score.multiplier for n in graph.nodes if isinstance(n.op, ir.Attention)}
    assert not score & score - 1


def test_weights_trained_as_powers_of_two_stay_exact(tmp_path):
    model, weights = language(tmp_path, checkpoints.micro_gpt())
    rng = np.random.default_rng(3)
    name, ref = next(
        (node.name, node.op.weight)
        for node in model.nodes
        if isinstance(node.op, real.Linear) and node.name.endswith("up")
    )
    digits = rng.integers(-2, 3, weights[ref].shape)
    digits[:, 0] = 2
    rows = 2.0 ** rng.integers(-6, -2, len(digits))
    weights[ref] = digits * rows[:, None]
    recipe = Recipe({"*": "int3"}, factors="powers", solver="nearest")
    graph = quantize(model, weights, recipe, tokens(model, 12), {})
    found = graph.constants[f"{name}.weight"].data
    assert (abs(found).max(axis=1) <= 2).all()
    assert (found * digits[:, :1] == digits * found[:, :1]).all()


def test_the_residual_stream_has_the_width_of_the_recipe(tmp_path):
    model, weights = language(tmp_path, checkpoints.llama())
    graph = quantize(model, weights, Recipe(residual_bits=11), tokens(model, 4), {})
    sums = [node.value.type for node in graph.nodes if isinstance(node.op, ir.Add)]
    assert sums
    assert set(sums) == {IntType(11)}


@pytest.mark.parametrize("wrong", [{"factors": "odd"}, {"residual_bits": 7}])
def test_a_recipe_refuses_other_factors_and_widths(wrong):
    with pytest.raises(QuantizationError, match=next(iter(wrong))):
        Recipe(**wrong)
