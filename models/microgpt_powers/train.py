"""Train a microGPT with weights of 0, ±1 and ±2 times a power of two behind the attention.

``python models/microgpt_powers/train.py`` writes ``config.json``, ``model.safetensors``,
``tokenizer.json`` and ``metrics.json`` beside this file. Shape, data, split, batches and schedule
are those of ``models/microgpt``, but for the weight decay.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from torch import Tensor

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "names"))

import train as names  # noqa: E402  (models/names/train.py)

microgpt = runpy.run_path(str(HERE.parent / "microgpt/train.py"))

ROUNDED = ("layer0.attn_wo", "layer0.mlp_fc1", "layer0.mlp_fc2", "lm_head")
"""Queries, keys and values depend on token and position alone: these matrices become a table."""

names.WEIGHT_DECAY = 0.02


def powers(weight: Tensor) -> Tensor:
    """-2 to 2 times a power of two that a row shares; gradients pass as if it were `weight`."""
    scale = weight.detach().abs().mean(1, keepdim=True).log2().round().exp2()
    rounded = (2 * weight / scale).round().clamp(-2, 2) / 2 * scale
    return weight + (rounded - weight).detach()


def stored(weights: names.Weights) -> names.Weights:
    """What the checkpoint holds of what was trained."""
    return {k: powers(w).contiguous() if k in ROUNDED else w for k, w in weights.items()}


def forward(weights: names.Weights, tokens: Tensor) -> Tensor:
    """Logits, shape (batch, positions, vocabulary), of `tokens`, shape (batch, positions)."""
    logits: Tensor = microgpt["forward"](stored(weights), tokens)
    return logits


if __name__ == "__main__":
    network = names.Network(microgpt["CONFIG"], microgpt["CONTEXT"], microgpt["initial"], forward)
    names.build(network, HERE, stored)
