"""Constant matrices as shared adder graphs: sharing, exact evaluation, bounds, Verilog text."""

from rtl_gen.adders.digit_serial import digit_core
from rtl_gen.adders.graph import AdderGraph, accumulator, evaluate
from rtl_gen.adders.parallel import parallel_core
from rtl_gen.adders.refine import refine
from rtl_gen.adders.serial import serial_core
from rtl_gen.adders.serial_graph import fuse, luts, search
from rtl_gen.adders.subexpression import share

__all__ = [
    "AdderGraph",
    "accumulator",
    "digit_core",
    "evaluate",
    "fuse",
    "luts",
    "parallel_core",
    "refine",
    "search",
    "serial_core",
    "share",
]
