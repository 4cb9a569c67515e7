"""What the cost model knows of a chip with adapter memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtl_gen import emit, reference
from rtl_gen.adapter.bypass import bypass
from rtl_gen.adapter.layout import lay_out
from rtl_gen.adapter.region import Regions, insert
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.plan.cost import predict
from rtl_gen.plan.fit import REFERENCE
from rtl_gen.plan.folding import Plan
from rtl_gen.plan.memory import blocks
from rtl_gen.plan.part import of_chip
from rtl_gen.plan.sketch import Sketch
from rtl_gen.quantize import Examples, Recipe, quantize
from tests import checkpoints
from tests.harness import seed


def test_adapter_memory_is_counted(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoints.tiny_llama(tmp_path))
    model = import_model(checkpoint)
    wanted = Regions(("*.mlp.*", "*.attention.[qkv]"), 4, slots=3)
    weights = reference.load_weights(model, checkpoint)
    tokens = Examples(np.random.default_rng(seed()).integers(0, model.vocabulary, (4, 8)))
    recipe = Recipe(weights={"*": "int4"}, solver="nearest")
    graph = quantize(insert(model, wanted), weights, recipe, tokens, {})
    plan = Plan(8, 2, 1, slots=3)
    layout = lay_out(graph, plan)
    assert layout is not None
    parts = of_chip(emit.design(graph, plan, Sketch).chip)
    rams = [item for item in parts["adapter"] if item.kind == "ram"]
    assert sum(i.count * i.sizes["width"] * i.sizes["depth"] for i in rams) == layout.geometry.bits
    used = predict(parts, REFERENCE)
    assert used.units["adapter"].lut > 100
    assert used.units["adapter"].ebr == 1 + sum(
        i.count * blocks(i.sizes["width"], i.sizes["depth"], REFERENCE, written=True) for i in rams
    )
    # The lanes multiply the 8 bits of an adapter's elements, too.
    (lane,) = (item for item in parts["matvec"] if item.kind == "lane")
    assert lane.sizes["b"] == 8
    assert emit.emit(graph, plan).manifest["products"][0]["b"] == 8

    alone = of_chip(emit.design(bypass(graph), plan, Sketch).chip)
    assert "adapter" not in alone
    assert predict(alone, REFERENCE).total.ebr < used.total.ebr
