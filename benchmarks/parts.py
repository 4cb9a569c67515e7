"""Parts of chips in the sizes that the cost model is fitted to; see `benchmarks/costs.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.add import Add
from rtl_gen.blocks.attention import Attention
from rtl_gen.blocks.const_matvec import ConstMatVec
from rtl_gen.blocks.embedding import Embedding
from rtl_gen.blocks.lookup import Lookup
from rtl_gen.blocks.max_pool import MaxPool
from rtl_gen.blocks.mul import Mul
from rtl_gen.blocks.norm import Norm
from rtl_gen.blocks.requantize import Requantize
from rtl_gen.blocks.rotary import Rotary
from rtl_gen.blocks.router import Router, ScoredRouter
from rtl_gen.blocks.sample import Sample
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.emit import design
from rtl_gen.fabric.adapter_memory import AdapterMemory, Geometry
from rtl_gen.fabric.adapter_port import AdapterPort
from rtl_gen.fabric.address import LEVELS, AddressGenerator
from rtl_gen.fabric.attention_head import AttentionHead
from rtl_gen.fabric.etched import Etched, core
from rtl_gen.fabric.largest import Largest
from rtl_gen.fabric.product import product
from rtl_gen.fabric.ram import Ram
from rtl_gen.fabric.rom import Rom, RomPair
from rtl_gen.fabric.sequencer import Sequencer
from rtl_gen.fabric.skid import Skid
from rtl_gen.fabric.vector_memory import VectorMemory
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.ir.types import IntType
from rtl_gen.plan import Plan
from rtl_gen.plan.part import (
    Part,
    attention_head,
    graph_part,
    of_chip,
    of_component,
    part,
    walker,
)  # fmt: skip
from rtl_gen.quantize import Examples, Recipe, quantize
from rtl_gen.reference import load_weights
from tests import checkpoints


@dataclass(frozen=True)
class Item:
    """A component to synthesize.

    Parameters
    ----------
    component : Component
    everywhere : bool
        Sampled on every family, not only on the ECP5.
    part : Part, optional
        Where the component alone does not tell.
    """

    component: Any
    everywhere: bool = False
    part: Part | None = None


class Lane(wiring.Component):
    """One multiplier of a lane, alone."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__({"a": In(signed(a)), "b": In(signed(b)), "p": Out(signed(a + b))})

    def elaborate(self, platform: Any) -> Module:
        """Build the instance."""
        m = Module()
        exact = Signal.like(self.p)
        m.submodules.product = product(self.a, self.b, exact)
        m.d.comb += self.p.eq(exact)
        return m


class Tied(wiring.Component):
    """A component with ports tied to constants, as a chip ties them."""

    def __init__(self, unit: Any, fixed: Mapping[str, int]) -> None:
        self.unit = unit
        self.fixed = fixed
        members = unit.signature.members
        super().__init__({name: members[name] for name in members if name not in fixed})

    def elaborate(self, platform: Any) -> Module:
        """Connect the ports, tied or not."""
        m = Module()
        m.submodules.unit = self.unit
        m.d.comb += [getattr(self.unit, name).eq(value) for name, value in self.fixed.items()]
        for name in self.signature.members:
            connect(m, self, self.unit, name)
        return m


def connect(m: Module, outer: Any, inner: Any, name: str) -> None:
    """Carry a port or a stream of `outer` to the one of `inner`."""
    member = outer.signature.members[name]
    ours, theirs = getattr(outer, name), getattr(inner, name)
    if not member.is_port:
        wiring.connect(m, wiring.flipped(ours), theirs)
    elif member.flow is In:
        m.d.comb += theirs.eq(ours)
    else:
        m.d.comb += ours.eq(theirs)


def tied(unit: Any, fixed: Mapping[str, int], everywhere: bool = False) -> Item:
    """Sample of a unit some of whose ports are constants."""
    return Item(Tied(unit, fixed), everywhere, of_component(unit, fixed)[0])


def samples() -> Iterator[Item]:
    """Every sample, small parts first."""
    yield from _memories()
    yield from _streams()
    yield from _lanes()
    yield from _tails()
    yield from _control()
    yield from _adapters()
    yield from _matvecs()
    yield from _heads()
    yield from _routers()
    yield from _attentions()
    yield from _graphs()


