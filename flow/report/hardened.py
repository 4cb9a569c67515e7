"""The page of a chip that was given to LibreLane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CARDS = (
    ("design__core__area", "{:,.0f}", "µm²", "core area"),
    ("design__instance__count", "{:,.0f}", "cells", "instances"),
    ("design__instance__area", "{:,.0f}", "µm²", "area of the instances"),
    ("timing__setup__ws", "{:+.2f}", "ns", "worst setup slack"),
    ("timing__hold__ws", "{:+.3f}", "ns", "worst hold slack"),
    ("power__total", "{:.2e}", "W", "power"),
)
"""LibreLane's metrics that come first, when it has them."""

FAULTS = (
    "route__drc_errors", "magic__drc_error__count", "klayout__drc_error__count",
    "design__lvs_error__count", "antenna__violating__nets", "antenna__violating__pins",
    "design__violations", "synthesis__check_error__count",
)  # fmt: skip
"""Metrics that have to be zero."""


def context(model: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of ``librelane.html.j2``.

    Parameters
    ----------
    content : mapping
        Content of ``librelane.json``.
    """
    values: Mapping[str, float] = content["metrics"]
    return {
        "model": model,
        "run": content,
        "complete": not content["missing"] and content["reached"] is not None,
        "reached": content["reached"] or "the configuration",
        "cards": [
            (form.format(values[name]), unit, text)
            for name, form, unit, text in CARDS
            if name in values
        ],
        "faults": [(name, values[name]) for name in FAULTS if name in values],
        "rows": sorted(values.items()),
    }
