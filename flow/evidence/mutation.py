"""Plant faults in a chip's artefacts, one at a time, and see which obligation refuses each.

A mutant is a chip whose constants are not quite those of its graph, or whose memories can be
written: a bit of a weight flipped, two rows exchanged, a scale off by one, an image left over from
another checkpoint, a ROM with a write port. Each is planted at one level (RTL, netlist, routed
design, bitstream) with everything before that level intact, as a fault of one tool would be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flow.evidence import (
    adder_fault,
    adders,
    choice_fault,
    memories,
    memory_class,
    packing,
    provenance,
    route_fault,
    slot,
    slot_fault,
    wire,
)
from flow.evidence.design import Design, Module
from flow.evidence.fault import CHANGES, STRUCTURES, content
from flow.evidence.plant import Chip, Mutant, once, there, wiring
from rtl_gen import emit
from rtl_gen.errors import FlowError
from rtl_gen.ir.integer import Constant, IntegerGraph
from rtl_gen.plan import Plan

LEVELS = ("rtl", "netlist", "routed", "bitstream")


@dataclass(frozen=True, slots=True)
class Caught:
    """What became of a mutant.

    Parameters
    ----------
    level, kind, place : str
    by : tuple of str
        Obligations that refuse it; empty for a survivor.
    finding : str
        The first thing that they say.
    """

    level: str
    kind: str
    place: str
    by: tuple[str, ...]
    finding: str


def obligations(chip: Chip, level: str) -> Iterator[tuple[str, list[str]]]:
    """Work on every obligation about the artefacts of `level`; give names and findings."""
    if level == "rtl":
        yield (
            "provenance.rtl",
            _provenance(chip, lambda: memories.of_rtl(chip.hierarchical, chip.manifest)),
        )
        yield "memories.rtl", memory_class.of_rtl(chip.hierarchical, chip.flat, chip.manifest)[0]
        if chip.adapters is not None:
            yield "slots.rtl", slot.check(chip.adapters, chip.manifest)[0]
    if level == "netlist":
        netlist = there(chip.netlist)
        findings = _provenance(chip, lambda: memories.of_netlist(netlist, chip.manifest))
        yield "provenance.netlist", findings + _adders(chip, netlist)
        yield "memories.netlist", memory_class.of_netlist(netlist, chip.manifest)[0]
        yield "slots.netlist", slot.check(netlist, chip.manifest)[0]
    if level == "routed":
        netlist, routed, placed = there(chip.netlist), there(chip.routed), there(chip.placed)
        findings = _provenance(chip, lambda: memories.of_routed(netlist, routed, chip.manifest))
        findings += _adders(chip, netlist, routed)
        findings += memories.placed(routed, placed)
        findings += memories.moved(routed, placed.blocks)
        yield "provenance.routed", findings
        # Words of blocks are no part of what these compare.
        wired = wiring(chip, routed)
        cells = once(chip, "cells", lambda: packing.compare(netlist, routed)[1], netlist, wired)
        routes = once(chip, "routes", lambda: wire.Routes(routed.routes), routed.routes)
        wires = once(chip, "wires", lambda: wire.compare(routed, placed, routes)[1], wired, placed)
        yield "structure.routed", cells + wires
    if level == "bitstream":
        netlist, routed, blocks = there(chip.netlist), there(chip.routed), there(chip.blocks)
        findings = _provenance(
            chip, lambda: memories.of_bitstream(netlist, routed, blocks, chip.manifest)
        )
        findings += memories.moved(routed, blocks)
        read = there(chip.unpacked)
        tables = once(
            chip, "tables", lambda: wire.truth_tables(routed, read, blank=wire.BLANK)[1],
            wiring(chip, routed), read,
        )  # fmt: skip
        yield "provenance.bitstream", findings + tables


def judge(mutant: Mutant) -> Caught:
    """Let the obligations of a mutant's level work on it."""
    by, first = [], ""
    for name, findings in obligations(mutant.chip, mutant.level):
        if findings:
            by.append(name)
            first = first or findings[0]
    return Caught(mutant.level, mutant.kind, mutant.place, tuple(by), first)


