"""Are the numbers in a chip those of its integer graph? Each of them, and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from flow.evidence.adders import Cores
from flow.evidence.design import EvidenceError
from flow.evidence.instruction import read
from flow.evidence.layout import Bits, Reader
from rtl_gen.ir import serialize
from rtl_gen.ir.integer import IntegerGraph

IDENTITY_BYTES = 32
MOST_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and what differs.

    Parameters
    ----------
    tensors, numbers, scalars, bits : int
        Tensors of the graph; their elements; shifts, factors and bounds of instructions; bits of
        all constant memories.
    differences : tuple of str
        One line each, at most `MOST_DIFFERENCES`.
    """

    tensors: int
    numbers: int
    scalars: int
    bits: int
    differences: tuple[str, ...]


def compare(
    words: Mapping[str, Bits],
    manifest: Mapping[str, Any],
    graph: IntegerGraph,
    verilog: str,
    cores: Cores | None = None,
) -> Comparison:
    """Compare the constant memories of a chip with its graph.

    Parameters
    ----------
    words : mapping of str to uint8, shape (depth, width)
        Bits of every constant memory as they were read back, by name.
    manifest : mapping
    graph : IntegerGraph
    verilog : str
        Text of ``chip.v``, a part of the identity.
    cores : Cores, optional
        Matrices wired in space; a chip with such is not that of its graph without them.

    Returns
    -------
    Comparison
        Every tensor of the graph is found and equal; every shift, factor and bound of the program
        is; the tables of the specification are; no other bit of a constant memory is set, program
        aside; and the identity ROM holds the digest of the checkpoint, the Verilog and all other
        memories as they were read.
    """
    reader = Reader(words, manifest, graph, cores)
    found: list[str] = []
    missing = set(_used(graph))
    numbers = scalars = 0
    try:
        tensors, values = read(reader)
    except EvidenceError as error:
        tensors, values = [], []
        found.append(str(error))
    for tensor in tensors:
        wanted = graph.constants[tensor.name].data
        missing.discard(tensor.name)
        numbers += wanted.size
        found += _unequal(tensor.name, tensor.where, tensor.data, wanted)
    for value in values:
        scalars += 1
        if value.found != value.wanted:
            found.append(
                f"{value.node}: {value.field} is {value.found} in {value.where}, "
                f"{value.wanted} in the graph"
            )
    wired = set(manifest.get("weights_in_logic", ()))
    found += [
        f"{name}: wired in space as an adder graph, which was not read back"
        if name in wired
        else f"{name}: no instruction of the chip uses it"
        for name in sorted(missing)
    ]
    found += _tables(reader)
    found += _adapter_base(reader)
    found += _identity(reader, verilog)
    reader.claimed.get("program", np.zeros(0))[...] = True
    found += reader.unclaimed()
    return Comparison(
        tensors=len({tensor.name for tensor in tensors}),
        numbers=numbers,
        scalars=scalars,
        bits=sum(bits.size for bits in words.values()),
        differences=tuple(dict.fromkeys(found))[:MOST_DIFFERENCES],
    )


def _used(graph: IntegerGraph) -> Iterator[str]:
    """Constants that some node names."""
    for node in graph.nodes:
        for slot in ("table", "multiplier", "weight", "bias", "gain", "cos", "sin", "noise"):
            name = getattr(node.op, slot, None)
            if name is not None:
                yield name


def _unequal(name: str, where: str, found: Any, wanted: Any) -> Iterator[str]:
    if found.shape != wanted.shape:
        yield f"{name}: shape {found.shape} in {where}, {wanted.shape} in the graph"
        return
    places = np.argwhere(found != wanted)
    if len(places):
        at = tuple(places[0].tolist())
        yield (
            f"{name}{list(at)}: {found[at]} in {where}, {wanted[at]} in the graph"
            + (f", and {len(places) - 1} more of {wanted.size}" if len(places) > 1 else "")
        )


def _tables(reader: Reader) -> Iterator[str]:
    """The tables that belong to the specification, computed from its formulas once more."""
    formulas = {
        "rsqrt": [_rsqrt(m) if m >= 256 else 0 for m in range(1024)],
        "reciprocal": [round(2**25 / (m + 0.5)) if m >= 512 else 0 for m in range(1024)],
        "exp2": [round(2.0 ** (15 - f / 256)) for f in range(256)],
    }
    for name, formula in formulas.items():
        if name in reader.words:
            width = min(int(reader.words[name].shape[1]), 16)
            place = np.arange(len(formula))
            found = reader.numbers(name, place, np.array(0), width, signed=False)
            yield from _unequal(name, "its memory", found, np.array(formula, np.int64))


def _rsqrt(m: int) -> int:
    """``round(sqrt(2**40 / (m + 1/2)))``, at most 65535, in integers."""
    return min((isqrt((1 << 43) // (2 * m + 1)) + 1) // 2, 65535)


def _adapter_base(reader: Reader) -> Iterator[str]:
    """The digest of the graph, which an adapter image must name to be loaded."""
    if "adapter_base" in reader.words:
        stored = reader.numbers(
            "adapter_base", np.arange(IDENTITY_BYTES // 4), np.array(0), 32, signed=False
        )
        found = b"".join(int(word).to_bytes(4, "little") for word in stored).hex()
        if found != serialize.digest(reader.graph):
            yield "adapter_base: not the digest of the graph; adapters made for it are refused"


def _identity(reader: Reader, verilog: str) -> Iterator[str]:
    """The identity ROM against the digest of everything that was read."""
    if "identity" not in reader.words:
        yield "the chip has no identity ROM"
        return
    stored = reader.numbers("identity", np.arange(IDENTITY_BYTES), np.array(0), 8, signed=False)
    digest = hashlib.sha256()
    origin = str(reader.manifest["origin"].get("checkpoint", ""))
    images = {
        item["image"]: hexadecimal(reader.words[item["name"]])
        for item in reader.manifest["memories"]
        if item["class"] == "constant" and item["name"] != "identity"
        and item["name"] in reader.words
    }  # fmt: skip
    for part in (origin, verilog, *(images[name] for name in sorted(images))):
        digest.update(hashlib.sha256(part.encode()).digest())
    found = bytes(stored.tolist()).hex()
    if found != digest.hexdigest():
        yield (
            f"identity: the ROM holds {found[:16]}…, the digest of checkpoint, Verilog and "
            f"memories is {digest.hexdigest()[:16]}…"
        )
    if found != reader.manifest["identity"]:
        yield f"identity: the ROM holds {found[:16]}…, the manifest says otherwise"


def hexadecimal(bits: Bits) -> str:
    """A memory as ``$readmemh`` reads it: a word a line, digits for the whole width."""
    depth, width = bits.shape
    padded = np.zeros((depth, -(-width // 8) * 8), np.uint8)
    padded[:, :width] = bits
    # numpy packs the first bit of a byte highest, so all bits are turned round.
    packed = np.packbits(padded[:, ::-1], axis=1)
    digits = -(-width // 4)
    return "".join(f"{bytes(row).hex()[-digits:]}\n" for row in packed)
