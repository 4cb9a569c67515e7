"""What a chip is made of, as kinds of parts with the parameters that decide their size.

A part is a module of the netlist without the modules in it. The parameters are read from the
components that the generator built: a prediction cannot disagree with the generator about them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rtl_gen import tail
from rtl_gen.blocks.add import Add
from rtl_gen.blocks.attention import Attention
from rtl_gen.blocks.const_matvec import ConstMatVec
from rtl_gen.blocks.embedding import Embedding
from rtl_gen.blocks.lookup import Lookup
from rtl_gen.blocks.max_pool import MaxPool
from rtl_gen.blocks.mul import Mul
from rtl_gen.blocks.norm import Norm
from rtl_gen.blocks.rotary import Rotary
from rtl_gen.blocks.router import Router, ScoredRouter
from rtl_gen.blocks.sample import Sample
from rtl_gen.blocks.serial_matvec import SerialMatVec
from rtl_gen.chip import HEAD_CONFIG, TAIL_CONFIG, UNCOUNTED, Chip
from rtl_gen.fabric.adapter_memory import BANKS, AdapterMemory
from rtl_gen.fabric.adapter_port import AdapterPort
from rtl_gen.fabric.address import LEVELS
from rtl_gen.fabric.attention_head import PROBABILITY_BITS, AttentionHead
from rtl_gen.fabric.etched import Etched
from rtl_gen.fabric.largest import Largest
from rtl_gen.fabric.lockstep import Lockstep
from rtl_gen.fabric.ram import Ram
from rtl_gen.fabric.rom import Rom, RomPair
from rtl_gen.fabric.sequencer import Sequencer
from rtl_gen.fabric.skid import Skid
from rtl_gen.fabric.sliced_ram import bank_depths
from rtl_gen.fabric.vector_memory import VectorMemory
from rtl_gen.ir.types import IntType
from rtl_gen.program import HEADS


@dataclass(frozen=True, slots=True)
class Part:
    """One module, or `count` equal ones.

    Parameters
    ----------
    kind : str
        Key of `rtl_gen.plan.feature.FEATURES`.
    parameters : tuple of (str, int)
        Sorted by name.
    count : int
    """

    kind: str
    parameters: tuple[tuple[str, int], ...]
    count: int = 1

    @property
    def sizes(self) -> Mapping[str, int]:
        """Parameters by name."""
        return dict(self.parameters)


def part(kind: str, count: int = 1, **parameters: int) -> Part:
    """Part with `parameters` in their canonical order."""
    return Part(kind, tuple(sorted((name, int(value)) for name, value in parameters.items())),
                count)  # fmt: skip


def _bits(component: Any, port: str) -> int:
    """Width of a plain port."""
    return len(getattr(component, port))


def _beat(component: Any, stream: str) -> int:
    """Width of a stream's payload."""
    return len(getattr(component, stream).payload)


def _memory(memory: Rom | RomPair | Ram) -> Part:
    kinds = {Rom: "rom", RomPair: "rom_pair", Ram: "ram"}
    return part(kinds[type(memory)], width=memory.width, depth=memory.depth)


Fixed = Mapping[str, int]
"""Ports that the chip ties to a constant, which Amaranth carries into the unit, and its value."""

NOTHING: Fixed = {}


def of_component(component: Any, fixed: Fixed = NOTHING) -> list[Part]:
    """Parts of one component, those inside of it included; the component's own comes first.

    Raises
    ------
    TypeError
        If the component is of no known kind.
    """
    return list(_walk(component, fixed))


def _bounded(fixed: Fixed) -> int:
    return int("low" in fixed and "high" in fixed)


def _shifted(fixed: Fixed, port: str) -> int:
    """Whether a product with this port is a shift: it is always the same power of two."""
    return int(fixed.get(port, 0).bit_count() == 1)


