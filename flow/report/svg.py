"""Small plots as SVG text, drawn with CSS classes of the page, so that they follow its colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH = 720
_LEFT, _LETTER = 150, 7
_RIGHT = 90
_BAR = 14
_DOTS = 64


def bars(rows: Sequence[tuple[str, Mapping[str, float]]], classes: Sequence[str]) -> str:
    """Horizontal bars, one under the other for each of `classes` in every row.

    Parameters
    ----------
    rows : sequence of (str, mapping of str to float)
        Label, and the length of each bar by class.
    classes : sequence of str
        CSS classes of the bars.
    """
    longest = max((max(parts.values()) for _, parts in rows), default=0) or 1
    left = max(_LEFT, 12 + _LETTER * max((len(label) for label, _ in rows), default=0))
    scale = (WIDTH - left - _RIGHT) / longest
    row_height = _BAR * len(classes) + 10
    shapes = []
    for i, (label, parts) in enumerate(rows):
        top = 4 + i * row_height
        shapes.append(_text(left - 8, top + _BAR * len(classes) / 2 + 4, label, "end"))
        for j, name in enumerate(classes):
            width, y = max(parts[name] * scale, 1), top + j * _BAR
            shapes.append(
                f'<rect class="{name}" x="{left}" y="{y}" width="{width:.1f}" '
                f'height="{_BAR - 2}" rx="2"/>'
            )
            shapes.append(_text(left + width + 6, y + _BAR - 4, f"{parts[name]:,.0f}", "start"))
    return _svg(len(rows) * row_height + 4, shapes)


def line(points: Sequence[tuple[float, float]], x_title: str, y_title: str) -> str:
    """Line through `points` (x rising), with axes; the y axis starts at 0."""
    height, left, bottom = 230, 74, 44
    low, high, step = ticks(0, max(y for _, y in points))
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    span_x, span_y = WIDTH - left - 24, height - bottom - 12

    def place(x: float, y: float) -> tuple[float, float]:
        return left + span_x * (x - first) / (last - first), 12 + span_y * (high - y) / (high - low)

    shapes = []
    tick = low
    while tick <= high + step / 2:
        at = place(first, tick)[1]
        shapes.append(
            f'<line class="grid" x1="{left}" x2="{WIDTH - 24}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        shapes.append(_text(left - 8, at + 4, f"{tick:,.0f}", "end"))
        tick += step
    for quarter in range(5):
        mark = round(first + (last - first) * quarter / 4)
        shapes.append(_text(place(mark, 0)[0], height - bottom + 18, f"{mark:,}", "middle"))
    track = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in points)
    shapes.append(f'<polyline class="line" points="{track}"/>')
    if len(points) <= _DOTS:
        for x, y in points:
            left_at, top_at = place(x, y)
            shapes.append(
                f'<circle class="dot" cx="{left_at:.1f}" cy="{top_at:.1f}" r="2.5"><title>'
                f"{escape(x_title)} {x:g}: {y:,.0f} {escape(y_title)}</title></circle>"
            )
    shapes.append(_text(left + span_x / 2, height - 6, x_title, "middle", "axis"))
    shapes.append(
        f'<text class="axis" text-anchor="middle" transform="translate(14 {12 + span_y / 2:.0f}) '
        f'rotate(-90)">{escape(y_title)}</text>'
    )
    return _svg(height, shapes)


def dots(values: Sequence[tuple[str, float]], limit: float, unit: str) -> str:
    """Distribution of a few values on one axis, with a line at `limit`."""
    numbers = [value for _, value in values]
    low, high, step = ticks(min(*numbers, limit), max(*numbers, limit))
    left, right, height = 40, WIDTH - 40, 96

    def place(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    shapes = [f'<line class="grid" x1="{left}" x2="{right}" y1="56" y2="56"/>']
    tick = low
    while tick <= high + step / 2:
        x = place(tick)
        shapes.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="52" y2="60"/>')
        shapes.append(_text(x, 78, f"{tick:g}", "middle"))
        tick += step
    x = place(limit)
    shapes.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="18" y2="60"/>')
    shapes.append(_text(min(max(x, 90), WIDTH - 90), 12, f"asked for: {limit:g} {unit}", "middle"))
    for label, value in values:
        shapes.append(
            f'<circle class="seed" cx="{place(value):.1f}" cy="44" r="6">'
            f"<title>{escape(label)}: {value:.1f} {unit}</title></circle>"
        )
    shapes.append(_text((left + right) / 2, 94, unit, "middle", "axis"))
    return _svg(height, shapes)


def scatter(points: Sequence[tuple[float, float, str, str]], x_title: str, y_title: str) -> str:
    """Points of (x, y, label, class), y on a logarithmic axis, the class ``front`` joined by steps.

    Parameters
    ----------
    points : sequence of (float, float, str, str)
        All positive; the classes are CSS classes of the dots.
    """
    height, left, bottom = 320, 74, 44
    low, high, step = ticks(0, max(x for x, *_ in points))
    down, up = _decades(min(y for _, y, *_ in points), max(y for _, y, *_ in points))
    span_x, span_y = WIDTH - left - 24, height - bottom - 12

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(y) - math.log10(down)) / (math.log10(up) - math.log10(down))
        return left + span_x * (x - low) / (high - low), 12 + span_y * (1 - share)

    shapes = []
    for mark in _marks(down, up):
        at = place(low, mark)[1]
        shapes.append(
            f'<line class="grid" x1="{left}" x2="{WIDTH - 24}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        shapes.append(_text(left - 8, at + 4, f"{mark:,.0f}", "end"))
    tick = low
    while tick <= high + step / 2:
        shapes.append(_text(place(tick, down)[0], height - bottom + 18, f"{tick:g}", "middle"))
        tick += step
    corners: list[tuple[float, float]] = []
    for x, y in sorted(place(x, y) for x, y, _, kind in points if kind != "other"):
        corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
    track = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    shapes.append(f'<polyline class="line" points="{track}"/>')
    for x, y, label, kind in points:
        left_at, top_at = place(x, y)
        radius = 6 if kind == "chosen" else 3.5
        shapes.append(
            f'<circle class="dot {kind}" cx="{left_at:.1f}" cy="{top_at:.1f}" r="{radius}">'
            f"<title>{escape(label)}</title></circle>"
        )
    shapes.append(_text(left + span_x / 2, height - 6, x_title, "middle", "axis"))
    shapes.append(
        f'<text class="axis" text-anchor="middle" transform="translate(14 {12 + span_y / 2:.0f}) '
        f'rotate(-90)">{escape(y_title)}</text>'
    )
    return _svg(height, shapes)


def _marks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from `low` to `high`, both included."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    numbers = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    return [number for number in numbers if low <= number * 1.001 and number <= high * 1.001]


def _decades(low: float, high: float) -> tuple[float, float]:
    """Marks that enclose `low` … `high`."""
    marks = _marks(low / 10, high * 10)
    return max(m for m in marks if m <= low), min(m for m in marks if m > high)


def ticks(low: float, high: float) -> tuple[float, float, float]:
    """Give a rounded range that holds `low` … `high`, and the step between its five or so ticks."""
    span = (high - low) or abs(high) or 1
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 6)
    start, stop = math.floor(low / step) * step, math.ceil(high / step) * step
    return start, stop if stop > start else start + step, step


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return (f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(text)}</text>")  # fmt: skip


def _svg(height: int, shapes: Sequence[str]) -> str:
    body = "\n".join(shapes)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">\n{body}\n</svg>'


def front(found: Mapping[str, Any]) -> str:
    """Pareto front of a report of `flow.planning`: area against cycles of an average step."""
    chosen = found["chosen"]["plan"]
    fpga = found["devices"][0]["family"] != "sky130"
    scale, title = (100, "area: sum of the shares of all resources, %") if fpga else (
        1e-6, "area of cells, mm²")  # fmt: skip
    points = [
        (
            item["cost"] * scale,
            item["cycles"]["average"],
            f"{item['text']}: {item['cycles']['average']:,.0f} cycles"
            f"{'' if item['fits'] else ', does not fit'}",
            "chosen" if item["plan"] == chosen else "front" if item["front"] else "other",
        )
        for item in found["candidates"]
    ]
    return scatter(points, title, "cycles of an average step")
