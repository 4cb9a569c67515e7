"""Trains what an adapter chip is compared with: a LoRA adapter of a rank, or the whole network.

``python benchmarks/adapter_train.py ../shared/models/stories260K ../shared/data/tinyshakespeare
--rank 16 --output lora-r16`` trains a PEFT adapter of all matrices of every layer of a Llama on the
first part of a text; ``--rank 0`` trains all weights and writes a checkpoint instead, a change
that `intaglio adapt` can be asked about. The same steps, examples and seed at every rank, so
that ranks can be compared. Prints one JSON line.

Needs ``torch``, ``transformers``, ``tokenizers`` and ``peft`` in an environment of its own; the
flow never trains.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from pathlib import Path

import peft
import tokenizers
import torch
import transformers

PART = 32 / 56
"""Of the text, from its start: where `flow.data` takes calibration from with 32 and 24 windows."""

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def read(checkpoint: Path, text: Path) -> torch.Tensor:
    """Tokens of the part of the text that is trained on."""
    files = sorted(text.rglob("*.txt")) if text.is_dir() else [text]
    whole = "\n".join(file.read_text(encoding="utf-8") for file in files)
    tokenizer = tokenizers.Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    ids = tokenizer.encode(whole, add_special_tokens=False).ids
    return torch.tensor(ids[: int(len(ids) * PART)])


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("text", type=Path, help="file or folder of .txt files")
    parser.add_argument("--rank", type=int, required=True, help="0 trains all weights")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128, help="tokens of an example")
    parser.add_argument("--rate", type=float, default=5e-3, help="learning rate at its highest")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    tokens = read(args.checkpoint, args.text)
    network = transformers.AutoModelForCausalLM.from_pretrained(args.checkpoint)
    bos = network.config.bos_token_id
    if args.rank:
        settings = peft.LoraConfig(
            r=args.rank, lora_alpha=2 * args.rank, target_modules=TARGETS, task_type="CAUSAL_LM"
        )
        network = peft.get_peft_model(network, settings)
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.0)
    begun = time.process_time()
    losses = []
    for step in range(args.steps):
        warm, left = (step + 1) / 20, 0.5 + 0.5 * math.cos(math.pi * step / args.steps)
        optimizer.param_groups[0]["lr"] = args.rate * min(warm, 1) * left
        starts = torch.randint(len(tokens) - args.length, (args.batch, 1))
        read_now = tokens[starts + torch.arange(args.length)]
        read_now[:, 0] = bos
        loss = network(input_ids=read_now, labels=read_now).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        if step % 20 == 19:
            print(f"  step {step + 1}: {sum(losses[-20:]) / 20:.4f}", file=sys.stderr, flush=True)
    network.save_pretrained(args.output)
    if not args.rank:
        for file in args.checkpoint.glob("tokenizer*"):
            shutil.copy(file, args.output / file.name)
    print(json.dumps({
        "rank": args.rank,
        "steps": args.steps,
        "examples": args.steps * args.batch,
        "parameters": sum(weight.numel() for weight in trained),
        "loss of the last 20 steps": round(sum(losses[-20:]) / len(losses[-20:]), 4),
        "cpu_s": round(time.process_time() - begun, 1),
        "peft": peft.__version__,
        "torch": torch.__version__,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
