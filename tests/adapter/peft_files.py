"""Tiny random PEFT adapters of the checkpoints in `tests.checkpoints`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.checkpoints import write_tensors

LLAMA_SHAPES = {
    "self_attn.q_proj": (8, 8), "self_attn.k_proj": (4, 8), "self_attn.v_proj": (4, 8),
    "self_attn.o_proj": (8, 8), "mlp.gate_proj": (12, 8), "mlp.up_proj": (12, 8),
    "mlp.down_proj": (8, 12),
}  # fmt: skip


def config(targets: Any, rank: int = 2, **overrides: Any) -> dict[str, Any]:
    return {
        "peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": targets,
        "rank_pattern": {}, "alpha_pattern": {}, "use_rslora": False, "use_dora": False,
        "bias": "none", "modules_to_save": None, "fan_in_fan_out": False,
        "init_lora_weights": True,
    } | overrides  # fmt: skip


def save(path: Path, settings: dict[str, Any], tensors: dict[str, Any]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "adapter_config.json").write_text(json.dumps(settings))
    named = {f"base_model.model.{name}": x.astype("f4") for name, x in tensors.items()}
    write_tensors(path / "adapter_model.safetensors", named)
    return path


def factors(rng: Any, name: str, n_out: int, n_in: int, rank: int, scale: float = 0.3):
    return {
        f"{name}.lora_A.weight": rng.normal(0, scale, (rank, n_in)),
        f"{name}.lora_B.weight": rng.normal(0, scale, (n_out, rank)),
    }


def llama(path: Path, targets: list[str], rank: int = 2, seed: int = 5, **overrides: Any) -> Path:
    """Adapter of `tests.checkpoints.tiny_llama` on modules whose names end with `targets`."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Any] = {}
    for layer in range(2):
        for module, (n_out, n_in) in LLAMA_SHAPES.items():
            if module.rpartition(".")[2] in targets:
                name = f"model.layers.{layer}.{module}"
                tensors |= factors(rng, name, n_out, n_in, rank)
    return save(path, config(targets, rank, **overrides), tensors)