def mutants(
    chip: Chip, stale: memories.Words, number: int, seed: int, levels: Collection[str] = LEVELS
) -> Iterator[Mutant]:
    """Draw faults, spread evenly over levels and kinds.

    Parameters
    ----------
    chip : Chip
        Without a fault.
    stale : mapping of str to uint8, shape (depth, width)
        Memories of a chip of the same architecture made from other weights.
    number : int
        How many; those that the chip has no place for are left out.
    seed : int
    levels : collection of str
        Of `LEVELS`: where to plant them.
    """
    rng = np.random.default_rng(seed)
    kinds: list[tuple[str, Callable[[], Mutant | None]]] = []
    words = memories.of_rtl(chip.hierarchical, chip.manifest)
    changes = {**CHANGES, **choice_fault.of_chip(chip)}
    for level in levels:
        if level != "rtl" and chip.netlist is None:
            continue
        for kind, change in changes.items():
            kinds.append((kind, content(chip, level, kind, change, words, stale, rng)))
    kinds += [(kind, make(chip, rng)) for kind, make in STRUCTURES.items()]
    kinds += route_fault.of_chip(chip, rng).items()
    kinds += adder_fault.of_chip(chip, rng).items()
    kinds += slot_fault.of_chip(chip, rng).items()
    made = 0
    while made < number:
        before = made
        for _, make in kinds:
            mutant = make()
            if mutant is not None and mutant.level in levels and made < number:
                made += 1
                yield mutant
        if made == before:
            return


def summary(found: Sequence[Caught]) -> dict[str, Any]:
    """Numbers of a run: caught by level and kind, which obligation caught how many, survivors."""
    return {
        "mutants": len(found),
        "caught": sum(bool(item.by) for item in found),
        "by obligation": dict(Counter(name for item in found for name in item.by)),
        "by kind": dict(Counter(f"{item.level}: {item.kind}" for item in found if item.by)),
        "survivors": [f"{item.level}: {item.kind}, {item.place}" for item in found if not item.by],
    }


def stale(graph: IntegerGraph, chip: Chip) -> memories.Words:
    """Memories of a chip of the same architecture that holds other constants.

    Every tensor's rows are turned round by one, which keeps all types and all sizes.
    """
    constants = {
        name: Constant(item.type, np.roll(item.data, 1, axis=0))
        for name, item in graph.constants.items()
    }
    settings = chip.manifest["plan"]
    plan = Plan(**{**settings, "styles": tuple(settings.get("styles", {}).items())})
    emitted = emit.emit(replace(graph, constants=constants), plan)
    images = {
        item["name"]: (emitted.images[item["image"]], int(item["width"]))
        for item in emitted.manifest["memories"]
        if item["class"] == "constant"
    }
    return {name: _bits(image, width) for name, (image, width) in images.items()}


def _bits(image: str, width: int) -> Any:
    words = [int(line, 16) for line in image.split()]
    return np.array([[word >> k & 1 for k in range(width)] for word in words], np.uint8)


def _adders(chip: Chip, netlist: Design, routed: Module | None = None) -> list[str]:
    """Findings about mapped adder graphs, with truth tables of the routed netlist if given."""
    cores = chip.cores
    if cores is None:
        return []
    own = [netlist[name] for name in sorted(netlist) if adders.CORE.fullmatch(name)]
    if routed is None:
        return once(chip, "adders", lambda: adders.mapped(cores, netlist)[1], cores, *own)
    tables = memories.routed_tables(routed)
    return once(chip, "routed adders", lambda: adders.mapped(cores, netlist, tables)[1],
                cores, routed, *own)  # fmt: skip


def _provenance(chip: Chip, read: Callable[[], memories.Words]) -> list[str]:
    try:
        words = read()
        found = provenance.compare(words, chip.manifest, chip.graph, chip.verilog, chip.cores)
    except FlowError as error:
        return [str(error)]
    return list(found.differences)
