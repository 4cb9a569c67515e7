"""Small integer graphs with random constants, built by hand."""

from __future__ import annotations

import os

import numpy as np

from rtl_gen.ir import tables
from rtl_gen.ir.integer import (
    Add,
    Attention,
    Constant,
    ConstMatVec,
    Conv2d,
    Embedding,
    Input,
    IntegerGraph,
    Lookup,
    MaxPool2d,
    Mul,
    Node,
    Norm,
    Reshape,
    Rotary,
    Sample,
    Value,
)
from rtl_gen.ir.types import Dyadic, IntType

I8, I10, I16, U8, U16 = (IntType.parse(text) for text in ("i8", "i10", "i16", "u8", "u16"))
SEED = int(os.environ.get("TEST_SEED", "1"))


class Draft:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(SEED)
        self.nodes: list[Node] = []
        self.constants: dict[str, Constant] = {}

    def constant(self, name, type_, shape, low=None, high=None):
        low = type_.min if low is None else low
        high = type_.max if high is None else high
        data = self.rng.integers(low, high + 1, shape)
        self.constants[name] = Constant(type_, data)
        return name

    def table(self, name, type_, data):
        self.constants[name] = Constant(type_, np.asarray(data, np.int64))
        return name

    def node(self, name, op, inputs, type_, shape, scale=1.0):
        self.nodes.append(Node(name, op, inputs, Value(type_, shape, scale)))
        return name

    def product(self, name, x, rows, columns, type_, shift, bias=True):
        op = ConstMatVec(
            self.constant(f"{name}.weight", I8, (rows, columns)),
            self.constant(f"{name}.bias", IntType(20), rows) if bias else None,
            self.constant(f"{name}.multiplier", U16, rows, 1 << 14),
            shift,
        )
        return self.node(name, op, (x,), type_, (rows,))


def language(context: int = 12, vocabulary: int = 11) -> IntegerGraph:
    """Transformer layer with every operator that reads vectors."""
    d, n, size, heads = Draft(), 8, 4, 2
    table = d.constant("embedding.table", I8, (vocabulary, n))
    factors = d.constant("embedding.multiplier", U16, vocabulary, 1 << 14)
    x = d.node("embedding", Embedding(table, factors, 8), ("tokens",), I16, (n,))
    gain = d.constant("norm.gain", I16, n, 2000, 8000)
    bias = d.constant("norm.bias", IntType(24), n)
    h = d.node("norm", Norm(gain, bias, 77, True, 14, 21), (x,), I8, (n,))
    q = d.product("q", h, heads * size, n, I16, 20)
    k = d.product("k", h, size, n, I16, 20)
    v = d.product("v", h, size, n, I8, 22, bias=False)
    angle = np.arange(context)[:, None] * np.array([1.0, 0.1])
    cos = d.table("cos", I16, np.rint(16384 * np.cos(angle)))
    sin = d.table("sin", I16, np.rint(16384 * np.sin(angle)))
    q = d.node("q_rotary", Rotary(heads, size, cos, sin, 20), (q, "position"), I8, (heads * size,))
    k = d.node("k_rotary", Rotary(1, size, cos, sin, 20), (k, "position"), I8, (size,))
    attention = Attention(heads, 1, size, context, Dyadic(40001, 18), 30)
    a = d.node("mixed", attention, (q, k, v, "position"), I8, (heads * size,))
    o = d.product("output", a, n, heads * size, I16, 17)
    x = d.node("residual", Add(), (x, o), I16, (n,))
    gate = d.product("gate", x, 6, n, I10, 30)
    up = d.product("up", x, 6, n, I16, 24)
    act = d.constant("activation.table", I16, 1024)
    act = d.node("activation", Lookup(act), (gate,), I16, (6,))
    y = d.node("product", Mul(Dyadic(33000, 38)), (act, up), I8, (6,))
    logits = d.product("logits", y, vocabulary, 6, I16, 16)
    noise = d.table("noise", I16, tables.gumbel())
    token = IntType.holding(0, vocabulary - 1)
    d.node("token", Sample(noise, 4), (logits,), token, ())
    position = IntType.holding(0, context - 1)
    return IntegerGraph(
        architecture="Tiny",
        inputs=(
            Input("tokens", "token", Value(token, ())),
            Input("position", "position", Value(position, ())),
        ),
        nodes=tuple(d.nodes),
        outputs={"logits": logits, "token": "token"},
        constants=d.constants,
        context=context,
        vocabulary=vocabulary,
        bos=(1,),
        eos=(0,),
        origin={"checkpoint": "0" * 64},
    )


def image() -> IntegerGraph:
    """Convolution, pooling and a product."""
    d = Draft()
    convolution = Conv2d(
        d.constant("conv.weight", I8, (3, 2, 3, 2)),
        d.constant("conv.bias", IntType(18), 3),
        d.constant("conv.multiplier", U16, 3, 1 << 14),
        22,
        stride=(2, 1),
        padding=(1, 0),
    )
    x = d.node("conv", convolution, ("frame",), U8, (3, 4, 5))
    x = d.node("pool", MaxPool2d((2, 2), (2, 1)), (x,), U8, (3, 2, 4))
    x = d.node("flat", Reshape(), (x,), U8, (24,))
    logits = d.product("logits", x, 4, 24, I16, 20)
    return IntegerGraph(
        architecture="Tiny",
        inputs=(Input("frame", "frame", Value(I8, (2, 7, 6), 0.5)),),
        nodes=tuple(d.nodes),
        outputs={"logits": logits},
        constants=d.constants,
        context=1,
    )
