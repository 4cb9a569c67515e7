"""Write ``reference.npz``: the logits that the training program computes, in float32.

``pip install -e '.[train]'`` brings PyTorch. The file lets ``intaglio prove float.graph`` compare
Intaglio's reading of this checkpoint with another one.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

FOLDER = Path(__file__).parent
SEQUENCES = 4


def main() -> None:
    """Evaluate random tokens."""
    trained = runpy.run_path(str(FOLDER / "train.py"))
    weights = load_file(FOLDER / "model.safetensors")
    shape = (SEQUENCES, trained["CONTEXT"])
    tokens = np.random.default_rng(1).integers(0, trained["VOCABULARY"], shape)
    with torch.no_grad():
        logits = trained["forward"](weights, torch.from_numpy(tokens)).numpy()
    np.savez_compressed(FOLDER / "reference.npz", in_input_ids=tokens, logits=logits)


if __name__ == "__main__":
    main()