def _walk(unit: Any, fixed: Fixed) -> Iterator[Part]:
    match unit:
        case Rom() | RomPair() | Ram():
            yield _memory(unit)
        case Lockstep():
            for copy in unit.copies:
                yield from _walk(copy, fixed)
        case Skid():
            yield part("skid", bits=_beat(unit, "o"))
        case VectorMemory():
            yield from _vector_memory(unit, fixed)
        case Sequencer():
            depth = (unit.program.depth - 1).bit_length()
            yield part("sequencer", width=unit.program.width, depth_bits=depth,
                       tokens=unit.tokens, ends=len(unit.eos))  # fmt: skip
            yield _memory(unit.program)
            if unit.history is not None:
                yield _memory(unit.history)
        case ConstMatVec():
            yield from _const_matvec(unit)
        case Embedding():
            yield part(
                "embedding", elements=unit.elements, table_bits=_bits(unit, "table_base"),
                row_bits=_bits(unit, "row_base"), index_bits=_bits(unit, "index"),
                column_bits=_bits(unit, "columns"),
                **({"shifted": 1} if _shifted(fixed, "columns") else {}),
            )  # fmt: skip
            yield part("requantize", unit.elements, acc=unit.table_width, width=unit.width)
            yield from (_memory(unit.table), _memory(unit.multipliers))
        case Norm():
            yield part(
                "norm", width=_bits(unit, "low"), elements=unit.elements, size_bits=unit.size_bits,
                half_bits=unit.half_bits, square_bits=unit.square_bits, bias=unit.bias_width,
                gain_bits=_bits(unit, "gain_base"), centered=int(fixed.get("center") != 0),
                scaled=1 - _shifted(fixed, "size"),
            )  # fmt: skip
            yield from (_memory(unit.table), _memory(unit.gains))
        case Rotary():
            yield part("rotary", width=_bits(unit, "low"), elements=unit.elements,
                       table_bits=_bits(unit, "table_base"), bounded=_bounded(fixed))  # fmt: skip
            yield _memory(unit.table)
        case Attention():
            yield from _attention(unit)
        case Lookup():
            yield part("lookup", elements=unit.elements, address_bits=_bits(unit, "offset"))
            yield from (_memory(table) for table in unit.tables)
        case Mul():
            yield part("mul", width=_beat(unit, "o"), bounded=_bounded(fixed))
        case Add():
            yield part("add", width=_beat(unit, "o"), bounded=_bounded(fixed))
        case Etched():
            yield from _etched(unit)
        case Router():
            yield part("router", width=unit.width, elements=unit.elements, experts=unit.experts,
                       k=unit.k, index_bits=unit.index_bits,
                       parts=int(not unit.normalize))  # fmt: skip
            yield from (_memory(unit.exp2), _memory(unit.reciprocal))
        case ScoredRouter():
            yield part("scored_router", width=unit.width, elements=unit.elements,
                       experts=unit.experts, k=unit.k, index_bits=unit.index_bits,
                       divides=int(unit.normalize), biased=int(unit.bias is not None),
                       groups=unit.groups * unit.grouped, kept=unit.kept * unit.grouped,
                       best=unit.best * unit.grouped)  # fmt: skip
            yield from (_memory(rom) for rom in (unit.reciprocal, unit.bias) if rom is not None)
        case MaxPool():
            yield part("pool", width=_beat(unit, "o"), window_bits=_bits(unit, "last"))
        case Sample():
            yield part("sample", elements=unit.elements, width=_beat(unit, "i") // unit.elements,
                       vocabulary_bits=unit.vocabulary.bit_length(),
                       **({"selects": 1} if unit.places else {}))  # fmt: skip
            yield from (_memory(noise) for noise in unit.noises)
            if unit.places:
                width = _beat(unit, "i")
                yield part("skid", bits=width)
                yield from of_component(unit.largest)
        case AdapterPort():
            yield part("adapter_port", slots=unit.geometry.slots,
                       place_bits=_bits(unit, "offset") + _bits(unit, "piece"))  # fmt: skip
            yield _memory(unit.base)
        case AdapterMemory():
            yield from _adapter_memory(unit)
        case Largest():
            yield part("largest", places=unit.places, width=unit.width,
                       bits=unit.width + unit.rest_width)  # fmt: skip
        case _:
            raise TypeError(f"{type(unit).__name__} is no part that the cost model knows")


