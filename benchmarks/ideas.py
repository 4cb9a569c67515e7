"""Ideas of published chips, tried on one constant matrix: adders and LUTs of the serial style.

``python benchmarks/ideas.py --shape 64x64 --weights int4`` prints one line an idea. LUTs are those
of the nodes: 2 a sum of two, 3 a sum of three; synthesis adds about 1 % for control.

- sharing: what the product does, common subexpressions of all rows.
- grouping: inputs of equal weight code are summed first, then each sum is multiplied by its code
  (metal embedding of HNLPU, arXiv 2508.16151); group sums are shared between rows.
- grouping alone: the same, every row for itself.
- selection: the odd multiples of every input are made once, and every weight selects one (Taalas);
  rows are then summed each for itself.
- rows alone: signed digits, every row for itself, which skips zeros and shares nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.designs import weights
from rtl_gen.adders import AdderGraph, fuse, share
from rtl_gen.adders.graph import Adder, Output, matrix
from rtl_gen.adders.serial_graph import luts

Term = tuple[int, int, int]
"""Value, shift, sign."""


def joined(first: AdderGraph, second: AdderGraph) -> AdderGraph:
    """Graph of ``second @ first``: the inputs of `second` are the outputs of `first`."""
    adders = list(first.adders)
    terms: list[Term | None] = [o and (o.value, o.shift, o.sign) for o in first.outputs]
    for adder in second.adders:
        left, right = terms[adder.left], terms[adder.right]
        if right is not None:
            right = right[0], right[1] + adder.shift, right[2] * adder.sign
        if left is None or right is None:
            terms.append(left or right)
            continue
        # The term of the lower shift goes left; the positive one between equal shifts.
        low, high = sorted((left, right), key=lambda term: (term[1], -term[2]))
        adders.append(Adder(low[0], high[0], high[1] - low[1], low[2] * high[2]))
        terms.append((first.inputs + len(adders) - 1, low[1], low[2]))
    outputs = []
    for output in second.outputs:
        term = None if output is None else terms[output.value]
        outputs.append(
            None
            if output is None or term is None
            else Output(term[0], term[1] + output.shift, term[2] * output.sign)
        )
    return AdderGraph(first.inputs, tuple(adders), tuple(outputs))


def apart(weight: NDArray[np.int64]) -> AdderGraph:
    """Graph of every row for itself."""
    adders: list[Adder] = []
    outputs: list[Output | None] = []
    columns = weight.shape[1]
    for row in weight:
        graph = share(row[None], fan_in=3)
        moved = len(adders)

        def place(value: int, moved: int = moved) -> int:
            return value if value < columns else value + moved

        adders += [Adder(place(a.left), place(a.right), a.shift, a.sign) for a in graph.adders]
        (output,) = graph.outputs
        outputs.append(output and Output(place(output.value), output.shift, output.sign))
    return AdderGraph(columns, tuple(adders), tuple(outputs))


def grouped(
    weight: NDArray[np.int64], sums: Callable[[NDArray[np.int64]], AdderGraph]
) -> AdderGraph:
    """Sums of the inputs of each code of each row by `sums`, then the rows of those sums."""
    codes = list(range(1, int(abs(weight).max(initial=1)) + 1))
    groups = np.concatenate([np.where(abs(weight) == c, np.sign(weight), 0) for c in codes])
    eye = np.eye(len(weight), dtype=np.int64)
    return joined(sums(groups), apart(np.concatenate([c * eye for c in codes], axis=1)))


def selected(weight: NDArray[np.int64]) -> AdderGraph:
    """Odd multiples of every input, then the rows: every weight is one of them, shifted."""
    odd = list(range(1, int(abs(weight).max(initial=1)) + 1, 2))
    eye = np.eye(weight.shape[1], dtype=np.int64)
    lowest = weight & -weight
    parts = np.where(lowest > 0, weight // np.maximum(lowest, 1), 0)
    picks = [np.where(abs(parts) == c, np.sign(parts) * lowest, 0) for c in odd]
    return joined(
        apart(np.concatenate([c * eye for c in odd])), apart(np.concatenate(picks, axis=1))
    )


IDEAS: dict[str, Callable[[NDArray[np.int64]], AdderGraph]] = {
    "sharing": lambda weight: share(weight, fan_in=3),
    "grouping": lambda weight: grouped(weight, lambda groups: share(groups, fan_in=3)),
    "grouping alone": lambda weight: grouped(weight, apart),
    "selection": selected,
    "rows alone": apart,
}


def main() -> None:
    """Print adders and LUTs of every idea."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="64x64", help="rows x columns")
    parser.add_argument("--weights", choices=["int4", "int8", "ternary"], default="int4")
    parser.add_argument("--draw", type=int, default=0, help="seed of the weights")
    options = parser.parse_args()
    rows, columns = (int(part) for part in options.shape.split("x"))
    weight = weights(options.weights, rows, columns, options.draw)
    for name, idea in IDEAS.items():
        graph = idea(weight)
        if not np.array_equal(matrix(graph), weight):
            raise AssertionError(f"{name}: the graph is not the matrix")
        found = luts(fuse(graph))
        print(
            f"{name:16}{len(graph.adders):7} adders {found:7} LUT "
            f"{found / weight.size:7.3f} per weight"
        )


if __name__ == "__main__":
    main()
