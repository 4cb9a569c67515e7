"""Small plots as SVG text, drawn with CSS classes of the page, so that they follow its colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 720
_LEFT = 150
_RIGHT = 90
_BAR = 14


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
    scale = (WIDTH - _LEFT - _RIGHT) / longest
    row_height = _BAR * len(classes) + 10
    shapes = []
    for i, (label, parts) in enumerate(rows):
        top = 4 + i * row_height
        shapes.append(_text(_LEFT - 8, top + _BAR * len(classes) / 2 + 4, label, "end"))
        for j, name in enumerate(classes):
            y, width = top + j * _BAR, max(parts[name] * scale, 1)
            shapes.append(
                f'<rect class="{name}" x="{_LEFT}" y="{y}" width="{width:.1f}" '
                f'height="{_BAR - 2}" rx="2"/>'
            )
            shapes.append(_text(_LEFT + width + 6, y + _BAR - 4, f"{parts[name]:,.0f}", "start"))
    return _svg(len(rows) * row_height + 4, shapes)


def line(values: Sequence[float], x_title: str, y_title: str, first: int = 1) -> str:
    """Line through `values` at `first`, `first` + 1, …, with axes."""
    height, left, bottom = 230, 74, 44
    low, high, step = ticks(min(0, *values), max(values))
    span_x, span_y = WIDTH - left - 24, height - bottom - 12
    last = max(len(values) - 1, 1)

    def place(i: float, value: float) -> tuple[float, float]:
        return left + span_x * i / last, 12 + span_y * (high - value) / (high - low)

    shapes = []
    tick = low
    while tick <= high + step / 2:
        _, y = place(0, tick)
        shapes.append(
            f'<line class="grid" x1="{left}" x2="{WIDTH - 24}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        shapes.append(_text(left - 8, y + 4, f"{tick:,.0f}", "end"))
        tick += step
    for i in sorted({0, last // 4, last // 2, 3 * last // 4, last}):
        shapes.append(_text(place(i, 0)[0], height - bottom + 18, str(i + first), "middle"))
    points = " ".join("{:.1f},{:.1f}".format(*place(i, v)) for i, v in enumerate(values))
    shapes.append(f'<polyline class="line" points="{points}"/>')
    if len(values) <= 64:
        for i, value in enumerate(values):
            x, y = place(i, value)
            shapes.append(
                f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>{x_title} '
                f"{i + first}: {value:,.0f} {y_title}</title></circle>"
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


def ticks(low: float, high: float) -> tuple[float, float, float]:
    """Give a rounded range that holds `low` … `high`, and the step between its five or so ticks."""
    span = (high - low) or abs(high) or 1
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 6)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return (f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(text)}</text>")  # fmt: skip


def _svg(height: int, shapes: Sequence[str]) -> str:
    body = "\n".join(shapes)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">\n{body}\n</svg>'
