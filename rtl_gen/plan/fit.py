"""Coefficients of the cost model, fitted to the samples in ``rtl_gen/plan/samples``.

The fit is a function of the samples and runs when a family is first asked about: there are no
coefficients that could fall behind their data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import UnsupportedError
from rtl_gen.plan.feature import FEATURES, products
from rtl_gen.plan.memory import FAMILIES, blocks
from rtl_gen.plan.resource import CELLS, STANDARD_CELLS, Resources, of_cells

REFERENCE = "ecp5"
"""The family with samples enough for every quantity of `FEATURES`."""

ANY = "any"
"""Stands for a kind of logic that a family has no samples of."""

MEMORIES = {"rom", "rom_pair", "ram"}

MULTIPLIERS = {"ecp5", "nexus", "gowin", "ice40"}
"""Families with multipliers; elsewhere a product is logic."""

SCALED = ("luts", "flip-flops", "products")
"""What a family with few samples grows with: what the ECP5 needs."""

SOFTENING = 20.0
"""LUTs, flip-flops or µm² added to a sample before its error is taken relative to it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One synthesized part: its kind, sizes, and what it took."""

    kind: str
    sizes: Mapping[str, int]
    measured: Resources


@dataclass(frozen=True, slots=True)
class Residual:
    """Largest and median relative error of one kind's fit, and the number of samples."""

    kind: str
    resource: str
    samples: int
    median: float
    worst: float


