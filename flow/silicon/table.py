"""Liberty read back: groups, and the numbers in their tables.

Of the language only what libraries of cells have: groups, attributes and quoted lists. Times are
given in nanoseconds, capacitances in picofarads, whatever units the library has.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rtl_gen.errors import FlowError

_TOKEN = re.compile(r'"[^"]*"|[{}();:,]|[^\s{}();:,"\\]+')
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_TIME_NS = {"ns": 1.0, "ps": 1e-3}
_CAPACITANCE_PF = {"pf": 1.0, "ff": 1e-3}


@dataclass(slots=True)
class Group:
    """One group: ``kind (name) { attributes, groups }``.

    Parameters
    ----------
    kind, name : str
    values : dict of str to str
        Simple attributes.
    lists : dict of str to tuple of str
        Attributes with arguments.
    groups : list of Group
    """

    kind: str
    name: str
    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def each(self, kind: str) -> Iterator[Group]:
        """Groups of one kind in this one."""
        return (group for group in self.groups if group.kind == kind)


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers over one or two axes, in the library's order of variables.

    Parameters
    ----------
    axes : tuple of tuple of float
        Each in rising order.
    values : tuple of tuple of float
        One row for each place of the first axis; of a table with one axis, a single row.
    """

    axes: tuple[tuple[float, ...], ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, first: float, second: float = 0.0) -> float:
        """Value between the places of the table, or beyond them on the line of the last two."""
        if len(self.axes) == 1:
            return _between(self.axes[0], self.values[0], first)
        column = [_between(self.axes[1], row, second) for row in self.values]
        return _between(self.axes[0], column, first)


@dataclass(frozen=True, slots=True)
class Liberty:
    """A library.

    Parameters
    ----------
    path : Path
    voltage : float
    time_ns, capacitance_pf : float
        The library's units.
    templates : mapping of str to tuple of tuple of float
        Axes of tables by the name of their template, in the library's units.
    cells : mapping of str to Group
    """

    path: Path
    voltage: float
    time_ns: float
    capacitance_pf: float
    templates: Mapping[str, tuple[tuple[float, ...], ...]]
    cells: Mapping[str, Group]

    def table(self, group: Group, *, scale: float = 1.0) -> Table:
        """Table of a group like ``cell_rise (template)``; its values are multiplied by `scale`.

        Axes of a table with two are slew and load; of one with one, slew.
        """
        axes = tuple(
            _numbers(group.lists[f"index_{number + 1}"])
            if f"index_{number + 1}" in group.lists
            else axis
            for number, axis in enumerate(self.templates[group.name])
        )
        units = (self.time_ns, self.capacitance_pf)
        scaled = tuple(
            tuple(value * unit for value in axis) for axis, unit in zip(axes, units, strict=False)
        )
        rows = [_numbers((row,)) for row in group.lists["values"]]
        flat = [value * scale for row in rows for value in row]
        width = len(scaled[-1])
        values = tuple(tuple(flat[i : i + width]) for i in range(0, len(flat), width))
        return Table(scaled, values)


def read(path: Path) -> Liberty:
    """Read a library.

    Raises
    ------
    FlowError
        If the file is absent or is not one.
    """
    if not path.is_file():
        raise FlowError(f"{path}: no such library of cells")
    tokens = _TOKEN.findall(_COMMENT.sub("", path.read_text()))
    try:
        top, _ = _group(tokens, 0)
        if top.kind != "library":
            raise FlowError(f"{path}: expected `library (name)` first, found `{top.kind}`")
        time = re.fullmatch(r"1([a-z]+)", top.values["time_unit"])
        number, unit = top.lists["capacitive_load_unit"]
        templates = {
            group.name: tuple(
                _numbers(group.lists[f"index_{n}"]) for n in (1, 2) if f"index_{n}" in group.lists
            )
            for kind in ("lu_table_template", "power_lut_template")
            for group in top.each(kind)
        }
        return Liberty(
            path, float(top.values["nom_voltage"]), _TIME_NS[time[1] if time else ""],
            float(number) * _CAPACITANCE_PF[unit.lower()], templates,
            {group.name: group for group in top.each("cell")},
        )  # fmt: skip
    except (IndexError, KeyError, ValueError) as error:
        raise FlowError(f"{path}: not a Liberty library: {error!r}") from error


def _group(tokens: Sequence[str], at: int) -> tuple[Group, int]:
    """Group whose kind is the token `at`, and the place behind it."""
    kind, at = tokens[at], at + 1
    arguments, at = _arguments(tokens, at)
    found = Group(kind, arguments[0] if arguments else "")
    if tokens[at] != "{":
        raise ValueError(f"expected {{ after {kind} ({found.name})")
    at += 1
    while tokens[at] != "}":
        word, following = tokens[at], tokens[at + 1]
        if word == ";":
            at += 1
        elif following == ":":
            end = tokens.index(";", at)
            found.values[word] = " ".join(tokens[at + 2 : end]).strip('"')
            at = end + 1
        else:
            arguments, end = _arguments(tokens, at + 1)
            if tokens[end] == "{":
                inner, at = _group(tokens, at)
                found.groups.append(inner)
            else:
                found.lists[word] = arguments
                at = end
    return found, at + 1


def _arguments(tokens: Sequence[str], at: int) -> tuple[tuple[str, ...], int]:
    if tokens[at] != "(":
        raise ValueError(f"expected ( and found {tokens[at]!r}")
    end = tokens.index(")", at)
    return tuple(token.strip('"') for token in tokens[at + 1 : end] if token != ","), end + 1


def _numbers(texts: Sequence[str]) -> tuple[float, ...]:
    return tuple(float(word) for text in texts for word in text.replace(",", " ").split())


def _between(axis: Sequence[float], values: Sequence[float], at: float) -> float:
    if len(axis) == 1:
        return values[0]
    index = min(max(bisect_right(axis, at) - 1, 0), len(axis) - 2)
    part = (at - axis[index]) / (axis[index + 1] - axis[index])
    return values[index] + part * (values[index + 1] - values[index])
