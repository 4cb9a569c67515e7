"""What the page of a layout shows beside that of every chip."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from flow.silicon.timing import worst_corner

HEADLINES = (
    ("design__core__area", "{:,.0f}", "µm²", "core area"),
    ("design__instance__count", "{:,.0f}", "cells", "in the layout, without fillers"),
    ("timing__fmax", "{:.1f}", "MHz", "highest clock at the slowest corner analyzed"),
    ("power__total", "{:.3f}", "mW", "at the clock asked for, first corner"),
    ("step__rate__clock", "{:,.0f}", "per second", "at the clock asked for"),
    ("step__energy", "{:,.1f}", "nJ", "a step"),
)


def context(metrics: Mapping[str, Any], picture: bytes) -> dict[str, Any]:
    """Variables of ``layout.html.j2``.

    Parameters
    ----------
    metrics : mapping
        Content of ``metrics.json`` of a chip with a layout.
    picture : bytes
        PNG of the layout, or nothing.
    """
    layout = metrics["layout"]
    values = {name: item["value"] for name, item in metrics["metrics"].items()}
    units = list(layout["units"].items())
    corner = next(iter(layout["power"]["corners"]))
    slowest, path = _slowest(layout["timing"])
    return {
        "units": units,
        "total": sum(item["area_um2"] for _, item in units),
        "picture": base64.b64encode(picture).decode(),
        "sizes": _sizes(layout, values),
        "timing": _timing(layout["timing"], metrics["conditions"]["clock_mhz"]),
        "power": _power(layout["power"]["corners"][corner]["units"]),
        "power_corner": corner,
        "path_corner": slowest,
        "path": path,
    }


def _sizes(layout: Mapping[str, Any], values: Mapping[str, float]) -> list[tuple[str, str]]:
    core, die = layout["core_um"], layout["die_um"]
    return [
        ("die: everything that is drawn, µm", f"{die[0]:,.1f} × {die[1]:,.1f}"),
        ("die area, µm²", f"{values['design__die__area']:,.0f}"),
        ("core: the rows, µm", f"{core[0]:,.1f} × {core[1]:,.1f}"),
        ("core area, µm²", f"{values['design__core__area']:,.0f}"),
        *_tiles(layout["tiles"]),
        ("part of the core that cells fill, %",
         f"{100 * values['design__instance__utilization']:.1f}"),
        ("wires, mm", f"{values['route__wirelength'] / 1e3:,.1f}"),
        ("design rules: violations, rules looked at",
         f"{layout['drc']['violations']}, {layout['drc']['rules']}"),
        ("antenna rules: violations, layers looked at",
         f"{layout['antenna']['violations']}, {layout['antenna']['layers']}"),
        ("layout against netlist: differences", f"{layout['lvs']['mismatches']}"),
    ]  # fmt: skip


def _tiles(tiles: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    if not tiles:
        return []
    drawn = {item["drawn"] for item in tiles.values()}
    return [("tiles: laid out, stamped", f"{len(drawn)}, {len(tiles)}")]


def _timing(
    found: Mapping[str, Any], clock_mhz: float
) -> list[tuple[str, str, float, float, float]]:
    period = 1e3 / clock_mhz
    return [
        (
            name.split("_")[0],
            "of the layout" if name.endswith("wires") else "none",
            1e3 / (period - item["setup_ns"]),
            item["setup_ns"],
            item["hold_ns"],
        )
        for name, item in found.items()
    ]


def _power(units: Mapping[str, Mapping[str, float]]) -> list[tuple[str, float, float]]:
    whole = sum(sum(item.values()) for item in units.values()) or 1.0
    return [(name, sum(item.values()), 100 * sum(item.values()) / whole)
            for name, item in units.items()]  # fmt: skip


def _slowest(found: Mapping[str, Any]) -> tuple[str, list[tuple[str, str, float, float]]]:
    """Corner of the path with the least slack, and the path with its running sum."""
    name = worst_corner(found, "setup_ns")
    total, rows = 0.0, []
    for kind, where, delay in found[name]["path"]:
        total += delay
        rows.append((kind, where, delay, total))
    return name.split("_")[0], rows
