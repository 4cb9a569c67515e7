"""Amaranth component to Verilog text, the same bytes every time."""

from __future__ import annotations

from amaranth.back import verilog
from amaranth.lib import wiring

from rtl_gen.fabric import accumulate, adder, product, queue, ram, rom

PRIMITIVES = {part.__name__.rpartition(".")[2]: part.VERILOG
              for part in (rom, ram, queue, product, accumulate, adder)}  # fmt: skip
"""Verilog of the modules that components instantiate."""


def convert(
    component: wiring.Component, name: str, *, without: frozenset[str] = frozenset()
) -> str:
    """Verilog of `component` as module `name`, and of the primitives it may instantiate.

    No source locations and no internal attributes: the text depends on the design alone.

    Parameters
    ----------
    component : Component
    name : str
        Of the module.
    without : frozenset of str
        Those of `PRIMITIVES` that come from elsewhere.
    """
    text: str = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return text + "".join(part for key, part in PRIMITIVES.items() if key not in without)


def convert_alone(component: wiring.Component, name: str) -> str:
    """Verilog of a component that instantiates no primitive."""
    return convert(component, name, without=frozenset(PRIMITIVES))
