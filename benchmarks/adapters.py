"""Spoken digits in noise: what an adapter recovers, in float and on the integer chip.

The task of ``speech-llama-h64`` with ``lora-noise5db-r8``: codes of a spoken digit between token 2
and token 4; the token behind must be the digit's character. Every third utterance calibrates, the
others are counted. Prints one JSON object.

Example
-------
``python benchmarks/adapters.py ../shared/models/speech-llama-h64 --bits 8``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from rtl_gen import reference
from rtl_gen.adapter.apply import beside, merge
from rtl_gen.adapter.pack import pack
from rtl_gen.adapter.reader import load_adapter
from rtl_gen.adapter.region import Regions, insert
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.golden import interpreter
from rtl_gen.quantize import Examples, Part, Recipe, quantize

TENSORS = ("*.attention.[qkv]", "*.attention.output", "*.mlp.gate", "*.mlp.up", "*.mlp.down")
END_OF_AUDIO, ZERO = 4, ord("0")


def answers(logits: Any, tokens: Any) -> Any:
    """Likeliest token behind the end of the audio."""
    place = (tokens == END_OF_AUDIO).argmax(axis=1)
    return logits[np.arange(len(tokens)), place].argmax(axis=1)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--adapter", default="lora-noise5db-r8")
    parser.add_argument("--bits", type=int, default=8, help="of weights")
    parser.add_argument("--adapter-bits", type=int, default=8)
    args = parser.parse_args()
    checkpoint = open_checkpoint(args.checkpoint)
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    folder = args.checkpoint / args.adapter
    adapter = load_adapter(folder, model)
    stored = np.load(folder / "noisy_test_tokens.npz")
    tokens, wanted = stored["tokens"].astype(np.int64), stored["label"] + ZERO
    seen = np.arange(len(tokens)) % 3 == 0
    spoken = np.arange(tokens.shape[1]) <= (tokens == END_OF_AUDIO).argmax(axis=1)[:, None]
    calibration = Examples(tokens[seen], None, spoken[seen])
    rank = max(pair.rank for pair in adapter.pairs.values())
    graph = insert(model, Regions(TENSORS, rank, args.adapter_bits))
    recipe = Recipe(
        weights={"*": f"int{args.bits}"}, activations={"*.product": 12}, attention_bits=9,
        adapter_bits=args.adapter_bits,
    )  # fmt: skip
    part = Part(beside(graph, weights, adapter), calibration)
    integer = quantize(graph, weights, recipe, calibration, {}, [part])
    packed = pack(integer, adapter, calibration)
    held = tokens[~seen]
    given = {"input_ids": held}
    name = integer.outputs["logits"]
    found = {
        "float": reference.run(model, weights, given)["logits"],
        "float with adapter": reference.run(*merge(model, weights, adapter), given)["logits"],
        "integer": interpreter.sequences(integer, given)[name],
        "integer with adapter": interpreter.sequences(integer, given, packed)[name],
    }
    print(json.dumps({
        "utterances": len(held),
        "weight_bits": args.bits,
        "adapter_bits": args.adapter_bits,
        "accuracy": {
            key: float((answers(logits, held) == wanted[~seen]).mean())
            for key, logits in found.items()
        },
    }, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
