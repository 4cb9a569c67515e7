"""A design as Yosys writes it (``write_json``): modules, cells, bits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rtl_gen.errors import FlowError

Bit = int | str
"""Number of a net, or a constant: ``"0"``, ``"1"``, ``"x"`` or ``"z"``."""


class EvidenceError(FlowError):
    """An artefact cannot be read as what it should be."""


@dataclass(frozen=True, slots=True)
class Cell:
    """An instance of a primitive or of a module.

    Parameters
    ----------
    type : str
    parameters : mapping of str to str
        As Yosys writes them: binary digits, or text.
    pins : mapping of str to sequence of Bit
    outputs : frozenset of str
        Pins that drive their bits.
    attributes : mapping of str to str
    """

    type: str
    parameters: Mapping[str, str]
    pins: Mapping[str, Sequence[Bit]]
    outputs: frozenset[str]
    attributes: Mapping[str, str]

    def number(self, parameter: str, default: int | None = None) -> int:
        """Value of a parameter that is a number.

        Raises
        ------
        EvidenceError
            If it is absent and has no default, or is not binary.
        """
        if parameter not in self.parameters and default is not None:
            return default
        try:
            return int(self.parameters[parameter], 2)
        except (KeyError, ValueError):
            found = self.parameters.get(parameter, "nothing")
            raise EvidenceError(
                f"a {self.type} must have a number as {parameter}, found {found[:40]}"
            ) from None

    def bit(self, pin: str) -> Bit:
        """The bit at a pin of one bit; ``"x"`` if the pin is not connected."""
        bits = self.pins.get(pin, ())
        return bits[0] if bits else "x"


@dataclass(frozen=True)
class Module:
    """One module.

    Parameters
    ----------
    name : str
    ports : mapping of str to sequence of Bit
    inputs : frozenset of str
        Ports that are inputs.
    cells : mapping of str to Cell
    nets : mapping of str to sequence of Bit
        Named nets.
    parameters : mapping of str to str
        Values of the parameters it was made with.
    routes : mapping of Bit to str
        Wires and switches of every routed net, as nextpnr writes them.
    """

    name: str
    ports: Mapping[str, Sequence[Bit]]
    inputs: frozenset[str]
    cells: Mapping[str, Cell]
    nets: Mapping[str, Sequence[Bit]] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    routes: Mapping[Bit, str] = field(default_factory=dict)

    @cached_property
    def drivers(self) -> Mapping[Bit, tuple[str, str, int]]:
        """The cell, pin and place in it that drive each bit."""
        found: dict[Bit, tuple[str, str, int]] = {}
        for name, cell in self.cells.items():
            for pin in cell.outputs:
                for place, bit in enumerate(cell.pins[pin]):
                    if isinstance(bit, int):
                        found[bit] = (name, pin, place)
        return found


Design = Mapping[str, Module]
"""Modules by name."""


def read(path: Path) -> Design:
    """Read what ``write_json`` of Yosys or ``--write`` of nextpnr wrote.

    Raises
    ------
    EvidenceError
        If the file is absent or of another form.
    """
    try:
        modules = json.loads(path.read_text())["modules"]
        return {name: _module(name, item) for name, item in modules.items()}
    except FileNotFoundError as error:
        raise EvidenceError(f"{path}: no such file; build it with `snakemake`") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(
            f"{path}: not a design as Yosys writes it ({error!r}); remove it and build it again"
        ) from error


def _module(name: str, item: Mapping[str, Any]) -> Module:
    return Module(
        name=name,
        ports={port: tuple(value["bits"]) for port, value in item["ports"].items()},
        inputs=frozenset(
            port for port, value in item["ports"].items() if value["direction"] == "input"
        ),
        cells={key: _cell(value) for key, value in item["cells"].items()},
        nets={key: tuple(value["bits"]) for key, value in item["netnames"].items()},
        parameters={
            key: str(value) for key, value in item.get("parameter_default_values", {}).items()
        },
        routes={
            bit: found
            for net in item["netnames"].values()
            if (found := net.get("attributes", {}).get("ROUTING", "").strip())
            for bit in net["bits"]
        },
    )


def _cell(item: Mapping[str, Any]) -> Cell:
    directions = item.get("port_directions", {})
    return Cell(
        type=item["type"],
        parameters={key: str(value) for key, value in item["parameters"].items()},
        pins={pin: tuple(bits) for pin, bits in item["connections"].items()},
        outputs=frozenset(pin for pin, way in directions.items() if way != "input"),
        attributes={key: str(value) for key, value in item.get("attributes", {}).items()},
    )


def instances(design: Design, top: str) -> Iterator[tuple[str, Module]]:
    """Every module instantiated below `top` with its path, e.g. ``norm.table.array``.

    Raises
    ------
    EvidenceError
        If there is no module `top`.
    """
    if top not in design:
        raise EvidenceError(f"no module {top} in the design, only {', '.join(sorted(design)[:5])}")
    for name, cell in design[top].cells.items():
        if cell.type in design and cell.type != top:
            yield name, design[cell.type]
            for path, module in instances(design, cell.type):
                yield f"{name}.{path}", module


def inlined(design: Design, module: Module) -> Module:
    """A module with the cells of the modules below it, named as flattening names them."""
    cells: dict[str, Cell] = {}
    bits = [bit for port in module.ports.values() for bit in port]
    bits += [bit for cell in module.cells.values() for pin in cell.pins.values() for bit in pin]
    free = max((bit for bit in bits if isinstance(bit, int)), default=0) + 1
    same: dict[Bit, Bit] = {}
    for name, cell in module.cells.items():
        if cell.type not in design:
            cells[name] = cell
            continue
        inner = inlined(design, design[cell.type])
        place: dict[Bit, Bit] = {"0": "0", "1": "1", "x": "x", "z": "z"}
        for port, inside in inner.ports.items():
            for bit, outside in zip(inside, cell.pins.get(port, ()), strict=False):
                # An output may be a constant, or another name of one that was met before.
                if bit not in place:
                    place[bit] = outside
                elif port not in inner.inputs:
                    same[outside] = place[bit]
        for key, item in inner.cells.items():
            pins = {}
            for pin, inside in item.pins.items():
                for bit in inside:
                    if bit not in place:
                        place[bit] = free
                        free += 1
                pins[pin] = tuple(place[bit] for bit in inside)
            cells[f"{name}.{key}"] = replace(item, pins=pins)
    return _renamed(replace(module, cells=cells), same)


def _renamed(module: Module, same: Mapping[Bit, Bit]) -> Module:
    """A module whose bits have one name each."""
    if not same:
        return module

    def names(bits: Sequence[Bit]) -> tuple[Bit, ...]:
        found = []
        for bit in bits:
            while bit in same:
                bit = same[bit]  # noqa: PLW2901  # follows a chain
            found.append(bit)
        return tuple(found)

    return replace(
        module,
        ports={port: names(bits) for port, bits in module.ports.items()},
        nets={net: names(bits) for net, bits in module.nets.items()},
        cells={
            key: replace(cell, pins={pin: names(bits) for pin, bits in cell.pins.items()})
            for key, cell in module.cells.items()
        },
    )


def text(value: str) -> str:
    """A parameter's text; Yosys marks one that looks like a number by a space behind it."""
    return value.removesuffix(" ")
