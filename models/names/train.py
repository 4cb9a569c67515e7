"""Train the embedded checkpoint: a Llama of about 5,200 parameters that writes first names.

``python models/names/train.py`` writes ``config.json``, ``model.safetensors``, ``tokenizer.json``
and ``metrics.json`` beside this file. One thread, one seed: the same torch build on the same
instruction set writes the same bytes. See ``README.md`` for the data and its licence.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import names
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor

BOS = 0
"""Begins and ends a name; letters a to z are 1 to 26, and 27 to 31 never occur."""

LENGTH = 16
"""Positions trained: no first name of the census has more than 11 letters."""

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": BOS,
    "dtype": "float32",
    "eos_token_id": BOS,
    "head_dim": 8,
    "hidden_act": "silu",
    "hidden_size": 16,
    "initializer_range": 0.1,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "pad_token_id": None,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "use_cache": True,
    "vocab_size": 32,
}
STEPS = 8000
BATCH = 256
LEARNING_RATE = 6e-3
WEIGHT_DECAY = 0.2
LAST_SHARE = 0.9
"""Share of last names in the first batch; it falls linearly to nothing."""

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, MLP, LAYERS, VOCABULARY = 16, 2, 1, 8, 32, 2, 32

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Network:
    """What is trained.

    Parameters
    ----------
    config : dict
        ``config.json``.
    context : int
        Most positions.
    initial : callable
        Fresh weights from a generator.
    forward : callable
        Logits, shape (batch, positions, vocabulary), of tokens, shape (batch, positions).
    """

    config: dict[str, Any]
    context: int
    initial: Callable[[torch.Generator], Weights]
    forward: Callable[[Weights, Tensor], Tensor]


def census(file: str) -> list[str]:
    """Names of one file of the `names` package in lower case, sorted, each once."""
    text = Path(names.FILES[file]).read_text(encoding="utf-8")
    return sorted({line.split()[0].lower() for line in text.splitlines()})


def held_out(name: str) -> bool:
    """Whether `name` belongs to the evaluation tenth; depends on nothing but its letters."""
    return hashlib.sha256(name.encode()).digest()[0] % 10 == 0


def encode(words: Sequence[str]) -> Tensor:
    """Tokens of `words`, int64, shape (words, LENGTH + 1): bos, letters, eos, then -1."""
    rows = torch.full((len(words), LENGTH + 1), -1)
    for row, word in zip(rows, words, strict=True):
        row[: len(word) + 2] = torch.tensor([BOS, *(ord(c) - ord("a") + 1 for c in word), BOS])
    return rows


def initial(generator: torch.Generator) -> Weights:
    """Fresh weights under their Hugging Face names."""

    def normal(rows: int, columns: int, gain: float = 1.0) -> Tensor:
        return torch.randn(rows, columns, generator=generator) * gain / math.sqrt(columns)

    # Branches that write to the residual stream start small, as in GPT-2: 2 branches a layer.
    branch = 1 / math.sqrt(2 * LAYERS)
    weights = {"model.embed_tokens.weight": normal(VOCABULARY, HIDDEN)}
    for layer in (f"model.layers.{i}." for i in range(LAYERS)):
        weights |= {
            layer + "input_layernorm.weight": torch.ones(HIDDEN),
            layer + "self_attn.q_proj.weight": normal(HEADS * HEAD_DIM, HIDDEN),
            layer + "self_attn.k_proj.weight": normal(KV_HEADS * HEAD_DIM, HIDDEN),
            layer + "self_attn.v_proj.weight": normal(KV_HEADS * HEAD_DIM, HIDDEN),
            layer + "self_attn.o_proj.weight": normal(HIDDEN, HEADS * HEAD_DIM, branch),
            layer + "post_attention_layernorm.weight": torch.ones(HIDDEN),
            layer + "mlp.gate_proj.weight": normal(MLP, HIDDEN),
            layer + "mlp.up_proj.weight": normal(MLP, HIDDEN),
            layer + "mlp.down_proj.weight": normal(HIDDEN, MLP, branch),
        }
    return weights | {"model.norm.weight": torch.ones(HIDDEN)}


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """RMSNorm over the last axis with the config's epsilon."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in half-split order; `cos` and `sin` have shape (positions, HEAD_DIM)."""
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat((-high, low), -1) * sin


def forward(weights: Weights, tokens: Tensor) -> Tensor:
    """Logits, shape (batch, positions, vocabulary), of `tokens`, shape (batch, positions)."""
    batch, positions = tokens.shape
    frequency = 10000.0 ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float32) / HEAD_DIM)
    angle = torch.arange(positions, dtype=torch.float32)[:, None] * frequency.repeat(2)
    cos, sin = angle.cos(), angle.sin()
    future = torch.full((positions, positions), -torch.inf).triu(1)

    def heads(x: Tensor, count: int) -> Tensor:
        return x.view(batch, positions, count, HEAD_DIM).transpose(1, 2)

    x = weights["model.embed_tokens.weight"][tokens]
    for i in range(LAYERS):
        w = {k.rsplit(".", 2)[1]: v for k, v in weights.items() if f".layers.{i}." in k}
        h = rms_norm(x, w["input_layernorm"])
        q = rotate(heads(h @ w["q_proj"].T, HEADS), cos, sin)
        k = rotate(heads(h @ w["k_proj"].T, KV_HEADS), cos, sin)
        v = heads(h @ w["v_proj"].T, KV_HEADS)
        score = (q @ k.transpose(2, 3)) / math.sqrt(HEAD_DIM) + future
        mixed = (score.softmax(-1) @ v).transpose(1, 2).reshape(batch, positions, -1)
        x = x + mixed @ w["o_proj"].T
        h = rms_norm(x, w["post_attention_layernorm"])
        x = x + (F.silu(h @ w["gate_proj"].T) * (h @ w["up_proj"].T)) @ w["down_proj"].T
    return rms_norm(x, weights["model.norm.weight"]) @ weights["model.embed_tokens.weight"].T


