"""LoRA adapters: PEFT files, adapter regions of a network, and integer adapter images."""
