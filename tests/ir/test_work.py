"""Weights stored and weights used."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.ir.work import work
from rtl_gen.quantize import Examples, Recipe, quantize
from tests.checkpoints import mixtral, write


def test_all_experts_are_stored_and_the_chosen_ones_used(tmp_path: Path) -> None:
    config, tensors = mixtral(num_hidden_layers=1)
    checkpoint = open_checkpoint(write(tmp_path, config, tensors))
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    given = Examples(np.arange(16).reshape(1, 16))
    found = work(quantize(model, weights, Recipe(solver="nearest"), given, {}))
    hidden, inner, vocabulary, heads = 8, 12, 16, 8 + 4 + 4 + 8
    expert = 3 * hidden * inner
    matrices = hidden * heads + 4 * hidden + vocabulary * hidden
    table = vocabulary * hidden  # beside the head, whose channels are scaled for its input
    assert found.stored == matrices + table + 4 * expert
    assert found.used == matrices + 2 * expert + hidden
