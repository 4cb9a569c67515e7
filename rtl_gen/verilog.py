"""Amaranth component to Verilog text, the same bytes every time."""

from __future__ import annotations

from amaranth.back import verilog
from amaranth.lib import wiring

from rtl_gen.fabric import product, ram, rom


def convert(component: wiring.Component, name: str, *, primitives: bool = True) -> str:
    """Verilog of `component` as module `name`, and of the primitives it may instantiate.

    No source locations and no internal attributes: the text depends on the design alone.
    """
    text: str = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return text + rom.VERILOG + ram.VERILOG + product.VERILOG if primitives else text