def _memories() -> Iterator[Item]:
    sizes = [(8, 32), (36, 64), (36, 1024), (64, 300), (16, 4096), (128, 2048), (9, 16384),
             (130, 90), (16, 256)]  # fmt: skip
    for i, (width, depth) in enumerate(sizes):
        yield Item(Rom("sample", depth, width), i in {0, 1, 2, 3, 8})
    for width, depth in ((8, 256), (36, 128), (16, 1024)):
        yield Item(Rom("sample", depth, width), depth == 128,
                   part("rom", width=width, depth=depth, logic=1))  # fmt: skip
    for width, depth in ((16, 256), (16, 1024), (36, 512)):
        yield Item(RomPair("sample", depth, width), depth < 512)
    sizes = [(8, 16), (16, 64), (16, 128), (16, 1024), (64, 64), (72, 512), (21, 64), (40, 32),
             (144, 4096), (25, 256)]  # fmt: skip
    for i, (width, depth) in enumerate(sizes):
        yield Item(Ram(depth, width), i in {0, 1, 3, 4, 6, 7})


def _streams() -> Iterator[Item]:
    for width, elements in ((16, 1), (16, 4), (12, 8)):
        yield Item(Skid(width, elements), elements == 1)
    for places, width, rest in ((8, 16, 25), (4, 12, 21), (16, 16, 25), (40, 10, 31)):
        yield Item(Largest(places, width, rest), places == 4)
    levels = [(7, (6, 3, 1, 0)), (10, (8, 5, 0, 0)), (9, (8, 0, 0, 0)), (12, (7, 4, 3, 2))]
    for i, (bits, lasts) in enumerate(levels):
        unit = AddressGenerator(bits, [max(1, n) for n in lasts])
        unused = [level for level in range(LEVELS) if not lasts[level]]
        fixed = {f"{kind}{level}": 0 for level in unused for kind in ("last", "step")}
        yield Item(Tied(unit, fixed), i == 0, walker(bits, lasts))
    lasts = {"a": (6, 3, 1, 1), "b": (6, 1, 1, 1), "d": (6, 3, 1, 1)}
    for i, (depth, elements) in enumerate(((100, 1), (300, 4), (60, 8), (1000, 2))):
        unit = VectorMemory(depth=depth, width=16, last_bits=lasts, elements=elements, lag_bits=5)
        yield Item(unit, i == 0)


def _lanes() -> Iterator[Item]:
    for i, (a, b) in enumerate(((8, 8), (8, 4), (12, 8), (17, 9), (8, 2), (12, 4), (16, 8))):
        for lut in (0, 1):
            yield Item(Lane(a, b), i in {0, 2}, part("lane", a=a, b=b, lut_products=lut))


def _tails() -> Iterator[Item]:
    for i, (acc, width) in enumerate(((8, 16), (16, 16), (21, 16), (26, 16), (34, 16), (22, 10))):
        sizes = part("requantize", acc=acc, width=width)
        yield Item(Requantize(acc, width), i in {0, 3}, sizes)
    for i, width in enumerate((16, 12, 9)):
        bounds = {"low": -(1 << width - 1), "high": (1 << width - 1) - 1}
        inner = {"low": -2048, "high": 2047} if width > 12 else bounds
        yield Item(Add(width=width), i == 0)
        yield tied(Add(width=width), bounds, i == 0)
        yield Item(Mul(width=width), i == 0)
        yield tied(Mul(width=width), inner, i == 0)
        yield Item(MaxPool(width=width, max_window=4), i == 0)
        yield Item(Lookup(depth=(1024, 4096, 512)[i], width=width, elements=i + 1), i == 0)
    for i, (vocabulary, elements) in enumerate(((27, 1), (128, 2), (512, 4), (64, 8), (512, 1))):
        yield Item(Sample(width=16, vocabulary=vocabulary, elements=elements), i == 0)
    for width, elements in ((16, 4), (12, 2), (16, 1)):
        yield Item(Sample(width=width, vocabulary=512, elements=elements, places=8))


def _control() -> Iterator[Item]:
    sizes = [(120, 30, True, 1), (180, 60, True, 2), (90, 20, True, 0), (150, 100, False, 0),
             (250, 30, True, 1), (110, 4, False, 0)]  # fmt: skip
    for i, (width, depth, tokens, ends) in enumerate(sizes):
        yield Item(
            Sequencer(depth=depth, width=width, tokens=tokens, context=64,
                      bos=(1,) if ends else (), eos=tuple(range(ends))), i == 0,
        )  # fmt: skip


def _adapters() -> Iterator[Item]:
    sizes = [
        # slots, words and widths of the memories a, b, row
        (2, (700, 380, 820), (64, 128, 16)),
        (1, (200, 100, 80), (16, 32, 16)),
        (3, (350, 96, 400), (32, 512, 32)),
        (4, (60, 40, 90), (8, 64, 16)),
        (2, (180, 50, 200), (256, 704, 64)),
        (8, (500, 300, 600), (24, 96, 16)),
    ]
    for i, (slots, words, widths) in enumerate(sizes):
        yield Item(AdapterPort(Geometry(slots, words, widths)), i == 0)
        yield Item(AdapterMemory(Geometry(slots, words, widths)), i == 0)