def nnls(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares with coefficients that are not negative.

    Parameters
    ----------
    a : float64, shape (m, n)
    b : float64, shape (m,)

    Returns
    -------
    float64, shape (n,)

    Notes
    -----
    Lawson and Hanson, Solving Least Squares Problems (1974), algorithm 23.10. A part that grows in
    any direction never gets smaller, also beyond the samples.
    """
    n = a.shape[1]
    x, passive = np.zeros(n), np.zeros(n, bool)
    for _ in range(10 * n):
        gradient = a.T @ (b - a @ x)
        gradient[passive] = -np.inf
        if passive.all() or gradient.max() <= 1e-9 * max(1.0, abs(a.T @ b).max()):
            break
        passive[int(gradient.argmax())] = True
        while True:
            trial = np.zeros(n)
            trial[passive] = np.linalg.lstsq(a[:, passive], b, rcond=None)[0]
            if trial[passive].min() > 0:
                break
            falling = passive & (trial <= 0)
            step = float((x[falling] / np.maximum(x[falling] - trial[falling], 1e-12)).min())
            x += step * (trial - x)
            passive &= x > 1e-9
            x[~passive] = 0
        x = trial
    return x


@dataclass(frozen=True)
class Fit:
    """Coefficients of one family.

    Parameters
    ----------
    family : str
    samples : tuple of Sample
    conditions : mapping of str to str
        Tools of the samples.
    coefficients : mapping of (kind, resource) to mapping of feature to float
    """

    family: str
    samples: tuple[Sample, ...]
    conditions: Mapping[str, str]
    coefficients: Mapping[tuple[str, str], Mapping[str, float]]

    def part(self, kind: str, sizes: Mapping[str, int]) -> Resources:
        """Resources of one part.

        Raises
        ------
        UnsupportedError
            If the family has no sample of that kind.
        """
        amounts = {}
        for resource in fitted(self.family):
            known = self.coefficients.get((kind, resource))
            if known is None and kind not in MEMORIES and self.family != REFERENCE:
                known = self.coefficients.get((ANY, resource))
            if known is None:
                raise UnsupportedError(
                    f"the cost model of {self.family} has no sample of a part of kind {kind!r}; "
                    "benchmarks/costs.py adds samples"
                )
            features = quantities(self.family, kind, sizes)
            amounts[resource] = sum(value * features.get(name, 0) for name, value in known.items())
        if self.family in FAMILIES:
            amounts["ebr"] = memory_blocks(kind, sizes, self.family)
            if self.family == REFERENCE:
                amounts["dsp"] = products(kind, sizes)
        return Resources(**amounts)

    def extrapolated(self, kinds: Iterable[str]) -> list[str]:
        """Those of `kinds` without samples: what the other kinds say of the ECP5's size is used."""
        sampled = {sample.kind for sample in self.samples}
        return sorted(set(kinds) - sampled)

    def residuals(self) -> list[Residual]:
        """Errors of the fit on its own samples."""
        found = []
        for kind, resource in sorted(self.coefficients):
            errors = [
                abs(getattr(self.part(s.kind, s.sizes), resource) / getattr(s.measured, resource)
                    - 1)
                for s in self.samples
                if kind in {s.kind, ANY} and getattr(s.measured, resource) >= SOFTENING / 2
            ]  # fmt: skip
            if errors:
                found.append(Residual(kind, resource, len(errors), float(np.median(errors)),
                                      max(errors)))  # fmt: skip
        return found

    def range(self, kind: str) -> dict[str, tuple[int, int]]:
        """Smallest and largest sampled value of every parameter of a kind."""
        rows = [s.sizes for s in self.samples if s.kind == kind]
        return {
            name: (min(r[name] for r in rows), max(r[name] for r in rows)) for name in rows[0]
        } if rows else {}  # fmt: skip


def fitted(family: str) -> tuple[str, ...]:
    """Resources that are fitted rather than counted."""
    if family not in FAMILIES:
        return STANDARD_CELLS
    return ("lut", "ff") if family == REFERENCE else ("lut", "ff", "dsp")


def memory_blocks(kind: str, sizes: Mapping[str, int], family: str) -> float:
    """Block RAMs of a part."""
    if kind not in {"rom", "rom_pair", "ram"} or sizes.get("logic", 0):
        return 0
    readers = 2 if kind == "rom_pair" else 1
    return blocks(sizes["width"], sizes["depth"], family, written=kind == "ram", readers=readers)


def quantities(family: str, kind: str, sizes: Mapping[str, int]) -> Mapping[str, float]:
    """What a part grows with.

    Families with few samples scale what the ECP5 needs; of memories, standard cells pay for every
    bit.
    """
    if kind in MEMORIES and family not in FAMILIES:
        return {"word": sizes["width"], "bits": sizes["width"] * sizes["depth"]}
    if family == REFERENCE or kind in MEMORIES:
        return FEATURES[kind](sizes)
    like = fit(REFERENCE).part(kind, sizes)
    return {"luts": like.lut, "flip-flops": like.ff, "products": like.dsp}


def explaining(family: str, resource: str) -> tuple[str, ...]:
    """Which quantities of a scaled family may explain a resource."""
    if resource == "lut":
        return ("luts",) if family in MULTIPLIERS else ("luts", "products")
    return {"ff": ("flip-flops",), "dsp": ("products",)}.get(resource, SCALED)


@cache
def fit(family: str) -> Fit:
    """Coefficients of a family.

    Raises
    ------
    UnsupportedError
        If there are no samples of it.
    """
    source = files("rtl_gen.plan") / "samples" / f"{family}.json"
    if not source.is_file():
        raise UnsupportedError(f"the cost model has no samples of family {family!r}")
    content = json.loads(source.read_text())
    rows = tuple(
        Sample(row["kind"], row["parameters"], _measured(row, family)) for row in content["samples"]
    )
    return fit_samples(family, rows, content["conditions"])


def fit_samples(family: str, rows: Sequence[Sample], conditions: Mapping[str, str]) -> Fit:
    """Fit every kind of part that has samples."""
    found: dict[tuple[str, str], Mapping[str, float]] = {}
    for kind in sorted({row.kind for row in rows}):
        own = [row for row in rows if row.kind == kind]
        for resource in fitted(family):
            found[kind, resource] = _coefficients(family, own, resource)
    logic = [row for row in rows if row.kind not in MEMORIES]
    if family != REFERENCE and logic:
        for resource in fitted(family):
            found[ANY, resource] = _coefficients(family, logic, resource)
    return Fit(family, tuple(rows), conditions, found)


def _coefficients(family: str, rows: Sequence[Sample], resource: str) -> dict[str, float]:
    features = [quantities(family, row.kind, row.sizes) for row in rows]
    names = list(dict.fromkeys(name for item in features for name in item))
    if family != REFERENCE and "luts" in names:
        names = [name for name in names if name in explaining(family, resource)]
    if not names:
        return {}
    amounts = np.array([getattr(row.measured, resource) for row in rows], float)
    weight = 1 / (amounts + SOFTENING)
    matrix = np.array([[item.get(name, 0.0) for name in names] for item in features])
    found = nnls(matrix * weight[:, None], amounts * weight)
    return {name: float(value) for name, value in zip(names, found, strict=True) if value}


def _measured(row: Mapping[str, object], family: str) -> Resources:
    cells = row["cells"]
    assert isinstance(cells, dict)
    if family in CELLS:
        return of_cells(cells, family)
    return Resources(area=float(cells["area"]), cells=float(cells["cells"]))
