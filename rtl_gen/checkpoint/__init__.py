"""Checkpoints: strict reading of config.json and safetensors, and import into a ModelGraph."""

from rtl_gen.checkpoint.reader import Checkpoint, load, open_checkpoint
from rtl_gen.checkpoint.registry import architecture_of, import_model

__all__ = ["Checkpoint", "architecture_of", "import_model", "load", "open_checkpoint"]
