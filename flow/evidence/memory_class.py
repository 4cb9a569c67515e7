"""Memories have classes: ROMs are never written, and no host port writes one of the others.

``constant``: no write port at all. ``state``: written by the datapath; no value at a host port
flows into one, except elements of a frame, which are what a step is given. ``adapter``: written by
the host through its own ports, which reach nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flow.evidence import adapter_cone, reach
from flow.evidence.design import Bit, Design, Module, instances, text

ADAPTER_PORTS = "adapter"
"""First letters of the ports by which a host writes adapters."""

ADAPTER_MEMORY = "adapter_memory."
"""First letters of the paths of adapter memories."""

_CLOCKS = {"clk", "rst"}
_SAMPLER_PORTS = ("seed",)
_DATA_BITS = 16
_HOST_BITS = 32
"""Bits of a register of the adapter port."""


def of_rtl(
    hierarchical: Design, flat: Module, manifest: Mapping[str, Any]
) -> tuple[list[str], dict[str, int]]:
    """Check the classes on the elaborated RTL.

    Parameters
    ----------
    hierarchical : Design
        With modules, so that a memory is known by its image.
    flat : Module
        The same in one module, so that signals can be followed.
    manifest : mapping

    Returns
    -------
    findings : list of str
    numbers : dict of str to int
    """
    found: Counter[tuple[str, int, int]] = Counter()
    findings: list[str] = []
    for path, module in [("", hierarchical["chip"]), *instances(hierarchical, "chip")]:
        for name, cell in module.cells.items():
            if not cell.type.startswith("$mem"):
                continue
            rom = bool(text(module.parameters.get("FILE", "")))
            ports = cell.number("WR_PORTS")
            if rom and ports:
                findings.append(f"{path}.{name}: a ROM with {ports} write ports")
            if not rom and "x" not in cell.parameters["INIT"]:
                findings.append(f"{path}.{name}: a memory that is written starts with contents")
            kind = "constant" if rom else "written"
            found[kind, cell.number("WIDTH"), cell.number("SIZE")] += 1
    listed: Counter[tuple[str, int, int]] = Counter()
    for item in manifest["memories"]:
        kind = "constant" if item["class"] == "constant" else "written"
        for width in _pieces(item):
            listed[kind, width, int(item["depth"])] += int(item.get("copies", 1))
    # One that is listed and never read may be gone: nothing is lost by that.
    findings += [
        f"{number} {kind} memories of {depth} words of {width} bits: not in the manifest"
        for (kind, width, depth), number in (found - listed).items()
    ]
    findings += _host(flat, manifest)
    return findings, {
        "constant memories": sum(n for (kind, *_), n in found.items() if kind == "constant"),
        "written memories": sum(n for (kind, *_), n in found.items() if kind == "written"),
        "host bits followed": sum(len(bits) for _, bits in _host_ports(flat)),
    }


def _pieces(item: Mapping[str, Any]) -> list[int]:
    """Widths of the memories of the RTL that a memory of the manifest is.

    One that a host writes is cut into pieces of what it writes at once.
    """
    width = int(item["width"])
    if item["class"] != "adapter":
        return [width]
    return [min(_HOST_BITS, width - first) for first in range(0, width, _HOST_BITS)]


def _host_ports(flat: Module) -> Iterator[tuple[str, Sequence[Bit]]]:
    for port in sorted(flat.inputs - _CLOCKS):
        yield port, flat.ports[port]


def _host(flat: Module, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Writes that a host port reaches and must not."""
    frames = manifest["kind"] == "frame"
    for port, bits in _host_ports(flat):
        if port.startswith(ADAPTER_PORTS):
            allowed: tuple[str, ...] = ("adapter",)
        elif frames and port == "i__payload":
            allowed = ("state",)
        else:
            allowed = ()
        values = reach.forward(flat, bits, choices=False)
        yield from _written(flat, values, allowed, f"values at {port} flow")
        if not frames and (port == "i__payload" or port in _SAMPLER_PORTS):
            # The last bit of a beat is control; the data and the seed choose nothing either.
            reached = reach.forward(flat, bits[:_DATA_BITS] if port == "i__payload" else bits)
            yield from _written(flat, reached, allowed, f"{port} has influence")


def _written(flat: Module, reached: set[Bit], allowed: tuple[str, ...], what: str) -> Iterator[str]:
    for name, cell in flat.cells.items():
        if not reach.is_memory(cell) or not cell.number("WR_PORTS", 1):
            continue
        kind = "adapter" if name.startswith(ADAPTER_MEMORY) else "state"
        if kind in allowed:
            continue
        for group, pins in reach.memory_pins(cell).items():
            if not reached.isdisjoint(pins):
                yield f"{what} into the write {group} of {name}"


def of_netlist(design: Design, manifest: Mapping[str, Any]) -> tuple[list[str], dict[str, int]]:
    """Check the classes on mapped cells.

    Every cell that keeps words belongs to a memory of the RTL, and those of a ROM cannot be
    written: a block's write enable or port enable is wired to 0, and no distributed RAM is there.
    The adapter port reaches nothing but the adapter memory (`flow.evidence.adapter_cone`).
    """
    findings: list[str] = []
    numbers = Counter({"ROM cells": 0, "RAM cells": 0})
    for path, module in [("", design["chip"]), *instances(design, "chip")]:
        rom = bool(text(module.parameters.get("FILE", "")))
        ram = module.name.endswith("\\ram") or module.parameters.keys() >= {"WIDTH", "DEPTH"}
        for name, cell in module.cells.items():
            if not reach.is_memory(cell):
                continue
            numbers["ROM cells" if rom else "RAM cells"] += 1
            if rom and cell.type != "DP16KD":
                findings.append(f"{path}.{name}: a ROM in a {cell.type}, which can be written")
            elif rom:
                findings += [
                    f"{path}.{name}: port {port} of a ROM can be written"
                    for port in "AB"
                    if "0" not in (cell.bit(f"WE{port}"), cell.bit(f"CE{port}"))
                ]
            elif not ram:
                findings.append(f"{path}.{name}: a {cell.type} outside the memories of the RTL")
    images = {item["image"] for item in manifest["memories"] if item["class"] == "constant"}
    there = {text(module.parameters.get("FILE", "")) for _, module in instances(design, "chip")}
    findings += [f"{image}: no such ROM in the netlist" for image in sorted(images - there)]
    found = dict(numbers)
    if "adapters" in manifest:
        strayed, reached = adapter_cone.of_netlist(design)
        findings, found = [*findings, *strayed], found | reached
    return findings, found
