"""Write ``reference.npz``: the logits that the training program computes, in float32.

``pip install -e '.[train]'`` brings PyTorch. The file lets ``intaglio prove float.graph`` compare
Intaglio's reading of this checkpoint with another one. A folder on the command line is another
checkpoint of the same network.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
SEQUENCES = 4


def main() -> None:
    """Evaluate random tokens."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    trained = runpy.run_path(str(HERE / "train.py"))
    weights = load_file(folder / "model.safetensors")
    shape = (SEQUENCES, trained["CONTEXT"])
    tokens = np.random.default_rng(1).integers(0, trained["VOCABULARY"], shape)
    with torch.no_grad():
        logits = trained["forward"](weights, torch.from_numpy(tokens)).numpy()
    np.savez_compressed(folder / "reference.npz", in_input_ids=tokens, logits=logits)


if __name__ == "__main__":
    main()
