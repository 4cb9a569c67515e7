"""Rewrites of the IntegerGraph that change no output, one per file."""

from rtl_gen.passes.dead import remove_dead
from rtl_gen.passes.shared import share_constants

__all__ = ["remove_dead", "share_constants"]
