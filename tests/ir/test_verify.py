"""The verifier accepts good graphs and says what is wrong with every kind of bad one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtl_gen.ir.integer import Constant, Input, Value
from rtl_gen.ir.types import Dyadic, IntType
from rtl_gen.ir.verify import verify
from tests.graphs import I8, I16, U16, image, language


def node(graph, which, **changes):
    """Graph whose node `which` has other fields; those of its operator and value in op, value."""
    old = next(item for item in graph.nodes if item.name == which)
    op = replace(old.op, **changes.pop("op", {}))
    value = replace(old.value, **changes.pop("value", {}))
    new = replace(old, op=op, value=value, **changes)
    return replace(graph, nodes=tuple(new if item is old else item for item in graph.nodes))


def constant(graph, name, data, type_=None):
    type_ = type_ or graph.constants[name].type
    return replace(graph, constants={**graph.constants, name: Constant(type_, data)})


def data(graph, name, at, value):
    array = graph.constants[name].data.copy()
    array[at] = value
    return constant(graph, name, array)


def frame(graph, **changes):
    return replace(graph, inputs=(replace(graph.inputs[0], **changes), *graph.inputs[1:]))


L, M = language(), image()
UP = Value(IntType(4, signed=False), ())

REFUSED = {
    "context": (replace(M, context=0), "context of at least 1, found 0"),
    "two data inputs": (replace(M, inputs=M.inputs * 2), "one token or frame input"),
    "vocabulary": (replace(L, vocabulary=0), "a vocabulary if it reads tokens"),
    "vocabulary of frames": (replace(M, vocabulary=3), "a vocabulary if it reads tokens"),
    "token type": (frame(L, value=Value(I8, ())), "input tokens: expected an unsigned type"),
    "token shape": (frame(L, value=replace(UP, shape=(2,))), r"input tokens: expected shape \(\)"),
    "frame width": (frame(M, value=Value(IntType(17), (2, 7, 6))), "at most 16 bits, found i17"),
    "bos": (replace(L, bos=(1, 2)), "at most one bos"),
    "eos": (replace(L, eos=(11,)), "bos and eos below 11, found 11"),
    "token output": (replace(L, outputs={"logits": "logits"}), "output token: expected the Sample"),
    "output": (replace(M, outputs={"logits": "nothing"}), "output logits: .*found 'nothing'"),
    "repeated name": (node(M, "pool", name="conv"), "node conv: expected a name defined once"),
    "order": (replace(M, nodes=M.nodes[::-1]), "node logits: expected inputs defined before use"),
    "arity": (node(M, "flat", inputs=("pool", "pool")), "node flat: expected 1 inputs, found 2"),
    "width": (node(L, "q", value={"type": IntType(17)}), "node q: expected a type of at most 16"),
    "scale": (node(L, "q", value={"scale": 0.0}), "node q: expected a positive scale"),
    "element": (data(L, "q.weight", (0, 0), 128), r"constant q.weight: expected elements of i8"),
    "dtype": (
        constant(L, "q.weight", L.constants["q.weight"].data.astype(np.int32)),
        "constant q.weight: expected int64 data, found int32",
    ),
    "empty": (constant(L, "q.bias", np.zeros(0, np.int64)), "at least one element"),
    "wide bias": (
        constant(L, "q.bias", L.constants["q.bias"].data, IntType(49)),
        "constant q.bias: expected a type of at most 48 bits, found i49",
    ),
    "missing constant": (node(L, "q", op={"weight": "no"}), "a constant for its weight, found no"),
    "weight shape": (
        constant(L, "q.weight", np.ones((8, 7), np.int64)),
        r"node q: expected weight of shape \(8, 8\), found \(8, 7\)",
    ),
    "weight type": (
        constant(L, "q.weight", L.constants["q.weight"].data, IntType(17)),
        "node q: expected weight within i16, found i17",
    ),
    "bias shape": (constant(L, "q.bias", np.ones(7, np.int64)), "bias of shape"),
    "multiplier zero": (data(L, "q.multiplier", 3, 0), "multipliers of at least 1, found 0"),
    "multiplier type": (
        constant(L, "q.multiplier", L.constants["q.multiplier"].data, IntType(17, signed=False)),
        "multiplier within u16, found u17",
    ),
    "shift": (node(L, "q", op={"shift": 48}), "node q: expected a shift from 0 to 47, found 48"),
    "overflow": (
        data(
            constant(L, "q.bias", np.full(8, 2**47 - 1), IntType(48)), "q.multiplier", 0, 65535
        ),
        r"node q: expected acc \* multiplier below 2\*\*62, found up to 63 bits",
    ),
    "index": (node(L, "embedding", inputs=("position",)), "node embedding: expected a table"),
    "table rows": (
        constant(L, "embedding.table", np.ones((5, 8), np.int64)),
        "node embedding: expected a table of at least 11 rows",
    ),
    "eps": (node(L, "norm", op={"eps": 0}), r"node norm: expected eps from 1 to .*, found 0"),
    "fraction": (node(L, "norm", op={"fraction": 16}), "a fraction from 0 to 15, found 16"),
    "norm shift": (node(L, "norm", op={"shift": 0}), "a shift from 1 to 47, found 0"),
    "gain": (constant(L, "norm.gain", np.ones(7, np.int64)), "gain of shape"),
    "wide eps": (node(L, "norm", op={"eps": 2**40}), r"node norm: expected eps from 1 to 2\*\*40"),
    "odd head": (
        node(L, "q_rotary", op={"heads": 8, "head_dim": 1}),
        "node q_rotary: expected an even head_dim, found 1",
    ),
    "tables": (constant(L, "cos", np.ones((12, 3), np.int64)), "cos table of shape"),
    "position": (node(L, "q_rotary", inputs=("q", "tokens")), "the position as its last input"),
    "attention type": (
        node(L, "q_rotary", value={"type": I16}),
        "node mixed: expected q of a signed type of at most 10 bits, found i16",
    ),
    "heads": (node(L, "mixed", op={"heads": 3}), r"q of shape \(12,\), found \(8,\)"),
    "cache": (node(L, "mixed", op={"context": 11}), "the graph's context 12, found 11"),
    "score": (node(L, "mixed", op={"score": Dyadic(65536, 3)}), "a u16 multiplier, found 65536"),
    "lookup": (
        constant(L, "activation.table", np.ones(512, np.int64)),
        r"node activation: expected table of shape \(1024,\), found \(512,\)",
    ),
    "lookup type": (
        node(L, "activation", value={"type": I8}),
        "node activation: expected table within i8, found i16",
    ),
    "add scale": (node(L, "residual", value={"scale": 2.0}), "operands of its own scale 2.0"),
    "mul shape": (node(L, "product", inputs=("activation", "norm")), r"expected shape \(8,\)"),
    "mul scale": (node(L, "product", op={"scale": Dyadic(1, 48)}), "a shift from 0 to 47"),
    "noise": (constant(L, "noise", np.ones(1000, np.int64)), r"noise of shape \(1024,\)"),
    "noise shift": (node(L, "token", op={"shift": 17}), "a shift from 0 to 16, found 17"),
    "token width": (node(L, "token", value={"type": IntType(3, signed=False)}), "that holds 10"),
    "logits": (node(L, "token", inputs=("norm",)), "node token: expected 11 logits"),
    "stride": (node(M, "conv", op={"stride": (0, 1)}), "strides of at least 1"),
    "padding": (node(M, "conv", op={"padding": (-1, 0)}), "padding of at least 0"),
    "channels": (
        constant(M, "conv.weight", np.ones((3, 1, 3, 2), np.int64)),
        r"node conv: expected an input \(1, h, w\), found \(2, 7, 6\)",
    ),
    "conv shape": (node(M, "conv", value={"shape": (3, 4, 4)}), r"expected shape \(3, 4, 5\)"),
    "pool kernel": (node(M, "pool", op={"kernel": (5, 2)}), "a kernel inside the image"),
    "pool type": (node(M, "pool", value={"type": I8}), "its input's u8 and scale 1.0, found i8"),
    "reshape": (node(M, "flat", value={"shape": (23,)}), "expected 24 elements, found 23"),
}  # fmt: skip


@pytest.mark.parametrize("graph", [L, M], ids=["language", "image"])
def test_good_graphs_pass(graph):
    verify(graph)


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    graph, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        verify(graph)


def test_repeated_input_names_are_refused():
    position = Input("tokens", "position", L.inputs[1].value)
    with pytest.raises(ValueError, match="unique input names"):
        verify(replace(L, inputs=(L.inputs[0], position)))


def test_types_of_the_test_graph_are_what_the_cases_assume():
    assert L.constants["q.multiplier"].type == U16