def walker(address_bits: int, last_bits: Iterable[int]) -> Part:
    """Address generator whose levels count up to `last_bits` bits; 0 for a level that is unused."""
    used = [bits for bits in last_bits if bits]
    return part("walker", address_bits=address_bits, index_bits=sum(used), levels=len(used))


def _vector_memory(unit: VectorMemory, fixed: Fixed) -> Iterator[Part]:
    bits = unit.width * unit.elements
    readers = 1 + (fixed.get("b_start") != 0)
    levels = {
        prefix: [
            0 if fixed.get(f"{prefix}_last{level}") == 0 else bits
            for level, bits in enumerate(lasts)
        ]
        for prefix, lasts in unit.last_bits.items()
    }
    yield part("vector_memory", bits=bits, address_bits=unit.address_bits, readers=readers,
               count_bits=sum(levels["a"]) + sum(levels["d"]))  # fmt: skip
    for prefix, lasts in levels.items():
        if prefix != "b" or readers == 2:
            yield walker(unit.address_bits, lasts)
    yield part("ram", readers, width=bits, depth=unit.depth)
    yield part("skid", readers, bits=bits)


def _const_matvec(unit: ConstMatVec) -> Iterator[Part]:
    yield part(
        "const_matvec", lanes=unit.lanes, elements=unit.elements, x=unit.x_width,
        weight=unit.weight_width, acc=unit.acc_width, bias=unit.bias_width,
        weight_bits=_bits(unit, "weight_base"), row_bits=_bits(unit, "row_base"),
    )  # fmt: skip
    # The same lanes multiply an adapter's elements.
    factor = max(unit.weight_width, unit.element_width)
    yield part("lane", unit.lanes * unit.elements, a=unit.x_width, b=factor)
    wide = max(unit.acc_width, unit.bias_width) + 1
    yield part("requantize", unit.elements, acc=wide, width=unit.width)
    yield from (_memory(unit.weights), _memory(unit.row_constants))


def _adapter_memory(unit: AdapterMemory) -> Iterator[Part]:
    held = unit.geometry
    yield part("adapter_memory", word=sum(held.widths), slots=held.slots,
               address_bits=sum(_bits(unit.read, f"{bank}_addr") for bank in BANKS))  # fmt: skip
    for index, words in enumerate(held.words):
        for width in held.pieces(index):
            yield part("ram", width=width, depth=max(2, held.slots * words))


def _etched(unit: Etched) -> Iterator[Part]:
    yield part(
        "etched", vector=unit.columns * unit.x_width, queue=unit.rows_held * unit.acc_width,
        cores=len(unit.cores), elements=unit.elements, acc=max(unit.acc_width, unit.bias_width),
        row_bits=_bits(unit, "row_base"),
    )  # fmt: skip
    wide = max(unit.acc_width, unit.bias_width) + 1
    yield part("requantize", unit.elements, acc=wide, width=unit.width)
    yield _memory(unit.row_constants)
    for graph, shape in zip(unit.cores, unit.shapes, strict=True):
        yield graph_part(graph, shape)


def graph_part(graph: Any, shape: tuple[int, int, IntType]) -> Part:
    """A matrix as an adder graph, with its serializer and collector."""
    rows, columns, x = shape
    if isinstance(graph, SerialMatVec):
        return part(
            "serial_graph", nodes2=graph.core.nodes2, nodes3=graph.core.nodes3,
            twins=graph.core.twins, delays=graph.core.delays, vector=columns * x.width,
            columns=columns, results=rows * graph.acc.width, words=rows * graph.period,
        )  # fmt: skip
    return part("parallel_graph", adder_bits=graph.core.adder_bits, registers=graph.core.registers)


