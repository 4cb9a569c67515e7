"""Write ``reference.npz``: the logits that Hugging Face's own implementation computes.

``pip install -e '.[train]'`` brings PyTorch; Transformers is needed beside it. The file lets
``intaglio prove float.graph`` compare Intaglio's reading of this checkpoint with another one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

FOLDER = Path(__file__).parent
SEQUENCES = 4
STEPS = 32


def main() -> None:
    """Evaluate random tokens, float32."""
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokens = np.random.default_rng(1).integers(0, model.config.vocab_size, (SEQUENCES, STEPS))
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens)).logits.numpy()
    np.savez_compressed(FOLDER / "reference.npz", in_input_ids=tokens, logits=logits)


if __name__ == "__main__":
    main()
