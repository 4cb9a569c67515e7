"""Train a microGPT of about 8,600 parameters that writes first names.

``python models/microgpt/train.py`` writes ``config.json``, ``model.safetensors``,
``tokenizer.json`` and ``metrics.json`` beside this file. Data, split, batches and schedule are
those of ``models/names``.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "names"))

import train as names  # noqa: E402  (models/names/train.py)

CONFIG = {
    "architectures": ["MicroGPT"],
    "activation_function": "relu",
    "bos_token_id": names.BOS,
    "eos_token_id": names.BOS,
    "layer_norm_epsilon": 1e-05,
    "n_embd": 24,
    "n_head": 4,
    "n_inner": 96,
    "n_layer": 1,
    "n_positions": 16,
    "vocab_size": 27,
}
HIDDEN, HEADS, MLP, CONTEXT, VOCABULARY = 24, 4, 96, 16, 27


def initial(generator: torch.Generator) -> names.Weights:
    """Fresh weights under the names of the published program."""

    def normal(rows: int, columns: int, gain: float = 1.0) -> Tensor:
        return torch.randn(rows, columns, generator=generator) * gain / math.sqrt(columns)

    return {
        "wte": normal(VOCABULARY, HIDDEN),
        "wpe": normal(CONTEXT, HIDDEN),
        "lm_head": normal(VOCABULARY, HIDDEN, 0.5),
        **{f"layer0.attn_w{name}": normal(HIDDEN, HIDDEN) for name in "qkv"},
        "layer0.attn_wo": normal(HIDDEN, HIDDEN, 0.5),
        "layer0.mlp_fc1": normal(MLP, HIDDEN),
        "layer0.mlp_fc2": normal(HIDDEN, MLP, 0.5),
    }


def rms_norm(x: Tensor) -> Tensor:
    """RMSNorm without gain over the last axis."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)


def forward(weights: names.Weights, tokens: Tensor) -> Tensor:
    """Logits, shape (batch, positions, vocabulary), of `tokens`, shape (batch, positions)."""
    batch, positions = tokens.shape
    w = {name.removeprefix("layer0."): tensor for name, tensor in weights.items()}

    def heads(x: Tensor) -> Tensor:
        return x.view(batch, positions, HEADS, HIDDEN // HEADS).transpose(1, 2)

    x = rms_norm(w["wte"][tokens] + w["wpe"][:positions])
    h = rms_norm(x)
    q, k, v = (heads(h @ w[f"attn_w{name}"].T) for name in "qkv")
    future = torch.full((positions, positions), -torch.inf).triu(1)
    score = q @ k.transpose(2, 3) / math.sqrt(HIDDEN // HEADS) + future
    mixed = (score.softmax(-1) @ v).transpose(1, 2).reshape(batch, positions, HIDDEN)
    x = x + mixed @ w["attn_wo"].T
    x = x + F.relu(rms_norm(x) @ w["mlp_fc1"].T) @ w["mlp_fc2"].T
    return x @ w["lm_head"].T


if __name__ == "__main__":
    names.build(names.Network(CONFIG, CONTEXT, initial, forward), HERE)
