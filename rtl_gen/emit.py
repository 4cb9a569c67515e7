"""IntegerGraph and plan to files: ``chip.v``, ROM images and the manifest."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from rtl_gen import units
from rtl_gen.adapter.layout import lay_out
from rtl_gen.chip import IDENTITY_BYTES, Chip
from rtl_gen.fabric.adapter_memory import BANKS
from rtl_gen.fabric.adapter_port import REGISTERS
from rtl_gen.fabric.attention_head import PROBABILITY_BITS
from rtl_gen.fabric.rom import RomPair, image
from rtl_gen.fabric.sliced_ram import bank_depths
from rtl_gen.images import Images
from rtl_gen.ir import integer as ir
from rtl_gen.ir import serialize
from rtl_gen.ir.adapter import regions
from rtl_gen.ir.range import accumulator, low_rank_bounds, symmetric
from rtl_gen.ir.verify import verify
from rtl_gen.ir.work import work
from rtl_gen.plan import Plan
from rtl_gen.program import HEADS, SINKS, Program
from rtl_gen.schedule import Schedule, schedule
from rtl_gen.verilog import convert

TAIL_PARTS = ("rotary", "lookup", "weigh", "mul", "add")


@dataclass(frozen=True, slots=True)
class Emitted:
    """A chip as text.

    Parameters
    ----------
    verilog : str
        Module ``chip`` and what it needs; reads its ROM images by the names in `images`.
    images : dict of str to str
        Path relative to the Verilog (``rom/<name>.hex``) to contents.
    manifest : dict
        What the chip is; JSON-serializable.
    """

    verilog: str
    images: dict[str, str]
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Design:
    """A chip as components, before it is Verilog."""

    chip: Chip
    scheduled: Schedule
    contents: Images


def design(graph: ir.IntegerGraph, plan: Plan, images: type[Images] = Images) -> Design:
    """Components of the chip that computes a verified `graph`, and what its ROMs hold.

    Parameters
    ----------
    images : type
        What gathers the contents of the ROMs.

    Raises
    ------
    UnsupportedError
        If no unit computes a node.
    """
    sizes = units.widths(graph)
    contents = images(
        graph,
        plan.lanes,
        sizes.weight,
        sizes.bias,
        sizes.norm_bias,
        sizes.table,
        plan.elements,
    )
    scheduled = schedule(graph, contents, plan)
    contents.add_program(scheduled.program.words())
    parts = units.build(graph, sizes, scheduled.program, contents, plan)
    layout = lay_out(graph, plan)
    geometry = None if layout is None else layout.geometry
    if geometry is not None:
        digest = bytes.fromhex(serialize.digest(graph))
        contents.add_base([int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)])
    chip = Chip(graph, scheduled, parts, sizes.stream, plan.elements, geometry)
    return Design(chip, scheduled, contents)


def emit(graph: ir.IntegerGraph, plan: Plan) -> Emitted:
    """Generate the chip that computes `graph`.

    Raises
    ------
    ValueError
        If the graph breaks a rule of ``docs/ir.md``.
    UnsupportedError
        If no unit computes a node.
    """
    verify(graph)
    made = design(graph, plan)
    chip, scheduled, contents = made.chip, made.scheduled, made.contents
    verilog = convert(chip, "chip") + _cores(chip)
    files = {
        part.file: contents.text(part.name, part.depth, part.width)
        for part, _ in chip.roms()
        if part is not chip.identity
    }
    identity = _identity(graph, verilog, files)
    files[chip.identity.file] = image(bytes.fromhex(identity), 8)
    manifest = _manifest(graph, plan, chip, scheduled, contents, identity)
    return Emitted(verilog, files, manifest)


def _cores(chip: Chip) -> str:
    """Verilog of the matrices that are wired in space."""
    etched = chip.units.get("etched")
    return "" if etched is None else "".join(item.core.verilog for item in etched.cores)


def _identity(graph: ir.IntegerGraph, verilog: str, files: dict[str, str]) -> str:
    """SHA-256 over the checkpoint's digest, the Verilog and every other ROM image."""
    digest = hashlib.sha256()
    for part in (graph.origin.get("checkpoint", ""), verilog, *(files[n] for n in sorted(files))):
        digest.update(hashlib.sha256(part.encode()).digest())
    assert digest.digest_size == IDENTITY_BYTES
    return digest.hexdigest()


def _value(value: ir.Value) -> dict[str, Any]:
    return {"type": str(value.type), "shape": list(value.shape), "scale": value.scale}


def _state(name: str, width: int, depth: int, copies: int = 1) -> dict[str, Any]:
    return {
        "name": name, "class": "state", "width": width, "depth": max(2, depth), "copies": copies,
        "ports": 1,
    }  # fmt: skip


