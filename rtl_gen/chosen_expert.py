"""How a chip takes the matrix of the expert that its router chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth import Const, Module, Mux, Signal

from rtl_gen.fabric.pipeline import register

if TYPE_CHECKING:
    from rtl_gen.chip import Chip


def select(m: Module, chip: Chip) -> None:
    """Add the chosen expert's offset to the bases of the lanes' ROMs, and to the adder graph's.

    The router has its choice before the instruction behind it can read (`rtl_gen.blocks.router`),
    and chooses again only when no instruction of the experts is under way.
    """
    router, units = chip.units["route"], chip.units
    expert = Signal(router.index_bits)
    m.d.comb += expert.eq(router.choice.word_select(chip.front("slot"), router.index_bits))
    chosen = Mux(chip.front("expert"), expert, 0)
    # One cycle behind `front`, so at `commit` that of the instruction which moves to `back`.
    rows = register(m, Const(1), chosen * chip.front("row_stride"))
    if "matvec" in units:
        begin = chip.sequencer.start & chip.reads("matvec")
        weights = register(m, begin, chosen * chip.front("weight_stride"))
        base = register(m, begin, chip.front("weight_base"))
        m.d.comb += units["matvec"].weight_base.eq(base + weights)
        m.d.comb += units["matvec"].row_base.eq(chip.back("row_base") + rows)
    if "etched" in units:
        begin = chip.sequencer.start & chip.reads("etched")
        graph = register(m, begin, chip.front("etched_core"))
        m.d.comb += units["etched"].core.eq(graph + register(m, begin, chosen))
        m.d.comb += units["etched"].row_base.eq(chip.back("etched_row") + rows)
