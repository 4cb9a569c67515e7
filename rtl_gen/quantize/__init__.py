"""Quantization: a ModelGraph and calibration data become an IntegerGraph, and what that costs."""

from rtl_gen.quantize.examples import Examples
from rtl_gen.quantize.lower import quantize
from rtl_gen.quantize.part import Part
from rtl_gen.quantize.quality import frame_integers, quality, score
from rtl_gen.quantize.recipe import Recipe
from rtl_gen.quantize.routing import routing

__all__ = [
    "Examples", "Part", "Recipe", "frame_integers", "quality", "quantize", "routing", "score",
]  # fmt: skip