def _memories(chip: Chip) -> list[dict[str, Any]]:
    """Every memory with its class: ``constant`` (never written), ``adapter`` or ``state``."""
    found = [
        {"name": part.name, "class": "constant", "width": part.width, "depth": part.depth,
         "image": part.file, "copies": copies, "ports": 2 if isinstance(part, RomPair) else 1}
        for part, copies in chip.roms()
    ]  # fmt: skip
    if chip.adapter_port is not None:
        geometry = chip.adapter_port.geometry
        found += [
            {"name": f"adapter_{bank}", "class": "adapter", "width": width,
             "depth": geometry.slots * words, "copies": 1, "ports": 1}
            for bank, width, words in zip(BANKS, geometry.widths, geometry.words, strict=True)
        ]  # fmt: skip
    memory = chip.memory
    width = memory.width * memory.elements
    found += [_state(f"vector_{copy}", width, memory.depth) for copy in "ab"]
    history = chip.sequencer.history
    if history is not None:
        found.append(_state("history", history.width, history.depth))
    attention = chip.units.get("attention")
    if attention is not None:
        for cache, depth in product("kv", bank_depths(attention.words)):
            width = attention.word_bits // attention.slices
            found.append(_state(f"{cache}_cache", width, depth, attention.slices))
        found.append(_state("scores", attention.scores.width, attention.scores.depth))
    for name, unit in chip.units.items():
        queue = getattr(unit, "queue", None)
        if queue is not None:
            found.append(_state(f"{name}_queue", queue.width, queue.depth))
    return sorted(found, key=lambda item: str(item["name"]))


def _adapters(graph: ir.IntegerGraph, chip: Chip) -> dict[str, Any]:
    """What a host needs to know of the adapter memory, and the bounds that hold for any image."""
    if chip.adapter_port is None:
        return {}
    geometry = chip.adapter_port.geometry
    bounds = {
        node.name: low_rank_bounds(op, graph.value(node.inputs[0])) for node, op in regions(graph)
    }
    return {
        "adapters": {
            "base": serialize.digest(graph),
            "slots": geometry.slots,
            "host_words": geometry.host_words,
            "bits": geometry.bits,
            "rank": regions(graph)[0][1].rank,
            "accumulators": {
                name: [str(symmetric(bound)) for bound in pair] for name, pair in bounds.items()
            },
            "registers": [asdict(item) for item in REGISTERS],
        }
    }


def _products(chip: Chip) -> list[dict[str, int]]:
    """Lane multipliers: widths of the operands and number."""
    found = []
    matvec, attention = (chip.units.get(name) for name in ("matvec", "attention"))
    if matvec is not None:
        count = matvec.lanes * matvec.elements
        factor = max(matvec.weight_width, matvec.element_width)
        found.append({"a": matvec.x_width, "b": factor, "count": count})
    if attention is not None:
        count = attention.parallel * attention.head_dim
        found.append({"a": PROBABILITY_BITS + 1, "b": attention.element_bits, "count": count})
    return found


def _encoding(program: Program) -> dict[str, dict[str, Any]]:
    """Where an instruction keeps each field, or the one value that it has."""
    return {
        name: {"constant": field.constant}
        if field.constant is not None
        else {"offset": field.offset, "width": field.width, "signed": field.signed}
        for name, field in program.fields.items()
    }


def _manifest(
    graph: ir.IntegerGraph,
    plan: Plan,
    chip: Chip,
    scheduled: Schedule,
    contents: Images,
    identity: str,
) -> dict[str, Any]:
    samples = [node for node in graph.nodes if isinstance(node.op, ir.Sample)]
    beta = None
    if samples:
        assert isinstance(samples[0].op, ir.Sample)
        scale = graph.value(samples[0].inputs[0]).scale
        beta = scale * 2.0 ** (8 + samples[0].op.shift)
    products = (ir.ConstMatVec, ir.ExpertMatVec, ir.Conv2d, ir.Embedding)
    return {
        "name": "chip",
        "architecture": graph.architecture,
        "kind": "token" if graph.vocabulary else "frame",
        "inputs": {item.name: {"kind": item.kind} | _value(item.value) for item in graph.inputs},
        "outputs": {
            name: _value(graph.value(value)) for name, value in sorted(graph.outputs.items())
        },
        "vocabulary": graph.vocabulary,
        "context": graph.context,
        "bos": list(graph.bos),
        "eos": list(graph.eos),
        **({"replay": graph.replay} if graph.replay else {}),
        "beta_per_unit_temperature": beta,
        "identity": identity,
        "weights": asdict(work(graph)),
        "origin": dict(graph.origin),
        "plan": {
            "lanes": plan.lanes,
            "elements": plan.elements,
            "heads": plan.heads,
            "slots": plan.slots,
            "styles": dict(plan.styles),
            "top_k": plan.top_k,
            "block_rams": plan.block_rams,
        },
        # With a matrix wired in space, chip.v depends on the values of these weights.
        "weights_in_logic": sorted({item.name for item in contents.etched}),
        "memories": _memories(chip),
        "products": _products(chip),
        "active": list(chip.activity),
        "units": sorted([*chip.units, "memory", "sequencer", "identity"]),
        "accumulators": {
            node.name: str(accumulator(node, graph))
            for node in graph.nodes
            if isinstance(node.op, products)
        },
        **_adapters(graph, chip),
        "program": {
            "fields": _encoding(scheduled.program),
            # First instruction of the second program, that of steps with an active adapter.
            "adapted": scheduled.program.adapted,
        },
        "schedule": [
            {
                "nodes": list(instruction.nodes),
                "head": HEADS[instruction.fields["head"]],
                "sink": SINKS[instruction.fields["sink"]],
                "tail": [
                    n for n in ("rotary", "lookup", "weigh", "mul", "add") if instruction.fields[n]
                ],
            }
            for instruction in scheduled.program.instructions
        ],
    }