def _attention(unit: Attention) -> Iterator[Part]:
    head = unit.units[0]
    yield part(
        "attention", parallel=unit.parallel, head_dim=unit.head_dim, elements=unit.elements,
        element=unit.element_bits, acc=head.acc_bits, sum_bits=head.sum_bits,
        word=unit.word_bits, base_bits=_bits(unit, "cache_base"), width=_bits(unit, "low"),
        slices=unit.slices, banks=len(bank_depths(unit.words)),
    )  # fmt: skip
    yield attention_head(head, unit.parallel)
    yield part("lane", unit.parallel * unit.head_dim, a=PROBABILITY_BITS + 1, b=unit.element_bits)
    for depth in bank_depths(unit.words):
        yield part("ram", 2 * unit.slices, width=unit.word_bits // unit.slices, depth=depth)
    yield _memory(unit.scores)
    yield from (_memory(table) for table in unit.exp2)
    yield _memory(unit.reciprocal)
    if unit.sinks is not None:
        yield _memory(unit.sinks)


def attention_head(head: AttentionHead, count: int = 1) -> Part:
    """One of the heads that are computed at once, without its multipliers and memories."""
    return part(
        "attention_head", count, head_dim=head.head_dim, element=head.element_bits,
        score=head.score_bits, acc=head.acc_bits, sum_bits=head.sum_bits,
        elements=head.elements,
    )  # fmt: skip


def of_chip(chip: Chip) -> dict[str, list[Part]]:
    """Parts of a chip by unit; key ``control`` is what lies between the units.

    A unit that the cost model does not know has no parts.
    """
    constant = {n: f.constant for n, f in chip.program.fields.items() if f.constant is not None}
    walks = {name: constant.get(name, 0) for name in walk_fields() if name not in free(chip)}
    reader = {"b_start": 0} if constant.get("use_b") == 0 else {}
    units = {
        "memory": of_component(chip.memory, walks | reader),
        "sequencer": _without_constant_bits(of_component(chip.sequencer), chip),
        "identity": of_component(chip.identity),
    }
    if chip.adapter_port is not None:
        units["adapter"] = of_component(chip.adapter_port) + of_component(chip.adapter_memory)
    for name, unit in chip.units.items():
        heads = {UNIT_OF.get(head, head): ports for head, ports in HEAD_CONFIG.items()}
        ports = heads.get(name, {}) | TAIL_CONFIG.get(name, {})
        fixed = {port: constant[field] for port, field in ports.items() if field in constant}
        try:
            units[name] = of_component(unit, fixed)
        except TypeError:
            units[name] = []
    bits = chip.width * chip.elements
    tails = sum(name in chip.units for name, _ in tail.PARTS)
    config = sum(
        _bits(chip.units[unit], port)
        for head, ports in HEAD_CONFIG.items()
        for unit in [UNIT_OF.get(head, head)] if unit in chip.units
        for port, field in ports.items()
        if field not in constant and port in chip.units[unit].signature.members
    )  # fmt: skip
    # One at the end of the tail, and where it is cut one in its middle.
    units["control"] = [
        part("control", bits=bits, units=len(chip.units), tokens=chip.tokens, tails=tails,
             config=config),
        part("skid", 1 + has_cut(chip), bits=bits),
    ]  # fmt: skip
    return units


def has_cut(chip: Chip) -> bool:
    """Whether a register cuts the chip's tail in two."""
    used = {HEADS[item.fields["head"]] for item in chip.program.instructions}
    return tail.has_cut(chip.units, counted=not used & UNCOUNTED)


UNIT_OF = {"attend": "attention"}
"""Units of the heads that are called otherwise."""


def walk_fields() -> list[str]:
    """Fields that say how far the levels of the walks count."""
    return [f"{prefix}_last{level}" for prefix in "abd" for level in range(LEVELS)]


def free(chip: Chip) -> set[str]:
    """Fields that differ between instructions."""
    return {name for name, field in chip.program.fields.items() if field.constant is None}


def _without_constant_bits(parts: list[Part], chip: Chip) -> list[Part]:
    """Synthesis leaves out the bits of the program ROM that are the same in every word."""
    words = chip.program.words()
    varying = 0
    for word in words:
        varying |= word ^ words[0]
    rom = part("rom", width=max(1, varying.bit_count()), depth=max(2, len(words)))
    return [rom if item.kind == "rom" else item for item in parts]


def merged(parts: Iterable[Part]) -> list[Part]:
    """Equal parts together, sorted."""
    counts: Counter[tuple[str, tuple[tuple[str, int], ...]]] = Counter()
    for item in parts:
        counts[item.kind, item.parameters] += item.count
    return [Part(kind, parameters, count) for (kind, parameters), count in sorted(counts.items())]