def loss(network: Network, weights: Weights, rows: Tensor) -> Tensor:
    """Mean cross-entropy in nats per predicted token (letters and eos)."""
    logits = network.forward(weights, rows[:, :-1].clamp(min=0))
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), ignore_index=-1)


def draw(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` rows drawn with replacement."""
    return rows[torch.randint(len(rows), (count,), generator=generator)]


def train(
    network: Network, first: Tensor, last: Tensor, steps: int, generator: torch.Generator
) -> Weights:
    """Weights after `steps` steps: the exponential moving average of what AdamW visits.

    Batches begin with mostly last names and end with first names alone: 5,200 parameters learn
    4,600 first names by heart, and 80,000 last names teach them spelling before.
    """
    weights = network.initial(generator)
    for tensor in weights.values():
        tensor.requires_grad_()
    matrices = [tensor for tensor in weights.values() if tensor.ndim == 2]
    gains = [tensor for tensor in weights.values() if tensor.ndim == 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": WEIGHT_DECAY},
            {"params": gains, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.99),
    )
    average = {name: tensor.detach().clone() for name, tensor in weights.items()}
    started = time.monotonic()
    for step in range(steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = (
                LEARNING_RATE * min(1, (step + 1) / 100) * math.cos(progress * math.pi / 2) ** 2
            )
        from_last = round(BATCH * LAST_SHARE * (1 - progress))
        batch = torch.cat(
            [draw(first, BATCH - from_last, generator), draw(last, from_last, generator)]
        )
        value = loss(network, weights, batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        keep = min(0.995, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, tensor in average.items():
                tensor.lerp_(weights[name], 1 - keep)
        if (step + 1) % 500 == 0:
            elapsed = time.monotonic() - started
            print(f"step {step + 1}: loss {value.item():.4f}, {elapsed:.0f} s", flush=True)
    return average


def sample(network: Network, weights: Weights, count: int, generator: torch.Generator) -> list[str]:
    """`count` names drawn at temperature 1."""
    rows = torch.full((count, 1), BOS)
    ended = torch.zeros(count, dtype=torch.bool)
    while rows.shape[1] < network.context and not ended.all():
        chances = network.forward(weights, rows)[:, -1].softmax(-1)
        token = torch.multinomial(chances, 1, generator=generator)
        rows = torch.cat([rows, token.masked_fill(ended[:, None], BOS)], 1)
        ended |= token[:, 0] == BOS
    return ["".join(chr(t + 96) for t in row if t) for row in rows.tolist()]


def tokenizer() -> Tokenizer:
    """Character tokenizer: token 0 is a newline, so decoded names come one a line."""
    vocabulary = {"\n": BOS, **{chr(96 + i): i for i in range(1, 27)}}
    built = Tokenizer(models.WordLevel(vocabulary))
    built.normalizer = normalizers.Lowercase()
    built.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    built.decoder = decoders.Fuse()
    return built


def build(
    network: Network, folder: Path, stored: Callable[[Weights], Weights] = lambda weights: weights
) -> None:
    """Train `network` as the command line says and write its checkpoint, by default to `folder`.

    `stored` makes what the checkpoint holds of what was trained.
    """
    parser = argparse.ArgumentParser(description="Train the checkpoint of this folder.")
    parser.add_argument("--out", type=Path, default=folder, help="folder to write")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(arguments.seed)

    words = sorted({*census("first:female"), *census("first:male")})
    # A last name that is spelt like a held-out first name is held out with it.
    last = [word for word in census("last") if not held_out(word) and len(word) < LENGTH]
    first = encode([word for word in words if not held_out(word)])
    held = encode([word for word in words if held_out(word)])
    weights = train(network, first, encode(last), arguments.steps, generator)
    with torch.no_grad():
        metrics = {
            "val_loss": round(loss(network, weights, held).item(), 4),
            "train_loss": round(loss(network, weights, first).item(), 4),
            "params": sum(tensor.numel() for tensor in weights.values()),
            "samples": sample(network, weights, 16, generator),
        }

    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "config.json").write_text(json.dumps(network.config, indent=2) + "\n")
    (arguments.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    tokenizer().save(str(arguments.out / "tokenizer.json"))
    save_file(stored(weights), arguments.out / "model.safetensors", {"format": "pt"})
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    build(
        Network(CONFIG, CONFIG["max_position_embeddings"], initial, forward), Path(__file__).parent
    )
