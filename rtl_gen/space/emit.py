"""A chip in space to files: ``chip.v``, ROM images and the manifest."""

from __future__ import annotations

from typing import Any

from rtl_gen.emitted import Emitted, common, identity_of
from rtl_gen.fabric.rom import RomPair, image
from rtl_gen.ir import integer as ir
from rtl_gen.plan import Plan
from rtl_gen.space.attention import SpaceAttention
from rtl_gen.space.chip import PARTS, SpaceChip, label
from rtl_gen.space.product import Product
from rtl_gen.space.serial_product import SerialProduct
from rtl_gen.verilog import convert


def emit(graph: ir.IntegerGraph, plan: Plan) -> Emitted:
    """Generate the chip in space that computes a verified `graph`.

    Raises
    ------
    UnsupportedError
        If no hardware in space computes a node.
    """
    chip = SpaceChip(graph, plan)
    products = [p for p in chip.parts.values() if isinstance(p, Product | SerialProduct)]
    verilog = convert(chip, "chip") + "".join(part.verilog for part in products)
    files = {
        part.file: image(chip.contents(part.name), part.width)
        for part, _ in chip.roms()
        if part is not chip.identity
    }
    identity = identity_of(graph, verilog, files)
    files[chip.identity.file] = image(bytes.fromhex(identity), 8)
    manifest = {
        **common(graph, plan, identity),
        "weights_in_logic": sorted(
            node.op.weight for node in chip.nodes if isinstance(node.op, ir.ConstMatVec)
        ),
        "memories": _memories(chip),
        "products": [],
        "active": list(PARTS),
        "units": sorted(
            ["control", "identity", *map(label, chip.tables),
             *(label(name) for name, part in chip.parts.items() if part is not None)]
        ),
    }  # fmt: skip
    return Emitted(verilog, files, manifest)


def _memories(chip: SpaceChip) -> list[dict[str, Any]]:
    """Every memory with its class: ``constant`` (never written) or ``state``."""
    found: list[dict[str, Any]] = [
        {"name": part.name, "class": "constant", "width": part.width, "depth": part.depth,
         "image": part.file, "copies": copies, "ports": 2 if isinstance(part, RomPair) else 1}
        for part, copies in chip.roms()
    ]  # fmt: skip
    for name, part in chip.parts.items():
        if isinstance(part, SpaceAttention):
            memories = {"cache": (part.caches[0], len(part.caches)), "scores": (part.scores, 1)}
            found += [
                {"name": f"{label(name)}_{role}", "class": "state", "width": memory.width,
                 "depth": memory.depth, "copies": copies, "ports": 1}
                for role, (memory, copies) in memories.items()
            ]  # fmt: skip
    return sorted(found, key=lambda item: str(item["name"]))
