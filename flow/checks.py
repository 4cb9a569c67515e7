"""Verdicts on metrics: measuring is elsewhere, judging is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flow.silicon.timing import worst_corner

_LEAST_DISTINCT = 3
_LARGEST_SHARE = 0.8
"""A comparison whose outputs are nearly all the same proves little."""


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict.

    Parameters
    ----------
    name : str
        Short name, e.g. ``timing``.
    ok : bool
        Whether the chip passes.
    detail : str
        What was found and what was asked for.
    """

    name: str
    ok: bool
    detail: str


def judge(metrics: Mapping[str, Any]) -> tuple[Check, ...]:
    """Judge the content of a ``metrics.json``.

    A number that a check needs and that is absent fails the check.
    """
    values = {name: item["value"] for name, item in metrics["metrics"].items()}
    if "layout" in metrics:
        return (
            _routed(values),
            _layout(metrics["layout"]["lvs"]),
            _rules(metrics["layout"]["drc"], "design rules", "rules"),
            _rules(metrics["layout"]["antenna"], "antenna rules", "layers"),
            _timing(values, _corner(metrics, "setup_ns")),
            _hold(values, _corner(metrics, "hold_ns")),
            equal(metrics["verification"]["rtl"], "RTL equals golden"),
            equal(metrics["verification"]["netlist"], "routed netlist equals golden"),
            quality(values, metrics["conditions"]["loss_increase_bound"]),
            _memories(metrics["memories"]),
        )
    return (
        _timing(values),
        equal(metrics["verification"]["rtl"], "RTL equals golden"),
        equal(metrics["verification"]["netlist"], "netlist equals golden"),
        quality(values, metrics["conditions"]["loss_increase_bound"]),
        _memories(metrics["memories"]),
    )


def _corner(metrics: Mapping[str, Any], key: str) -> str:
    return f" at {worst_corner(metrics['layout']['timing'], key).split('_')[0]}"


def _timing(values: Mapping[str, float], where: str = "") -> Check:
    slack = values.get("timing__setup__ws")
    if slack is None:
        return Check("timing", ok=False, detail="no timing was measured")
    detail = (
        f"{values['timing__fmax']:.1f} MHz reached, {values['clock__frequency']:g} MHz asked for, "
        f"slack {slack:+.2f} ns{where}"
    )
    return Check("timing", slack >= 0, detail)


def _hold(values: Mapping[str, float], where: str) -> Check:
    slack = values.get("timing__hold__ws")
    if slack is None:
        return Check("hold", ok=False, detail="no timing was measured")
    return Check("hold", slack >= 0, f"slack {slack:+.3f} ns between registers{where}")


def _routed(values: Mapping[str, float]) -> Check:
    missing = values.get("route__open_segments")
    if missing is None:
        return Check("routing", ok=False, detail="no routing was measured")
    detail = f"{values['route__wirelength'] / 1e3:.1f} mm of wire, {missing} segments open"
    return Check("routing", missing == 0, detail)


def _layout(lvs: Mapping[str, Any]) -> Check:
    """The layout holds the netlist that was simulated, and there was something to compare."""
    instances, nets = lvs["instances"][1], lvs["nets"][1]
    detail = f"{instances} instances and {nets} nets of the routed netlist compared"
    if lvs["match"] and instances and nets:
        return Check("layout equals netlist", ok=True, detail=detail)
    first = lvs["listed"][0] if lvs["listed"] else "no difference is listed"
    return Check("layout equals netlist", ok=False,
                 detail=f"{detail}; {lvs['mismatches']} differences: {first}")  # fmt: skip


def _rules(found: Mapping[str, Any], name: str, looked: str) -> Check:
    """No rule is broken, and some were looked at.

    Parameters
    ----------
    found : mapping
        What a checker found.
    looked : str
        Its entry that says how much it looked at.
    """
    detail = f"{found['violations']} violations of {found[looked]} {looked}"
    groups = found["by_rule" if looked == "rules" else "by_layer"]
    if found["violations"]:
        detail = f"{detail}, the most of {max(groups, key=lambda group: groups[group])}"
    return Check(name, found["violations"] == 0 and found[looked] > 0, detail)


def equal(found: Mapping[str, Any], name: str) -> Check:
    """Every output equal, enough of them, and not the same one over and over.

    Parameters
    ----------
    found : mapping
        What the comparison of a simulated design with golden found.
    name : str
        Of the check.
    """
    compared, differences = found["compared"], found["differences"]
    detail = f"{compared} outputs of {found['sequences']} sequences compared bit for bit"
    if differences:
        return Check(name, ok=False, detail=f"{detail}; different: {differences[0]}")
    if compared < found["least"]:
        return Check(name, ok=False, detail=f"{detail}, {found['least']} asked for")
    if found["distinct"] < _LEAST_DISTINCT or found["share"] > _LARGEST_SHARE:
        return Check(
            name, ok=False,
            detail=f"{detail}, but degenerate: {found['distinct']} different ones, "
            f"the commonest {found['share']:.0%}",
        )  # fmt: skip
    return Check(name, ok=True, detail=f"{detail}, all equal, {found['distinct']} different ones")


def quality(values: Mapping[str, float], bound: float) -> Check:
    """Loss added, or accuracy lost, by the integers, against a bound."""
    loss, accuracy = values.get("quality__loss__delta"), values.get("quality__accuracy__delta")
    if loss is not None:
        detail = f"loss {loss:+.4f} nats, at most {bound:+g} accepted"
        return Check("quality", loss <= bound, detail)
    if accuracy is not None:
        detail = f"accuracy {accuracy:+.4f}, at least {-bound:+g} accepted"
        return Check("quality", -accuracy <= bound, detail)
    return Check("quality", ok=False, detail="neither loss nor accuracy was measured")


def _memories(memories: list[Mapping[str, Any]]) -> Check:
    wrong = [item["name"] for item in memories
             if item["class"] not in {"constant", "adapter", "state"}]  # fmt: skip
    if wrong:
        return Check("memory classes", ok=False, detail=f"no class: {', '.join(wrong)}")
    count = Counter(item["class"] for item in memories)
    kinds = ["constant", *(["adapter"] if count["adapter"] else []), "state"]
    detail = ", ".join(f"{count[kind]} {kind}" for kind in kinds)
    return Check("memory classes", bool(memories), detail)
