"""The integer graph of ``toy_chip.v`` and its ROM images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtl_gen.ir import tables
from rtl_gen.ir.integer import Constant, Embedding, Input, IntegerGraph, Node, Sample, Value
from rtl_gen.ir.types import IntType

VERILOG = Path(__file__).parent / "toy_chip.v"
VOCABULARY, CONTEXT, BOS, EOS, SHIFT = 32, 24, 0, 1, 2
IDENTITY = "".join(f"{(7 * i + 3) % 256:02x}" for i in range(32))
I16 = IntType(16)


def graph() -> IntegerGraph:
    rng = np.random.default_rng(7)
    table = rng.integers(-3000, 3001, (VOCABULARY, VOCABULARY))
    return IntegerGraph(
        architecture="Toy",
        inputs=(Input("tokens", "token", Value(IntType(5, signed=False), ())),),
        nodes=(
            Node(
                "logits",
                Embedding("table", "ones", 0),
                ("tokens",),
                Value(I16, (VOCABULARY,), 2.0**-9),
            ),
            Node("token", Sample("noise", SHIFT), ("logits",), Value(IntType(5, False), ())),
        ),
        outputs={"logits": "logits", "token": "token"},
        constants={
            "table": Constant(I16, table),
            "ones": Constant(IntType(16, False), np.ones(VOCABULARY, np.int64)),
            "noise": Constant(I16, tables.gumbel()),
        },
        context=CONTEXT,
        vocabulary=VOCABULARY,
        bos=(BOS,),
        eos=(EOS,),
    )


def write_images(folder: Path) -> None:
    """Write ``rom/`` below `folder`."""
    constants = graph().constants
    images = {
        "table": [f"{int(x) & 0xFFFF:04x}" for x in constants["table"].data.ravel()],
        "noise": [f"{int(x) & 0xFFFF:04x}" for x in constants["noise"].data],
        "identity": [IDENTITY[2 * i : 2 * i + 2] for i in range(32)],
    }
    for name, lines in images.items():
        path = folder / "rom" / f"{name}.hex"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
