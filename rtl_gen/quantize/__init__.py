"""Quantization: a ModelGraph and calibration data become an IntegerGraph."""

from rtl_gen.quantize.examples import Examples
from rtl_gen.quantize.lower import quantize
from rtl_gen.quantize.recipe import Recipe

__all__ = ["Examples", "Recipe", "quantize"]
