"""The HTML page of one chip: self-contained, readable in light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from flow import activity, ecp5
from flow.metrics import METRICS
from flow.report import hardened, layout, svg

TEMPLATES = Path(__file__).parent

_HEADLINES = (
    ("step__rate__fmax", "{:,.0f}", "per second", "at the highest clock"),
    ("step__cycles__average", "{:,.0f}", "cycles", "average step"),
    ("timing__fmax", "{:.1f}", "MHz", "highest clock"),
    ("fpga__lut__count", "{:,.0f}", "LUT4", "{lut:.1f} % of the device"),
    ("quality__loss__delta", "{:+.4f}", "nats", "loss added by the integers"),
)
_STEPS = 40
_UNITS = 24


def render(metrics: Mapping[str, Any], picture: bytes = b"") -> str:
    """Give the page for the content of a ``metrics.json``.

    Parameters
    ----------
    picture : bytes
        PNG of the layout, of a chip that has one.
    """
    if "layout" in metrics:
        return _template("layout.html.j2").render(
            **_shared(metrics, layout.HEADLINES), **layout.context(metrics, picture)
        )
    values = {name: item["value"] for name, item in metrics["metrics"].items()}
    seeds = [(f"seed {item['seed']}", item["fmax_mhz"]) for item in metrics["seeds"]]
    cycles = list(enumerate(metrics["cycles_by_position"], 1))
    return _template("page.html.j2").render(
        **_shared(metrics, _HEADLINES),
        units=_units(metrics),
        labels=ecp5.LABELS,
        utilization=[
            (
                ecp5.LABELS[name],
                values[f"fpga__{name}__count"],
                metrics["capacity"][name],
                values[f"fpga__{name}__utilization"],
            )
            for name in ecp5.NAMES
        ],
        area=_area(metrics),
        activity=_activity(metrics.get("activity") or {}),
        cycles=svg.line(cycles, "position", "cycles") if len(cycles) > 1 else "",
        seeds=svg.dots(seeds, values["clock__frequency"], "MHz") if len(seeds) > 1 else "",
        path=_path(metrics["critical_path"]),
        planning=metrics.get("planning"),
        front=svg.front(metrics["planning"]) if metrics.get("planning") else "",
        predicted=_predicted(metrics),
    )


def hardened_page(model: str, content: Mapping[str, Any]) -> str:
    """Give the page for the content of a ``librelane.json``."""
    return _template("librelane.html.j2").render(**hardened.context(model, content))


def _shared(
    metrics: Mapping[str, Any], headlines: tuple[tuple[str, str, str, str], ...]
) -> dict[str, Any]:
    """Variables that every page has."""
    values = {name: item["value"] for name, item in metrics["metrics"].items()}
    return {
        "chip": metrics,
        "noun": "token" if metrics["kind"] == "token" else "frame",
        "passed": all(check["ok"] for check in metrics["checks"]),
        "headlines": _headlines(values, headlines),
        "rows": [
            (METRICS[name], _number(item["value"]), name)
            for name, item in metrics["metrics"].items()
        ],
        "memories": _memories(metrics["memories"]),
    }


def table(chips: list[dict[str, Any]], columns: list[tuple[str, str]]) -> str:
    """Give an HTML table over chips; `columns` are (key, title)."""
    return _template("table.html.j2").render(chips=chips, columns=columns)


def _headlines(
    values: Mapping[str, float], chosen: tuple[tuple[str, str, str, str], ...]
) -> list[tuple[str, str, str]]:
    share = {"lut": values.get("fpga__lut__utilization", 0)}
    return [
        (form.format(values[name]), unit, text.format(**share))
        for name, form, unit, text in chosen
        if name in values
    ]


def _units(metrics: Mapping[str, Any]) -> list[tuple[str, dict[str, int]]]:
    units: dict[str, dict[str, int]] = {}
    for module, item in metrics["units"].items():
        found = units.setdefault(ecp5.unit_name(module), dict.fromkeys(item, 0))
        for resource, count in item.items():
            found[resource] += count
    return sorted(units.items(), key=lambda item: (-item[1]["lut"], item[0]))


def _activity(found: Mapping[str, Any]) -> dict[str, Any]:
    """Cycles of every part: column titles, and rows of numbers with their shares of the last."""
    if not found:
        return {}
    columns = {f"position {key}": item for key, item in found["positions"].items()}
    columns["average"] = found["average"]
    rows = [
        (activity.TITLES[part], [item[part] for item in columns.values()])
        for part in found["average"]
    ]
    rows.append(("all", [sum(item.values()) for item in columns.values()]))
    whole = rows[-1][1][-1] or 1
    return {
        "titles": list(columns),
        "rows": [(title, [f"{n:,.0f}" for n in row], 100 * row[-1] / whole) for title, row in rows],
    }


def _area(metrics: Mapping[str, Any]) -> str:
    rows = [(name, {"lut": item["lut"], "ff": item["ff"]}) for name, item in _units(metrics)]
    return svg.bars(rows[:_UNITS], ("lut", "ff"))


def _path(steps: list[tuple[str, str, float]]) -> list[tuple[str, str, float, float]]:
    """Critical path with running time, consecutive steps without delay left out."""
    total, rows = 0.0, []
    for kind, where, delay in steps:
        total += delay
        if delay > 0:
            rows.append((kind, where, delay, total))
    return rows[:_STEPS]


def _memories(memories: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Memories by class and size, equal shapes together."""
    groups: dict[tuple[str, int, int], list[tuple[str, int]]] = {}
    for item in memories:
        key = (item["class"], item["width"], item["depth"])
        groups.setdefault(key, []).append((item["name"], item["copies"]))
    rows = [
        {"class": kind, "width": width, "depth": depth,
         "names": [f"{name} × {copies}" if copies > 1 else name for name, copies in found],
         "bits": width * depth * sum(copies for _, copies in found)}
        for (kind, width, depth), found in groups.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["class"], -row["bits"]))


def _predicted(metrics: Mapping[str, Any]) -> list[tuple[str, float, float, float]]:
    """Resource, predicted and measured amount of the chip without its board, error in percent."""
    planning = metrics.get("planning")
    names = [device["name"] for device in planning["devices"]] if planning else []
    if not planning or metrics["conditions"]["device"] not in names:
        return []
    foretold = planning["chosen"]["total"][names.index(metrics["conditions"]["device"])]
    rows = []
    for name, got in foretold.items():
        want = sum(unit[name] for key, unit in metrics["units"].items() if key != "board")
        rows.append((ecp5.LABELS[name], got, want, 100 * (got / want - 1) if want else 0.0))
    return rows


def _number(value: float) -> str:
    if isinstance(value, int) or (value == int(value) and abs(value) >= 100):
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template(name)