def _matvecs() -> Iterator[Item]:
    cases = [
        # lanes, elements, x, weight, acc, bias, weight depth, row depth
        (2, 1, 8, 8, 20, 1, 500, 60),
        (4, 1, 8, 8, 22, 22, 900, 100),
        (8, 1, 12, 8, 25, 1, 700, 200),
        (16, 1, 8, 4, 19, 1, 600, 300),
        (4, 2, 12, 8, 25, 1, 800, 200),
        (8, 2, 8, 8, 22, 22, 300, 60),
        (16, 2, 12, 4, 22, 1, 300, 80),
        (8, 4, 12, 4, 22, 1, 900, 90),
        (16, 4, 12, 8, 25, 1, 300, 40),
        (8, 8, 8, 4, 20, 20, 200, 30),
        (32, 1, 8, 8, 21, 1, 300, 90),
        (32, 4, 12, 4, 22, 1, 500, 200),
    ]
    for i, (lanes, elements, x, weight, acc, bias, depth, rows) in enumerate(cases):
        yield Item(
            ConstMatVec(lanes=lanes, x_width=x, weight_width=weight, acc_width=acc,
                        bias_width=bias, width=16, weight_depth=depth, row_depth=rows,
                        max_columns=64 // elements, max_rows=128 // elements,
                        max_piece=128 // elements, elements=elements),
            i in {1, 4},
        )  # fmt: skip


def _heads() -> Iterator[Item]:
    for i, (elements, depth, rows, columns) in enumerate(
        ((1, 400, 60, 16), (2, 4000, 500, 32), (4, 2000, 130, 64), (8, 500, 64, 32))
    ):
        yield Item(
            Embedding(table_width=8, width=16, table_depth=depth, row_depth=rows,
                      max_columns=columns // elements, index_bits=rows.bit_length(),
                      elements=elements), i == 0,
        )  # fmt: skip
    cases = [(16, 16, 1, 1), (16, 64, 1, 32), (16, 32, 2, 1), (16, 64, 4, 1), (13, 48, 1, 32),
             (16, 16, 2, 32), (16, 32, 8, 1), (16, 256, 1, 1)]  # fmt: skip
    power = {"center": 0, "size": 16}
    for width, size, elements, bias, fixed in (
        (16, 16, 1, 1, power), (16, 64, 4, 1, power | {"size": 64}), (16, 32, 2, 1, {"center": 0}),
        (16, 48, 1, 32, {"center": 1}), (16, 64, 8, 32, {"center": 1, "size": 64}),
        (16, 64, 1, 1, power | {"size": 64}),
    ):  # fmt: skip
        unit = Norm(width=width, max_size=size, depth=5 * size // elements, bias_width=bias,
                    eps_width=40, elements=elements)  # fmt: skip
        yield tied(unit, fixed, elements == 2)
    for i, (width, size, elements, bias) in enumerate(cases):
        yield Item(
            Norm(width=width, max_size=size, depth=5 * size // elements, bias_width=bias,
                 eps_width=40, elements=elements), i == 0,
        )  # fmt: skip
    shapes = [(2, 1, 32), (4, 1, 128), (2, 4, 512), (4, 2, 64), (1, 8, 64)]
    for i, (half, elements, context) in enumerate(shapes):
        for fixed in ({}, {"low": -256, "high": 255}):
            unit = Rotary(half=half, depth=half * context, context=context, width=16,
                          elements=elements)  # fmt: skip
            yield tied(unit, fixed, i == 0)


def _routers() -> Iterator[Item]:
    cases = [
        # width, elements, experts, k, normalize
        (16, 1, 4, 2, True),
        (16, 4, 4, 2, True),
        (16, 2, 8, 1, True),
        (12, 1, 8, 2, False),
        (16, 4, 16, 4, True),
        (16, 8, 64, 8, False),
        (13, 2, 32, 6, True),
    ]
    for i, (width, elements, experts, k, normalize) in enumerate(cases):
        yield Item(Router(width=width, elements=elements, experts=experts, k=k,
                          normalize=normalize), i == 0)  # fmt: skip
    scored = [
        # elements, experts, k, normalize, groups, kept, biased
        (1, 8, 2, True, 1, 1, True),
        (4, 8, 4, True, 4, 2, True),
        (2, 16, 4, True, 4, 2, False),
        (4, 32, 6, False, 8, 3, True),
        (4, 64, 8, True, 8, 4, True),
        (1, 4, 1, False, 1, 1, False),
    ]
    for elements, experts, k, normalize, groups, kept, biased in scored:
        yield Item(ScoredRouter(width=16, elements=elements, experts=experts, k=k,
                                normalize=normalize, groups=groups, kept=kept,
                                bias_depth=4 * experts * biased), False)  # fmt: skip


def _attentions() -> Iterator[Item]:
    heads = [(4, 32, 9, 1), (8, 64, 8, 1), (8, 512, 9, 4), (16, 128, 9, 1), (16, 64, 8, 8),
             (4, 256, 9, 4)]  # fmt: skip
    for i, (head_dim, context, bits, elements) in enumerate(heads):
        head = AttentionHead(head_dim=head_dim, context=context, element_bits=bits,
                             elements=elements)  # fmt: skip
        yield Item(head, i == 0, attention_head(head))
    cases = [
        # heads, kv heads, head_dim, context, layers, element bits, elements, parallel
        (4, 2, 4, 32, 1, 9, 1, 1),
        (4, 4, 8, 64, 2, 8, 1, 2),
        (4, 2, 4, 32, 1, 9, 4, 4),
        (8, 4, 8, 512, 5, 9, 4, 8),
        (4, 4, 16, 128, 2, 9, 1, 1),
        (2, 1, 8, 256, 1, 9, 2, 2),
        (4, 2, 16, 64, 2, 8, 8, 2),
        (8, 4, 8, 64, 2, 9, 2, 4),
    ]
    for i, (number, kv_heads, head_dim, context, layers, bits, elements, parallel) in enumerate(
        cases
    ):
        yield Item(
            Attention(heads=number, kv_heads=kv_heads, head_dim=head_dim, context=context,
                      layers=layers, width=16, element_bits=bits, elements=elements,
                      parallel=parallel),
            i == 1,
        )  # fmt: skip


def _graphs() -> Iterator[Item]:
    """Matrices of normal numbers, wired in space."""
    rng = np.random.default_rng(1)
    shapes = [(16, 16, 7), (32, 16, 127), (16, 32, 7), (32, 32, 1), (8, 64, 127), (24, 24, 31)]
    for i, (rows, columns, largest) in enumerate(shapes):
        drawn = np.rint(rng.normal(size=(rows, columns)) * largest / 3)
        weight = np.clip(drawn, -largest, largest).astype(np.int64)
        x = IntType(8 + 4 * (i % 2))
        for style in ("serial", "parallel"):
            graph = core(weight, x, style, "matrix")
            yield Item(graph, i in {0, 2, 3}, graph_part(graph, (rows, columns, x)))
        parts = [weight[: rows // (k + 1)] for k in range(1 + i % 3)]
        graphs = [core(own, x, "serial", f"matrix{k}") for k, own in enumerate(parts)]
        held = [(len(own), columns, x) for own in parts]
        unit = Etched(cores=graphs, shapes=held, width=16, bias_width=1 + 20 * (i % 2),
                      row_depth=60, elements=(1, 2, 4)[i % 3])  # fmt: skip
        yield Item(unit, i == 0)


def chips(folder: Path) -> Iterator[Item]:
    """What joins the units of a chip, on random networks; the units are black boxes."""
    wide = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
            "intermediate_size": 48, "vocab_size": 64, "max_position_embeddings": 64}  # fmt: skip
    cases: list[tuple[Any, dict[str, Any], Plan]] = [
        (checkpoints.tiny_llama, {}, Plan(4)),
        (checkpoints.tiny_llama, wide, Plan(8, 2)),
        (checkpoints.tiny_llama, wide, Plan(8, 4)),
        (checkpoints.tiny_llama, wide | {"hidden_size": 64}, Plan(8, 8)),
        (checkpoints.tiny_gpt2, {}, Plan(4)),
        (checkpoints.tiny_gpt2, {"n_embd": 32, "n_head": 4, "vocab_size": 32}, Plan(8, 4)),
        (checkpoints.tiny_mlp, {}, Plan(2)),
        (checkpoints.tiny_cnn, {}, Plan(4)),
    ]
    for i, (make, overrides, plan) in enumerate(cases):
        chip = design(_lowered(make(folder / str(i), **overrides)), plan).chip
        yield Item(chip, i in {0, 7}, of_chip(chip)["control"][0])


def _lowered(path: Path) -> IntegerGraph:
    """A checkpoint in integers, calibrated on random inputs: only its shape matters."""
    checkpoint = open_checkpoint(path)
    model = import_model(checkpoint)
    rng = np.random.default_rng(1)
    if model.vocabulary:
        inputs = rng.integers(0, model.vocabulary, (4, model.context))
    else:
        inputs = rng.random((4, *model.inputs[0].shape))
    weights = load_weights(model, checkpoint)
    return quantize(model, weights, Recipe(solver="nearest"), Examples(inputs), {})
