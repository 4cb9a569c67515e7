"""Rewrites of the IntegerGraph that change no output, one per file."""

from rtl_gen.passes.dead import remove_dead
from rtl_gen.passes.shared import share_constants
from rtl_gen.passes.spread import spread_gates

__all__ = ["remove_dead", "share_constants", "spread_gates"]
