"""Numbers about a chip: what each is called, its unit, and which way is better.

Names follow METRICS2.1 as LibreLane and OpenROAD use it where it has a name for the thing
(``design__instance__count``, ``timing__setup__ws``, ``timing__fmax``), and its way of building
names elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number means.

    Parameters
    ----------
    title : str
        Name for people.
    unit : str
        Unit of the value; empty for a pure number.
    direction : {"higher", "lower", "none"}
        Which way is better.
    """

    title: str
    unit: str
    direction: Direction


METRICS: Mapping[str, Metric] = {
    "design__instance__count": Metric("Cells", "cells", "lower"),
    "fpga__lut__count": Metric("LUT4", "LUT4", "lower"),
    "fpga__ff__count": Metric("Flip-flops", "flip-flops", "lower"),
    "fpga__ebr__count": Metric("Block RAMs", "EBR (18 kbit)", "lower"),
    "fpga__dsp__count": Metric("Multipliers", "MULT18X18D", "lower"),
    "fpga__lut__utilization": Metric("LUT4 of the device", "%", "lower"),
    "fpga__ff__utilization": Metric("Flip-flops of the device", "%", "lower"),
    "fpga__ebr__utilization": Metric("Block RAMs of the device", "%", "lower"),
    "fpga__dsp__utilization": Metric("Multipliers of the device", "%", "lower"),
    "design__die__area": Metric("Area of everything drawn", "µm²", "lower"),
    "design__core__area": Metric("Core area", "µm²", "lower"),
    "design__instance__area": Metric("Area of the placed cells without fillers", "µm²", "lower"),
    "design__instance__area__mapped": Metric("Area of the mapped cells", "µm²", "lower"),
    "design__instance__count__sequential": Metric("Flip-flops", "flip-flops", "lower"),
    "design__instance__utilization": Metric("Part of the core that cells fill", "", "higher"),
    "route__wirelength": Metric("Wires", "µm", "lower"),
    "route__open_segments": Metric("Wires that are not routed", "segments", "lower"),
    "klayout__drc_error__count": Metric("Design rule violations", "violations", "lower"),
    "antenna__violating__nets": Metric("Antenna rule violations", "violations", "lower"),
    "design__lvs_error__count": Metric("Differences of layout and netlist", "differences", "lower"),
    "timing__fmax": Metric("Highest clock", "MHz", "higher"),
    "timing__setup__ws": Metric("Worst setup slack", "ns", "higher"),
    "timing__hold__ws": Metric("Worst hold slack", "ns", "higher"),
    "power__total": Metric("Power at the first corner", "mW", "lower"),
    "power__switching__total": Metric("Power of nets", "mW", "lower"),
    "power__internal__total": Metric("Power inside cells", "mW", "lower"),
    "power__leakage__total": Metric("Leakage", "mW", "lower"),
    "step__energy": Metric("Energy of a step", "nJ", "lower"),
    "clock__frequency": Metric("Clock asked for", "MHz", "none"),
    "step__cycles__first": Metric("Cycles, first step", "cycles", "lower"),
    "step__cycles__average": Metric("Cycles, average step", "cycles", "lower"),
    "step__cycles__longest": Metric("Cycles, step at the longest context", "cycles", "lower"),
    "step__cycles__lanes": Metric(
        "Cycles of the average step in which the lanes multiply", "%", "higher"
    ),
    "step__cycles__control": Metric(
        "Cycles of the average step in which no part has work", "%", "lower"
    ),
    "step__rate__fmax": Metric("Steps at the highest clock", "1/s", "higher"),
    "step__rate__clock": Metric("Steps at the clock asked for", "1/s", "higher"),
    "weights__stored": Metric("Weights stored", "weights", "none"),
    "weights__used": Metric("Weights used by a step", "weights", "lower"),
    "memory__constant__bits": Metric("Constant memory", "bits", "lower"),
    "memory__state__bits": Metric("State memory", "bits", "lower"),
    "memory__adapter__bits": Metric("Adapter memory", "bits", "lower"),
    "bitstream__size": Metric("Bitstream", "bytes", "lower"),
    "quality__steps": Metric("Steps on which quality is measured", "steps", "none"),
    "quality__loss__float": Metric("Loss of the float model", "nats", "lower"),
    "quality__loss__integer": Metric("Loss of the integer graph", "nats", "lower"),
    "quality__loss__delta": Metric("Loss added by the integers", "nats", "lower"),
    "quality__perplexity__float": Metric("Perplexity of the float model", "", "lower"),
    "quality__perplexity__integer": Metric("Perplexity of the integer graph", "", "lower"),
    "quality__accuracy__float": Metric("Accuracy of the float model", "", "higher"),
    "quality__accuracy__integer": Metric("Accuracy of the integer graph", "", "higher"),
    "quality__accuracy__delta": Metric("Accuracy gained by the integers", "", "higher"),
    "quality__routing__disagreement": Metric(
        "Steps and layers where integers choose other experts than floats", "", "lower"
    ),
    "quality__kl": Metric("Divergence from the float model", "nats per step", "lower"),
    "quality__greedy_agreement": Metric("Same greedy choice as the float model", "", "higher"),
    "verify__rtl__steps": Metric("Outputs compared on the RTL", "outputs", "higher"),
    "verify__rtl__mismatches": Metric("Outputs that differ on the RTL", "outputs", "lower"),
    "verify__netlist__steps": Metric("Outputs compared on the netlist", "outputs", "higher"),
    "verify__netlist__mismatches": Metric("Outputs that differ on the netlist", "outputs", "lower"),
}


def record(values: Mapping[str, float | int | None]) -> dict[str, dict[str, object]]:
    """Values with unit and direction, in the order of `METRICS`; absent ones (None) left out.

    Raises
    ------
    ValueError
        If a name is not in `METRICS`.
    """
    unknown = set(values) - set(METRICS)
    if unknown:
        raise ValueError(f"metrics without a unit: {', '.join(sorted(unknown))}")
    return {
        name: {"value": values[name], **_meaning(metric)}
        for name, metric in METRICS.items()
        if values.get(name) is not None
    }


def _meaning(metric: Metric) -> dict[str, str]:
    meaning = asdict(metric)
    return {"unit": meaning["unit"], "direction": meaning["direction"]}
